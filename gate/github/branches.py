"""Commits made through the API: one for all files, on a branch of its own or on top of one that moves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from github import GithubException, InputGitTreeElement
from github.PullRequest import PullRequest

from gate.errors import GitHubError
from gate.github.client import Hub

Files = Mapping[str, str]
_REFUSED: Final = 422
_NOT_FOUND: Final = 404
_MOST_RACES: Final = 5


def commit_on_new_branch(hub: Hub, branch: str, files: Files, message: str, parent: str) -> str:
    """A branch with one commit on top of `parent`; where it is there already with the same content, that.

    Raises:
        GitHubError: the branch exists with other content.
    """
    commit = _commit(hub, files, message, parent)

    def create() -> str:
        found = _tip(hub, branch)
        if found is None:
            hub.repository.create_git_ref(f"refs/heads/{branch}", commit)
            return commit
        if _tree_of(hub, found) != _tree_of(hub, commit):
            raise GitHubError(
                f"the branch {branch} exists with other content",
                where=hub.name,
                hint="delete it, or merge its pull request; then give the command again",
            )
        return found

    return hub.write(create)


def commit_on_branch(hub: Hub, branch: str, files: Files, message: str, based_on: str) -> str:
    """A commit on top of a branch, wherever it has moved to; tried again a few times.

    Args:
        hub: the repository.
        branch: its name.
        files: path -> the new content.
        message: of the commit.
        based_on: the commit whose files the new ones were made from.

    Raises:
        GitHubError: the branch is protected, somebody changed one of the files since `based_on`, or it moves
            faster than we are.
    """
    for _ in range(_MOST_RACES):
        tip = _tip(hub, branch)
        if tip is None:
            raise GitHubError(
                f"there is no branch {branch}",
                where=hub.name,
                hint="check its name; a branch is never made from nothing",
            )
        _require_untouched(hub, files, based_on, tip)
        commit = _commit(hub, files, message, tip)
        try:
            hub.write(lambda commit=commit: _forward(hub, branch, commit))  # type: ignore[misc]
        except GithubException as error:
            if error.status != _REFUSED or _tip(hub, branch) == tip:
                raise GitHubError(
                    f"the branch {branch} does not take the commit: {_message(error)}",
                    where=hub.name,
                    hint="a protected branch takes pull requests only: have one opened instead",
                ) from error
        else:
            return commit
    raise GitHubError(
        f"the branch {branch} moved {_MOST_RACES} times in a row",
        where=hub.name,
        hint="run the job again when nobody else pushes to it",
    )


def open_pull(hub: Hub, branch: str, title: str, body: str) -> PullRequest:
    """The open pull request from a branch of this repository into its default branch."""
    repository = hub.repository

    def opened() -> PullRequest:
        head = f"{repository.owner.login}:{branch}"
        for pull in repository.get_pulls(state="open", head=head):
            return pull
        return repository.create_pull(base=repository.default_branch, head=branch, title=title, body=body)

    return hub.write(opened)


def _commit(hub: Hub, files: Files, message: str, parent: str) -> str:
    repository = hub.repository
    entries = [InputGitTreeElement(path, "100644", "blob", content=text) for path, text in files.items()]
    on = repository.get_git_commit(parent)
    tree = hub.write(lambda: repository.create_git_tree(entries, on.tree))
    return hub.write(lambda: repository.create_git_commit(message, tree, [on])).sha


def _forward(hub: Hub, branch: str, commit: str) -> None:
    ref = hub.repository.get_git_ref(f"heads/{branch}")
    if ref.object.sha != commit:  # and with the answer comes the address at which a ref can be changed
        ref.edit(commit, force=False)


def _require_untouched(hub: Hub, files: Files, based_on: str, tip: str) -> None:
    for path in files:
        if based_on != tip and _blob(hub, path, based_on) != _blob(hub, path, tip):
            raise GitHubError(
                f"{path} was changed meanwhile", where=hub.name, hint="nothing was written: run the job again"
            )


def _blob(hub: Hub, path: str, commit: str) -> str | None:
    try:
        found = hub.repository.get_contents(path, ref=commit)
    except GithubException as error:
        if error.status != _NOT_FOUND:
            raise
        return None
    return None if isinstance(found, list) else found.sha


def _tip(hub: Hub, branch: str) -> str | None:
    try:
        return hub.repository.get_git_ref(f"heads/{branch}").object.sha
    except GithubException as error:
        if error.status != _NOT_FOUND:
            raise
        return None


def _tree_of(hub: Hub, commit: str) -> str:
    return hub.repository.get_git_commit(commit).tree.sha


def _message(error: GithubException) -> str:
    message = error.data.get("message") if isinstance(error.data, dict) else None
    return str(message or error.status)
