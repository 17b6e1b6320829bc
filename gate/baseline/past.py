"""Baselines as git has them: at one commit, and at each commit that changed them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from gate.baseline.store import SIDECARS, SIZE_LIMIT, matches, parse
from gate.errors import BaselineError, UsageError
from gate.fingerprint import Git
from gate.model.baseline import Baseline

COMMIT_LINE: Final = re.compile(r"commit ([0-9a-f]{40,64}) (\S+) (.*)")
BASELINE_PATH: Final = re.compile(r"[^/]+/[^/]+/[^/.][^/]*\.json")


class Version(NamedTuple):
    """What a commit made of one baseline: the new content, None where it removed it, or why it is unreadable.

    `when` is the commit's date (ISO 8601), `author` who wrote the commit.
    """

    commit: str
    when: str
    author: str
    cell: str
    baseline: Baseline | None
    problem: str | None


def baselines_at(git: Git, ref: str, patterns: Sequence[str] = ()) -> dict[str, Baseline]:
    """The baselines of the store at a commit: cell -> content.

    Args:
        git: runs git in the store's folder.
        ref: a commit, branch or tag.
        patterns: only of these cells; all where empty.

    Raises:
        UsageError: no such commit.
        BaselineError: a file of it is wrong.
    """
    commit = resolved(git, ref)
    listed = git(["ls-tree", "-r", "--name-only", commit, "."]) or ""
    return {
        cell: _content(git, commit, path)
        for path in listed.splitlines()
        if (cell := _cell(path, patterns)) is not None
    }


def versions(git: Git, commits: str, patterns: Sequence[str] = ()) -> Iterator[Version]:
    """What each commit made of each baseline, oldest first: along the branch, a merge as one step.

    Args:
        git: runs git in the store's folder.
        commits: a range REF..REF, or a ref for everything up to it.
        patterns: only of these cells; all where empty.

    Raises:
        UsageError: no such commits.
    """
    for end in filter(None, re.split(r"\.{2,3}", commits)):
        resolved(git, end)
    log = git(
        [
            *("log", "--reverse", "--first-parent", "--no-renames", "--relative", "--name-only"),
            *("--format=commit %H %cI %an", commits, "--", "."),
        ]
    )
    if log is None:
        raise UsageError(f"git cannot follow {commits!r}", hint="give REF..REF, or leave it out")
    commit, when, author = "", "", ""
    for line in log.splitlines():
        if begins := COMMIT_LINE.fullmatch(line):
            commit, when, author = begins.groups()
        elif (cell := _cell(line, patterns)) is not None:
            yield _version(git, commit, when, author, cell=cell, path=line)


def resolved(git: Git, ref: str) -> str:
    """The id of the commit that a ref names; raises UsageError."""
    found = None if ref.startswith("-") else git(["rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"])
    if found is None:
        raise UsageError(
            f"{ref!r} names no commit here", hint="a shallow clone lacks most: git fetch --unshallow"
        )
    return found


def _version(git: Git, commit: str, when: str, author: str, *, cell: str, path: str) -> Version:
    if _size(git, commit, path) is None:
        return Version(commit, when, author, cell, None, None)
    try:
        return Version(commit, when, author, cell, _content(git, commit, path), None)
    except BaselineError as problem:
        return Version(commit, when, author, cell, None, problem.message)


def _content(git: Git, commit: str, path: str) -> Baseline:
    where = f"{commit[:12]}:{path}"
    size = _size(git, commit, path) or 0
    if size > SIZE_LIMIT:
        raise BaselineError(
            f"{size:,} bytes, but at most {SIZE_LIMIT:,} are read",
            where=where,
            hint="look at another commit of this file",
        )
    text = git(["show", f"{commit}:./{path}"])
    if text is None:
        raise BaselineError(
            "cannot be read from git",
            where=where,
            hint="fetch the whole history (git fetch --unshallow), then look again",
        )
    # Git's answer comes without its last line end; a baseline ends with exactly one.
    return parse(f"{text}\n".encode(), where=where)


def _size(git: Git, commit: str, path: str) -> int | None:
    """Bytes of the file at a commit; None where it is not there."""
    size = git(["cat-file", "-s", f"{commit}:./{path}"])
    return None if size is None else int(size)


def _cell(path: str, patterns: Sequence[str]) -> str | None:
    """The cell whose baseline has this path below the store; None where it is none, or not asked for."""
    cell = path.removesuffix(".json")
    if not BASELINE_PATH.fullmatch(path) or cell.endswith(SIDECARS):
        return None
    return cell if not patterns or any(matches(cell, pattern) for pattern in patterns) else None
