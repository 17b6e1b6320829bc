"""What an earlier run of the same sequence leaves to a rerun (design.md: Sequence)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from gate import records
from gate.errors import RecordError
from gate.evals.parts import stored_key, stored_samples
from gate.model.record import RunRecord
from gate.model.result import CellResult, Verdict
from gate.model.sample import Finish, Outcome, Sample
from gate.outputs import Outputs
from gate.plan import Plan

NOT_EXTENDED: Final = (
    "this is the record of an earlier run of the same commit: a sequence that ended inconclusive is not "
    "extended; another commit, or a baseline with more repeats, begins a new one"
)
DECIDED: Final = (Verdict.PASS, Verdict.REGRESSION)


def standing(plan: Plan, outputs: Outputs, decide: Callable[[RunRecord], CellResult]) -> RunRecord | None:
    """The record of an earlier run of this sequence that still stands: no engine is started, nothing asked.

    One that ended inconclusive stands: to go on after `max_minutes` whenever somebody presses rerun would be
    a test without a last look. One that was decided stands where it is that of the very sequence, by the
    same version of the gate, its samples are those of the journal, and it says what ran; its verdict is
    decided again. Whatever else there is runs again, from its journal.

    Args:
        plan: of the rerun; only one of a commit has an earlier run.
        outputs: where that run left its files.
        decide: record -> verdict of the cell.

    Raises:
        RecordError: there is a record that cannot be read.
    """
    path, journal = (
        records.record_path(outputs.records, plan.spec.cell),
        outputs.journal(plan.spec.cell, plan.stream),
    )
    if not plan.replays or stored_key(journal) != plan.sequence_key:
        return None
    outputs.borrow(path)
    if not path.exists():
        return None
    try:
        record = records.read(path)
    except RecordError as error:
        raise RecordError(
            error.message,
            where=error.where,
            hint="remove it: the samples in the journal are asked no second time",
        ) from error
    if record.stream != plan.stream:
        return None
    verdict = decide(record).verdict
    if verdict is Verdict.INCONCLUSIVE:
        return record
    proven = verdict in DECIDED and record.sequence == plan.sequence and _is_probed(record, plan)
    return record if proven and _is_kept(record, stored_samples(journal, plan.sequence_key)) else None


def _is_probed(record: RunRecord, plan: Plan) -> bool:
    """Whether it has the probe that the plan asks for, and one after which the questions are asked."""
    if plan.probe is None:
        return True
    probe = record.probe
    return probe is not None and probe.fingerprint == plan.probe.fingerprint and not plan.probe.stop(probe)


def _is_kept(record: RunRecord, samples: Mapping[tuple[str, int], Sample]) -> bool:
    """Whether each of its samples is in the journal: one that was removed begins the cell anew."""
    return all(
        samples.get((question, repeat)) == Sample(question, repeat, Outcome(outcome), tokens, Finish(finish))
        for repeat, rows in enumerate(zip(record.outcomes, record.tokens, record.finish, strict=True))
        for question, outcome, tokens, finish in zip(record.questions, *rows, strict=True)
        if outcome != Outcome.NOT_ASKED
    )
