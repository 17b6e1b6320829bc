"""One sticky comment on a pull request, whoever writes at the same time.

It is found again by a hidden marker (`gate.report.comment.Marker`), on whatever page of the comments, and
only among those that we wrote ourselves: anybody can type the marker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from github import GithubException
from github.IssueComment import IssueComment
from github.PullRequest import PullRequest

from gate.errors import GitHubError
from gate.github.client import Hub
from gate.github.pulls import require_head
from gate.report.comment import Marker
from gate.report.note import with_note

MOST_ROUNDS: Final = 5
_GONE: Final = 404

Body = Callable[[Marker | None], str]
"""The comment's text, given what the marker of the one that is there says."""


class StickyComment:
    """The comment of one pull request.

    Args:
        hub: the repository.
        pull: the pull request.
        head_sha: the head that our text is about.
        require_head: raises HeadMovedError where the pull request has another head by now.
    """

    def __init__(
        self, hub: Hub, pull: PullRequest, head_sha: str, require_head: Callable[[], object]
    ) -> None:
        self._hub = hub
        self._pull = pull
        self._head = head_sha
        self._require_head = require_head

    def find(self) -> Marker | None:
        """The marker of the comment that is there."""
        found = sticky_on(self._hub, self._pull)
        return found[1] if found else None

    def write(self, body_of: Body) -> IssueComment:
        """Write the comment, or change the one that is there; afterwards there is exactly one.

        Before each try the head is checked again, and the comments are read again. Of two reporters that
        both made a comment, each finds the other's: the oldest comment stays, with the newest text. Whoever
        wrote about an earlier head in between is written over.

        Raises:
            HeadMovedError: the pull request has a newer head, whose report ours must not replace.
            GitHubError: it could not be written.
        """
        for _ in range(MOST_ROUNDS):
            self._hub.write(lambda: self._put(body_of))
            comment = self.settle()
            if comment is not None:
                return comment
        raise GitHubError(
            f"the comment was changed by somebody else {MOST_ROUNDS} times in a row",
            where=f"{self._hub.name}#{self._pull.number}",
            hint="are two workflows reporting on this pull request? Give them one concurrency group",
        )

    def settle(self) -> IssueComment | None:
        """Reduce several comments to one; None where that one is not about our head."""
        self._require_head()
        found = _ours(self._hub, self._pull)
        if not found:
            return None
        (first, marker), *others = found
        if others:
            newest = next((c for c, m in reversed(found) if m.head_sha == self._head), first)
            if newest.id != first.id:
                self._hub.write(lambda: first.edit(newest.body))
                marker = Marker.find(newest.body) or marker
            for other, _ in others:
                self._hub.write(lambda other=other: _delete(other))  # type: ignore[misc]
        return first if marker.head_sha == self._head else None

    def _put(self, body_of: Body) -> None:
        self._require_head()
        found = _ours(self._hub, self._pull)
        if not found:
            assumed = self._hub.login
            created = self._pull.create_issue_comment(body_of(None))
            self._hub.wrote_as(created.user.login)
            if created.user.login == assumed:
                return
            # Only now it is known under which login we write: there may be a comment of ours already.
            found = _ours(self._hub, self._pull)
            if found[0][0].id == created.id:
                return
            _delete(created)
        comment, marker = found[0]
        text = body_of(marker)
        if comment.body != text:
            comment.edit(text)


def note_on(
    hub: Hub, pull: PullRequest, head_sha: str, note_of: Callable[[IssueComment, Marker], str | None]
) -> None:
    """Write a note into the comment, without its report at hand; nothing where there is no comment.

    Args:
        hub: the repository.
        pull: the pull request.
        head_sha: its head when this was decided; with another one by now the note would be wrong.
        note_of: the note, given the comment and what its marker says; None leaves the comment as it is.

    Raises:
        HeadMovedError: the pull request has another head.
    """

    def edit() -> None:
        require_head(pull, head_sha)
        found = sticky_on(hub, pull)
        note = note_of(*found) if found is not None else None
        if found is None or note is None:
            return
        text = with_note(found[0].body, note)
        if text != found[0].body:
            found[0].edit(text)

    hub.write(edit)


def sticky_on(hub: Hub, pull: PullRequest) -> tuple[IssueComment, Marker] | None:
    """The comment that is there, and what its marker says."""
    return next(iter(_ours(hub, pull)), None)


def _ours(hub: Hub, pull: PullRequest) -> Sequence[tuple[IssueComment, Marker]]:
    """Our comments with a marker, oldest first, from every page."""
    login = hub.login
    return [
        (comment, marker)
        for comment in pull.get_issue_comments()
        if comment.user is not None and comment.user.login == login and (marker := Marker.find(comment.body))
    ]


def _delete(comment: IssueComment) -> None:
    try:
        comment.delete()
    except GithubException as error:
        if error.status != _GONE:  # the other reporter was faster
            raise
