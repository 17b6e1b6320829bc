"""What an earlier run of the same sequence leaves to a rerun (design.md: Sequence)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gate import records
from gate.errors import RecordError
from gate.evals.parts import stored_key
from gate.model.record import RunRecord
from gate.model.result import CellResult, Verdict
from gate.outputs import Outputs
from gate.plan import Plan

NOT_EXTENDED: Final = (
    "this is the record of an earlier run of the same commit: a sequence that ended inconclusive is not "
    "extended; another commit, or a baseline with more repeats, begins a new one"
)


def ended_undecided(
    plan: Plan, outputs: Outputs, decide: Callable[[RunRecord], CellResult]
) -> RunRecord | None:
    """The record of an earlier run of this sequence that ended inconclusive; it stands, and nothing is asked.

    To go on after `max_minutes` whenever somebody presses rerun would be a test without a last look. A cell
    that was not measured runs again, and one that was decided replays to the same decision.

    Args:
        plan: of the rerun; only one of a commit has an earlier run.
        outputs: where that run left its files.
        decide: record -> verdict of the cell.

    Raises:
        RecordError: there is a record that cannot be read.
    """
    path = records.record_path(outputs.records, plan.spec.cell)
    if not plan.replays:
        return None
    outputs.borrow(path)
    if not path.exists():
        return None
    key = stored_key(outputs.journal(plan.spec.cell, plan.stream))
    if key != plan.sequence_key:
        return None
    try:
        record = records.read(path)
    except RecordError as error:
        raise RecordError(
            error.message,
            where=error.where,
            hint="remove it: the samples in the journal are asked no second time",
        ) from error
    ours = record.stream == plan.stream
    return record if ours and decide(record).verdict is Verdict.INCONCLUSIVE else None
