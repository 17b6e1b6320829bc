"""The verdict once more, from the outcomes alone, with the base branch's settings and baselines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from gate.baseline.pool import reference_of
from gate.cells import CellSpec
from gate.check import results_of
from gate.decide import unmeasured
from gate.github.artifact import ArtifactError, read_artifacts
from gate.github.received import Expected, Heads, Received, receive
from gate.model import Cell, CellResult, GateReport, Verdict
from gate.numerics.store import load as load_probe
from gate.reporting import assemble


@dataclass(frozen=True)
class Base:
    """What the base branch says: every cell of its lists, its baselines, and what this event selects.

    `changed` are the paths that the pull request changes, None where there is none.
    """

    specs: tuple[CellSpec, ...]
    baselines: Path
    event: str
    changed: tuple[str, ...] | None
    fail_on: Sequence[Verdict]

    @property
    def selected(self) -> tuple[CellSpec, ...]:
        """The cells that are expected; they share one error rate."""
        return tuple(spec for spec in self.specs if spec.selected(self.event, self.changed))

    @property
    def not_selected(self) -> tuple[Cell, ...]:
        """The cells that `when:` leaves out of this event."""
        return tuple(spec.cell for spec in self.specs if not spec.selected(self.event, self.changed))


class Redecided(NamedTuple):
    """The report, and what arrived and was not judged.

    `in_container` says whether each record that was judged says that its engine ran in a container.
    """

    report: GateReport
    not_selected: tuple[Cell, ...]
    strangers: tuple[Cell, ...]
    unreadable: int
    in_container: bool


def redecide(
    artifacts: Sequence[Path],
    base: Base,
    heads: Heads,
    *,
    now: datetime,
) -> Redecided:
    """Judge each expected cell from the record that arrived, if one did; nothing else turns it green.

    Args:
        artifacts: what the run's jobs uploaded; nothing in them is believed that can be checked.
        base: settings, baselines and cells.
        heads: the commits that the run was about: a record of other samples is refused.
        now: the clock, with a time zone.

    Raises:
        BaselineError: a baseline of the base branch is wrong.
    """
    expected = {spec.cell: Expected(spec, reference_of(base.baselines, spec.cell)) for spec in base.selected}
    try:
        files = read_artifacts(artifacts)
    except ArtifactError as error:
        return refused(error, base, heads, now=now)
    received = receive(files, expected, heads)
    results = results_of(
        base.selected,
        received.records,
        lambda cell: expected[cell].reference,
        len(expected),
        probe=partial(load_probe, base.baselines),
        refused=received.refused,
    )
    known = {spec.cell for spec in base.specs}
    return Redecided(
        report=_report(results, base, heads, now),
        not_selected=base.not_selected,
        strangers=tuple(cell for cell in received.strangers if cell not in known),
        unreadable=received.unreadable,
        in_container=_all_in_container(received),
    )


def refused(error: ArtifactError, base: Base, heads: Heads, *, now: datetime) -> Redecided:
    """What is left when nothing of what was uploaded may be read: no cell was measured."""
    why = f"what the run uploaded was refused: {error.message}"
    results = [unmeasured(spec.cell, why) for spec in base.selected]
    return Redecided(_report(results, base, heads, now), base.not_selected, (), 0, in_container=False)


def _report(results: Sequence[CellResult], base: Base, heads: Heads, now: datetime) -> GateReport:
    return assemble(
        results,
        fail_on=base.fail_on,
        commit=heads.head_sha,
        family_size=max(1, len(results)),
        alpha=max((spec.gate.alpha for spec in base.specs), default=0.01),
        now=now,
    )


def _all_in_container(received: Received) -> bool:
    records = received.records.values()
    return bool(records) and all(record.provenance.get("launcher") == "container" for record in records)
