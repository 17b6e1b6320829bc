"""What most tests have on the fake; the same content has the same commits everywhere."""

from __future__ import annotations

from tests.support.github_fake.server import FakeGitHub
from tests.support.github_fake.state import Repository


def engine(fake: FakeGitHub) -> Repository:
    """`org/engine`, where maintainer `mia` may write."""
    made = fake.repository("org/engine")
    made.roles |= {"mia": "maintain", "adam": "admin", "wim": "write", "tess": "triage"}
    return made


def fork_of(fake: FakeGitHub, repository: Repository) -> Repository:
    """A contributor's fork with a change on the branch `topic`."""
    made = fake.repository("contributor/engine", fork_of=repository)
    made.git.commit_files("topic", {"kernel.py": "faster = True\n"})
    return made
