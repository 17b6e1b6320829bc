"""Real git repositories, made in a moment."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from gate.fingerprint import Git, git_in

DATE = "2026-11-24T12:00:00Z"
NOBODY = ("-c", "user.name=tester", "-c", "user.email=tester@example.org", "-c", "commit.gpgsign=false")


def repository(folder: Path, *files: str) -> Git:
    """A repository whose branch main holds these files, each with its own name as content."""
    folder.mkdir(parents=True, exist_ok=True)
    run(folder, "init", "--quiet", "--initial-branch=main")
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    commit(folder)
    return git_in(folder)


def commit(folder: Path, message: str = "a change", author: str = "tester", date: str = DATE) -> str:
    """Commit whatever is there, written and committed at `date`, and return the commit's id.

    The same files give the same id whenever the test runs, and so the same samples: a commit fixes them.
    """
    run(folder, "add", "--all")
    run(
        folder,
        "commit",
        "--quiet",
        "--allow-empty",
        f"--author={author} <{author}@example.org>",
        f"--date={date}",
        f"-m{message}",
        environment={"GIT_COMMITTER_DATE": date},
    )
    return run(folder, "rev-parse", "HEAD")


def run(folder: Path, *arguments: str, environment: Mapping[str, str] = MappingProxyType({})) -> str:
    """What git prints; an error is one of the test."""
    done = subprocess.run(
        ["git", "-C", str(folder), *NOBODY, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    return done.stdout.strip()
