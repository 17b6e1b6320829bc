"""Regressions that were accepted for one head: written into our own comments, and read from there only."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Final

from github.PullRequest import PullRequest
from pydantic import Field, ValidationError

from gate.github.client import Hub
from gate.github.pulls import may_write
from gate.model.cell import Cell
from gate.model.fields import Frozen
from gate.report.context import Accepted

_MARKER: Final = re.compile(r"<!-- vllm-eval-gate accepted=([A-Za-z0-9_-]{1,20000}={0,2}) -->")


class AcceptedCells(Frozen):
    """Who accepted which cells' regressions, why, and for which head: a push makes it void."""

    head_sha: str
    by: str
    reason: str
    cells: tuple[Cell, ...] = Field(min_length=1)

    def marker(self) -> str:
        """The hidden text of a comment that records this; no reason can end the HTML comment early."""
        data = base64.urlsafe_b64encode(self.model_dump_json().encode()).decode()
        return f"<!-- vllm-eval-gate accepted={data} -->"

    @classmethod
    def find(cls, body: str) -> AcceptedCells | None:
        """What a comment records; None where it records nothing that can be read."""
        match = _MARKER.search(body)
        if match is None:
            return None
        try:
            return cls.model_validate_json(base64.urlsafe_b64decode(match[1]))
        except (ValueError, ValidationError):
            return None


def accepted_on(hub: Hub, pull: PullRequest, head_sha: str) -> Mapping[Cell, Accepted]:
    """The cells whose regression was accepted for exactly this head, by somebody who may write now.

    Only comments under our own login count: anybody can type the marker.
    """
    login, writers, found = hub.login, dict[str, bool](), dict[Cell, Accepted]()
    for comment in pull.get_issue_comments():
        if comment.user is None or comment.user.login != login:
            continue
        recorded = AcceptedCells.find(comment.body)
        if recorded is None or recorded.head_sha != head_sha:
            continue
        if recorded.by not in writers:
            writers[recorded.by] = may_write(hub, recorded.by)
        if writers[recorded.by]:
            found |= {cell: Accepted(recorded.by, recorded.reason) for cell in recorded.cells}
    return found
