"""The fake GitHub, and what most tests have on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.state import Pull, Repository


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    """GitHub. A test ends red where it was asked for something that GitHub would not have accepted."""
    with FakeGitHub(tmp_path / "github") as running:
        yield running
        assert running.violations == []


@pytest.fixture
def repository(fake: FakeGitHub) -> Repository:
    """`org/engine`, where maintainer `mia` may write."""
    made = fake.repository("org/engine")
    made.roles |= {"mia": "maintain", "adam": "admin", "wim": "write", "tess": "triage"}
    return made


@pytest.fixture
def fork(fake: FakeGitHub, repository: Repository) -> Repository:
    """A contributor's fork with a change on the branch `topic`."""
    made = fake.repository("contributor/engine", fork_of=repository)
    made.git.fetch(repository.git, "refs/heads/main", "refs/heads/topic")
    made.git.commit_files("topic", {"kernel.py": "faster = True\n"})
    return made


@pytest.fixture
def pull(repository: Repository, fork: Repository) -> Pull:
    """The pull request from that branch."""
    return repository.open_pull(fork, "topic")
