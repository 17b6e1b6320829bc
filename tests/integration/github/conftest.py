"""The fake GitHub, and what most tests have on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.samples import engine, fork_of
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
    return engine(fake)


@pytest.fixture
def fork(fake: FakeGitHub, repository: Repository) -> Repository:
    """A contributor's fork with a change on the branch `topic`."""
    return fork_of(fake, repository)


@pytest.fixture
def pull(repository: Repository, fork: Repository) -> Pull:
    """The pull request from that branch."""
    return repository.open_pull(fork, "topic")
