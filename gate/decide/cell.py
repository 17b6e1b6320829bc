"""The verdict of a cell: recomputed from its outcomes, whatever is stored beside them.

The plan is laid down again from settings and baseline; a record that declares another one, or that goes on
after a boundary was crossed, is refused: it says `not_measured` and why, and is never green.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gate.config import GateSettings
from gate.decide.budget import Budget, fixed_budget, plan_budget, plan_fixed, plan_sequence
from gate.decide.changes import provenance_differences
from gate.decide.conclusion import Measured, conclude
from gate.decide.declared import check_course, check_declared, check_declared_fixed, check_fresh
from gate.decide.words import count, something_else_ran
from gate.errors import RecordError, StatisticsError
from gate.model.baseline import Reference
from gate.model.cell import Cell
from gate.model.evidence import EvidenceCheck
from gate.model.record import Failure, RunRecord
from gate.model.result import CellResult, Verdict
from gate.stats.fixed import look_once
from gate.stats.sequential import follow

_MEASURE_AGAIN: Final = "run the cell again on the same commit"
_AFTER_FAILURE: Final = {
    "engine": "read the end of the server's log, then run the cell again",
    "evidence": "find out why the engine took another path (its log says), or correct `expect`",
    "requests": "see which requests failed and why, then run the cell again",
    "cancelled": "run it again: it continues from the journal",
    "numerics": "mend the kernel, then run the cell again",
    "storage": "free some space on the disk, then run the cell again: it continues from the journal",
    "resume": "start a new sequence, with a reason: these samples do not belong together",
}


def after_failure(failure: Failure) -> str:
    """What to do after a failure, where it does not say so itself."""
    return failure.hint or _AFTER_FAILURE[failure.kind]


def decide_cell(
    record: RunRecord,
    reference: Reference | None,
    *,
    checks: Sequence[EvidenceCheck] = (),
    settings: GateSettings,
    family_size: int,
    chance: float = 0.0,
    tolerance: float = 0.05,
    accept_wider_margin: bool = False,
    base_checks: Sequence[EvidenceCheck] = (),
    fixed_repeats: int | None = None,
) -> CellResult:
    """The verdict of one measured cell and everything a report says about it.

    Args:
        record: what was measured.
        reference: the pooled baseline, None where there is none.
        checks: `expect` against what the engine reported; one that failed means nothing was measured.
        settings: the config's `gate:` section, as the base branch has it.
        family_size: C of this event's plan.
        chance: score of guessing; 0 for open answers.
        tolerance: of the old rule, score < threshold - tolerance.
        accept_wider_margin: as recorded for this run.
        base_checks: `expect` against what the base build of a confirmation reported.
        fixed_repeats: the declared size of a run that nobody looked at before its end; None for one that
            was measured under the sequential test.
    """
    base = _facts(record, checks)
    if record.failure is not None:
        return _with(base, Verdict.NOT_MEASURED, record.failure.message, after_failure(record.failure))
    failed = [check for check in checks if not check.ok]
    if failed:
        return _with(base, Verdict.NOT_MEASURED, something_else_ran(failed), _AFTER_FAILURE["evidence"])
    if reference is None:
        greedy = record.fingerprint.temperature == 0
        return base.model_copy(update=_no_baseline(record.cell, repeats=1 if greedy else 32))
    base = base.model_copy(update={"provenance_differences": provenance_differences(record, reference)})
    differences = _differences(record, reference)
    if differences:
        return _incomparable(base, differences)
    try:
        check_fresh(record, reference)
        if fixed_repeats is not None:
            budget = fixed_budget(reference, settings, fixed_repeats, family_size=family_size, chance=chance)
            measured = _measured_whole(record, reference, budget)
        else:
            budget = plan_budget(
                reference,
                settings,
                family_size=family_size,
                chance=chance,
                accept_wider_margin=accept_wider_margin,
            )
            measured = _measured(record, reference, budget)._replace(base_checks=tuple(base_checks))
        return conclude(measured, base, max_minutes=settings.max_minutes, tolerance=tolerance)
    except (RecordError, StatisticsError) as error:
        return _with(base, Verdict.NOT_MEASURED, error.message, error.hint)


def missing_baseline(cell: Cell) -> CellResult:
    """The result of a cell that has nothing to be compared with."""
    return CellResult(cell=cell, verdict=Verdict.NO_BASELINE, reason="").model_copy(update=_no_baseline(cell))


def unmeasured(cell: Cell, reason: str, *, next_step: str = "") -> CellResult:
    """The result of a cell that was expected and of which there is no record."""
    return CellResult(
        cell=cell, verdict=Verdict.NOT_MEASURED, reason=reason, next_step=next_step or _MEASURE_AGAIN
    )


def _measured(record: RunRecord, reference: Reference, budget: Budget) -> Measured:
    """Every look of the record, or a RecordError that says why it decides nothing."""
    plan = plan_sequence(reference, budget, question_order_seed=record.question_order_seed)
    check_declared(record, reference, budget, plan)
    course = follow(plan, record.outcomes)
    check_course(course, plan)
    if not course.looks:
        raise RecordError(
            "not one block of samples is complete",
            hint="run it again: the same command goes on from its journal",
        )
    return Measured(record, reference, budget, plan, course)


def _measured_whole(record: RunRecord, reference: Reference, budget: Budget) -> Measured:
    """The one look at a run of a fixed size, or a RecordError that says why it decides nothing."""
    plan = plan_fixed(reference, budget)
    check_declared_fixed(record, plan)
    return Measured(record, reference, budget, plan, look_once(plan, record.outcomes))


def _facts(record: RunRecord, checks: Sequence[EvidenceCheck]) -> CellResult:
    """What is true of a record whatever its verdict."""
    seconds = record.seconds + (record.confirmation.seconds if record.confirmation else 0)
    return CellResult(
        cell=record.cell,
        verdict=Verdict.NOT_MEASURED,
        reason="",
        samples_generated=record.generated,
        samples_budget=record.max_repeats * len(record.questions),
        seconds=seconds,
        gpu_minutes=seconds * record.gpus / 60,
        threshold=record.threshold,
        evidence=record.evidence,
        evidence_checks=tuple(checks),
        restarts=record.restarts,
        declared=tuple(filter(None, record.provenance.get("declared", "").split(", "))),
    )


def _with(base: CellResult, verdict: Verdict, reason: str, next_step: str) -> CellResult:
    return base.model_copy(update={"verdict": verdict, "reason": reason, "next_step": next_step})


def _no_baseline(cell: Cell, repeats: int = 32) -> dict[str, Any]:
    return {
        "verdict": Verdict.NO_BASELINE,
        "reason": f"no baseline is stored for {cell}: no {cell}.json in the folder of baselines",
        "next_step": (
            f"gate baseline collect configs/{cell.config}.yaml --backend {cell.backend} --arch {cell.arch}"
            f" --repeats {repeats}"
        ),
    }


def _differences(record: RunRecord, reference: Reference) -> dict[str, tuple[str, str]]:
    """Fingerprint fields that differ: name -> (the run's value, the baseline's)."""
    found = record.fingerprint.differences(reference.fingerprint)
    if record.questions != reference.questions:
        ours, theirs = set(record.questions), set(reference.questions)
        found["questions"] = (
            f"{count(len(ours), 'question')}, {len(ours - theirs)} of them not in the baseline",
            f"{count(len(theirs), 'question')}, {len(theirs - ours)} of them not in the run",
        )
    return found


def _incomparable(base: CellResult, differences: dict[str, tuple[str, str]]) -> CellResult:
    named = "; ".join(f"{name}: {ours} here, {theirs} there" for name, (ours, theirs) in differences.items())
    return base.model_copy(
        update={
            "verdict": Verdict.INCOMPARABLE,
            "reason": f"not what the baseline measured ({named})",
            "next_step": (
                "undo the difference, or have it accepted: "
                f'gate refresh {base.cell} --new-fingerprint --reason "..."'
            ),
            "fingerprint_differences": differences,
        }
    )
