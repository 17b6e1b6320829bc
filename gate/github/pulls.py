"""Which pull request a measurement belongs to, and whether it is still about that."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from github.PullRequest import PullRequest

from gate.errors import GitHubError, HeadMovedError
from gate.github.client import Hub

SHA: Final = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
WRITERS: Final = ("admin", "write")
"""What GitHub's API calls the roles that may write; `maintain` and custom roles are given as one of these."""


class Head(NamedTuple):
    """Where the code under test is: the fork (or this repository), its branch, the commit."""

    repository: str
    branch: str
    sha: str


def head_of_run(hub: Hub, run_id: int, *, workflow: str, event: str = "pull_request") -> Head:
    """The head that a workflow run measured.

    Args:
        hub: the repository.
        run_id: of the `workflow_run` event, which names a run of any workflow.
        workflow: path of the workflow that may measure, e.g. .github/workflows/gate.yml.
        event: what must have started it.

    Raises:
        GitHubError: it is a run of another workflow, or something else started it.
    """
    run = hub.repository.get_workflow_run(run_id)
    # A run of a workflow at a certain ref is PATH@REF.
    path = run.path.partition("@")[0]
    if path != workflow or run.event != event:
        raise GitHubError(
            f"run {run_id} is of {path} on {run.event}, not of {workflow} on {event}",
            where=hub.name,
            hint="nothing was posted: only runs of the expected workflow are reported on",
        )
    return Head(run.head_repository.full_name, run.head_branch, run.head_sha)


def pull_of(hub: Hub, head: Head) -> PullRequest:
    """The open pull request whose head this is.

    Several forks may have a branch of the same name, and a fork's own pull requests are not in its run:
    the repository and the commit must both be the head's.

    Raises:
        HeadMovedError: there is a pull request from this branch, with another head.
        GitHubError: there is none, or more than one.
    """
    owner = head.repository.partition("/")[0]
    opened = hub.repository.get_pulls(state="open", head=f"{owner}:{head.branch}")
    mine = [pull for pull in opened if _repository_of(pull) == head.repository.lower()]
    found = [pull for pull in mine if pull.head.sha == head.sha]
    where = f"{head.repository}:{head.branch}"
    if mine and not found:
        raise _moved(mine[0], head.sha)
    if not found:
        raise GitHubError(
            f"no open pull request into {hub.name} has the head {head.sha[:12]}",
            where=where,
            hint="it was closed, or retargeted: nothing was posted",
        )
    if len(found) > 1:
        numbers = ", ".join(f"#{pull.number}" for pull in found)
        raise GitHubError(
            f"several pull requests have this head: {numbers}", where=where, hint="say which one with --pr"
        )
    return found[0]


def require_head(pull: PullRequest, sha: str) -> None:
    """Raise HeadMovedError unless `sha` is the pull request's head at this moment."""
    pull.update()
    if pull.head.sha != sha:
        raise _moved(pull, sha)


def approved_by(hub: Hub, pull: PullRequest, sha: str) -> str | None:
    """Who with write access approved exactly this commit in a review, and did not take it back."""
    latest = {}
    for review in pull.get_reviews():
        if review.user is not None and review.state != "COMMENTED":
            latest[review.user.login] = review
    for login, review in latest.items():
        if review.state == "APPROVED" and review.commit_id == sha and may_write(hub, login):
            return str(login)
    return None


def may_write(hub: Hub, login: str) -> bool:
    """Whether a person may write to the repository, as GitHub's API says now."""
    return hub.repository.get_collaborator_permission(login) in WRITERS


def _repository_of(pull: PullRequest) -> str | None:
    repository = pull.head.repo  # None where the fork was deleted
    return repository.full_name.lower() if repository is not None else None


def _moved(pull: PullRequest, sha: str) -> HeadMovedError:
    return HeadMovedError(
        f"its head is {pull.head.sha[:12]} by now, and this is about {sha[:12]}",
        where=f"pull request #{pull.number}",
        hint="nothing was posted: the newer head gets its own report",
    )
