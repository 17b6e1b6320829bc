"""What surrounds a report on GitHub: the commit, whom to believe, what was accepted, what came before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from gate.model.cell import Cell
from gate.model.result import Verdict


class Earlier(NamedTuple):
    """The verdict on an earlier head of the same pull request."""

    head_sha: str
    verdict: Verdict


class Accepted(NamedTuple):
    """A regression that somebody with write access accepted for exactly this head."""

    by: str
    reason: str


class Place(NamedTuple):
    """Where a cell is defined, for an annotation."""

    path: str
    line: int


@dataclass(frozen=True)
class Context:
    """What a comment says that a report does not know.

    Args:
        head_sha: the pull request's head, or the commit.
        base_sha: what it is compared with: with it a rerun elsewhere asks the very same samples.
        details_url: the run with the whole report; https only.
        attested: whether the pinned harness measured, outside of the engine's container and user.
        approved_by: who approved this head where the numbers are not attested.
        merged: whether the commit is on a branch of the repository itself, and no pull request's: what it ran
            was reviewed, and nobody is asked to approve it.
        earlier: verdicts of the pull request's earlier heads, oldest first (`Marker.followed_by`).
        touches: what the pull request changes that decides verdicts, e.g. ("configs", "baselines").
        accepted: regressions that were accepted for this head.
        not_selected: cells that the base branch's `when:` leaves out of this event.
        unknown: cells that a record arrived of and the base branch does not define.
        unreadable: files that were uploaded and hold no record.
        places: where each cell's config is.
        commands: whether somebody can answer with slash commands, as on a pull request.
    """

    head_sha: str
    base_sha: str | None = None
    details_url: str | None = None
    attested: bool = False
    approved_by: str | None = None
    merged: bool = False
    earlier: tuple[Earlier, ...] = ()
    touches: tuple[str, ...] = ()
    accepted: Mapping[Cell, Accepted] = field(default_factory=dict)
    not_selected: tuple[Cell, ...] = ()
    unknown: tuple[Cell, ...] = ()
    unreadable: int = 0
    places: Mapping[Cell, Place] = field(default_factory=dict)
    commands: bool = True

    @property
    def trusted(self) -> bool:
        """Whether a pass may turn the check green."""
        return self.attested or self.merged or self.approved_by is not None
