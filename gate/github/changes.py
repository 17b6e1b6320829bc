"""What a pull request changes, and which of it decides its own verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Final

from github.PullRequest import PullRequest

MOST_FILES: Final = 3_000
"""GitHub's API lists no more; a larger change is not filtered by path."""


def changed_paths(pull: PullRequest) -> tuple[str, ...] | None:
    """Every path that the pull request touches, a renamed one under both names; None where too many."""
    files = list(pull.get_files())
    if len(files) >= MOST_FILES:
        return None
    names = (name for file in files for name in (file.filename, file.previous_filename) if name)
    return tuple(dict.fromkeys(names))


def touched(
    changed: Sequence[str] | None, configs: Sequence[PurePosixPath], baselines: PurePosixPath
) -> tuple[str, ...]:
    """In words, what a pull request changes that decides verdicts, in a fixed order.

    Args:
        changed: `changed_paths`; None, more than can be listed, may be anything.
        configs: the configs and lists of the base branch; whatever is beside them counts too.
        baselines: the store.
    """
    if changed is None:
        return ("more files than GitHub lists",)
    folders = {
        "configs": {path.parent for path in configs},
        "baselines": {baselines},
        "workflows": {PurePosixPath(".github/workflows")},
        "the gate's pin": {PurePosixPath(".github/actions")},
    }
    named = {
        "configs": set(map(str, configs)),
        "the gate's pin": {"action.yml"},
        "code owners": {"CODEOWNERS", ".github/CODEOWNERS", "docs/CODEOWNERS"},
    }
    paths = [PurePosixPath(name) for name in changed]
    return tuple(
        word
        for word in ("configs", "baselines", "workflows", "the gate's pin", "code owners")
        if any(
            str(path) in named.get(word, ()) or folders.get(word, set()).intersection(path.parents)
            for path in paths
        )
    )
