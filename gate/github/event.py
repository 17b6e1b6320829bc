"""The event that a new comment is: what GitHub tells a workflow on `issue_comment`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from gate.errors import UsageError


class CommentEvent(NamedTuple):
    """A comment, as it was when the event happened.

    `number` is that of the issue or pull request; `of_a_bot` what GitHub says of the account.
    """

    action: str
    number: int
    on_pull_request: bool
    comment_id: int
    body: str
    login: str
    of_a_bot: bool
    created_at: str


def read_event(path: Path) -> CommentEvent:
    """The event in the file that GITHUB_EVENT_PATH names.

    Raises:
        UsageError: it is not an issue_comment event.
    """
    try:
        event: dict[str, Any] = json.loads(path.read_bytes())
        comment, issue = event["comment"], event["issue"]
        return CommentEvent(
            action=str(event["action"]),
            number=int(issue["number"]),
            on_pull_request=issue.get("pull_request") is not None,
            comment_id=int(comment["id"]),
            body=str(comment["body"] or ""),
            login=str(comment["user"]["login"]),
            of_a_bot=comment["user"].get("type") != "User",
            created_at=str(comment["created_at"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UsageError(
            "is not the event of a comment", where=str(path), hint="mode: command is for on: issue_comment"
        ) from problem
