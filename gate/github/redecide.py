"""The verdict once more, from the outcomes alone, with the base branch's settings and baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from gate.baseline.pool import reference_of
from gate.cells import CellSpec
from gate.check import results_of
from gate.decide import unmeasured
from gate.github.artifact import ArtifactError, read_artifacts
from gate.github.received import Expected, Heads, Received, receive
from gate.model.cell import Cell
from gate.model.record import Failure, RunRecord
from gate.model.result import CellResult, GateReport, Verdict
from gate.numerics.store import load as load_probe
from gate.reporting import assemble

_DECIDED_BEFORE: Final = "decided by an earlier run of this commit: a rerun measures what was not measured"
_UNATTESTED: Final = Failure(
    kind="evidence", message="its repeats were reported by the contributor's own code"
)


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

    `attested` says whether the pinned gate measured, outside of the engine's container and user.
    """

    report: GateReport
    not_selected: tuple[Cell, ...]
    strangers: tuple[Cell, ...]
    unreadable: int
    attested: bool


def redecide(
    artifacts: Sequence[Path],
    base: Base,
    heads: Heads,
    *,
    now: datetime,
    pinned: bool = False,
    merged: bool = False,
) -> Redecided:
    """Judge each expected cell from the record that arrived, if one did; nothing else turns it green.

    Args:
        artifacts: what the run's jobs uploaded; nothing in them is believed that can be checked.
        base: settings, baselines and cells.
        heads: the commits that the run was about: a record of other samples is refused.
        now: the clock, with a time zone.
        pinned: whether the machine that measured runs nothing of a pull request outside of its container.
        merged: whether the commit is on a branch of the repository itself: what it ran was reviewed.

    Raises:
        BaselineError: a baseline of the base branch is wrong.
    """
    expected = {spec.cell: Expected(spec, reference_of(base.baselines, spec.cell)) for spec in base.selected}
    try:
        files = read_artifacts(artifacts)
    except ArtifactError as error:
        return refused(error, base, heads, now=now)
    received = receive(files, expected, heads)
    attested = pinned and _all_in_container(received)
    records = received.records if attested or merged else _unconfirmed(received.records)
    results = results_of(
        base.selected,
        records,
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
        attested=attested,
    )


def refused(error: ArtifactError, base: Base, heads: Heads, *, now: datetime) -> Redecided:
    """What is left when nothing of what was uploaded may be read: no cell was measured."""
    why = f"what the run uploaded was refused: {error.message}"
    results = [unmeasured(spec.cell, why) for spec in base.selected]
    return Redecided(_report(results, base, heads, now), base.not_selected, (), 0, attested=False)


def continued(earlier: Redecided, later: Redecided, base: Base, heads: Heads, *, now: datetime) -> Redecided:
    """What a later run of the same commits adds: only cells that were not measured may change.

    Both were decided with the same settings and baselines.
    """
    kept = {one.cell: one for one in earlier.report.cells if one.verdict is not Verdict.NOT_MEASURED}
    results = [_kept(kept[one.cell]) if one.cell in kept else one for one in later.report.cells]
    new = any(one.cell not in kept and one.verdict is not Verdict.NOT_MEASURED for one in results)
    sources = [earlier.attested] * bool(kept) + [later.attested] * new
    return later._replace(report=_report(results, base, heads, now), attested=bool(sources) and all(sources))


def _kept(result: CellResult) -> CellResult:
    notes = (*result.notes, *({_DECIDED_BEFORE} - set(result.notes)))
    return result.model_copy(update={"notes": notes})


def _unconfirmed(found: Mapping[Cell, RunRecord]) -> dict[Cell, RunRecord]:
    """Without the repeats of the base build, which would make a verdict milder than the counts.

    Whoever forges them can choose them such that every drop is taken back.
    """
    return {cell: _without_confirmation(record) for cell, record in found.items()}


def _without_confirmation(record: RunRecord) -> RunRecord:
    fresh = record.confirmation
    if fresh is None or fresh.failure is not None:
        return record
    unbelieved = fresh.model_copy(update={"outcomes": (), "failure": _UNATTESTED})
    return record.model_copy(update={"confirmation": unbelieved})


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
