"""Which pull request a measurement belongs to."""

from __future__ import annotations

import pytest

from gate.errors import GitHubError, HeadMovedError
from gate.github.pulls import Head, approved_by, head_of_run, may_write, pull_of
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.state import Pull, Repository
from tests.support.hubs import hub

WORKFLOW = ".github/workflows/gate.yml"


def head_of(pull: Pull) -> Head:
    return Head(pull.head_repo.full_name, pull.head_ref, pull.head)


def test_of_several_forks_with_a_branch_of_one_name_the_right_one_is_found(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    others = []
    for owner in ("alice", "bob"):
        made = fake.repository(f"{owner}/engine", fork_of=repository)
        made.git.commit_files("topic", {"kernel.py": f"{owner} = True\n"})
        others.append(repository.open_pull(made, "topic", author=owner))
    github = hub(fake)
    assert [pull_of(github, head_of(p)).number for p in (pull, *others)] == [1, 2, 3]


def test_two_forks_of_one_owner_are_told_apart(
    fake: FakeGitHub, repository: Repository, fork: Repository, pull: Pull
) -> None:
    second = fake.repository("contributor/engine-2", fork_of=repository)
    second.git.fetch(fork.git, "refs/heads/topic", "refs/heads/topic")
    other = repository.open_pull(second, "topic")
    assert other.head == pull.head
    assert pull_of(hub(fake), head_of(other)).number == other.number


def test_a_head_that_moved_is_refused(fake: FakeGitHub, pull: Pull) -> None:
    old = head_of(pull)
    pull.push("more\n")
    with pytest.raises(HeadMovedError, match="nothing was posted"):
        pull_of(hub(fake), old)


def test_a_closed_pull_request_is_not_found(fake: FakeGitHub, pull: Pull) -> None:
    pull.state = "closed"
    with pytest.raises(GitHubError, match="no open pull request"):
        pull_of(hub(fake), head_of(pull))


def test_the_same_head_in_two_pull_requests_needs_to_be_told_apart(
    fake: FakeGitHub, repository: Repository, fork: Repository, pull: Pull
) -> None:
    repository.git.commit_files("release", {"a": "b"})
    repository.open_pull(fork, "topic", base="release")
    with pytest.raises(GitHubError, match="several pull requests have this head: #2, #1"):
        pull_of(hub(fake), head_of(pull))


def test_a_run_says_which_head_it_measured(
    fake: FakeGitHub, repository: Repository, fork: Repository, pull: Pull
) -> None:
    run = repository.add_run(pull.head, f"{WORKFLOW}@main", fork, "topic")
    assert head_of_run(hub(fake), run["id"], workflow=WORKFLOW) == head_of(pull)


@pytest.mark.parametrize(
    ("path", "event"), [(".github/workflows/mine.yml", "pull_request"), (WORKFLOW, "workflow_dispatch")]
)
def test_a_run_of_another_workflow_or_event_is_refused(
    fake: FakeGitHub, repository: Repository, pull: Pull, path: str, event: str
) -> None:
    run = repository.add_run(pull.head, path, pull.head_repo, "topic", event=event)
    with pytest.raises(GitHubError, match=f"is of {path} on {event}, not of {WORKFLOW} on pull_request"):
        head_of_run(hub(fake), run["id"], workflow=WORKFLOW)


@pytest.mark.parametrize(
    ("login", "may"),
    [
        ("adam", True),
        ("mia", True),
        ("wim", True),
        ("tess", False),
        ("contributor", False),
        ("nobody", False),
    ],
)
def test_who_may_write_is_what_the_api_says(
    fake: FakeGitHub, repository: Repository, login: str, may: bool
) -> None:
    assert may_write(hub(fake), login) is may


def test_only_an_approval_of_this_commit_by_somebody_who_may_write_counts(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    github = hub(fake)
    api = github.repository.get_pull(pull.number)

    def review(login: str, state: str = "APPROVED", sha: str | None = None) -> str | None:
        pull.reviews.append({"login": login, "state": state, "sha": sha or pull.head})
        return approved_by(github, api, pull.head)

    assert review("contributor") is None
    assert review("mia", sha="a" * 40) is None
    assert review("mia", "CHANGES_REQUESTED") is None
    assert review("wim") == "wim"
    assert review("wim", "COMMENTED") == "wim"
    assert review("wim", "DISMISSED") is None
    pull.reviews.clear()
    review("adam")
    pull.push("after the approval\n")
    assert approved_by(github, api, pull.head) is None
