"""What makes a run record unfit for a decision, whatever its outcomes say."""

from __future__ import annotations

from collections.abc import Mapping

from gate.decide.budget import Budget
from gate.decide.words import count
from gate.errors import RecordError
from gate.model.baseline import Reference
from gate.model.record import RunRecord
from gate.stats.sequential import Course, SequencePlan


def check_declared(record: RunRecord, reference: Reference, budget: Budget, plan: SequencePlan) -> None:
    """Refuse a record that was measured under another plan than settings and baseline give.

    Raises:
        RecordError: names every number that differs.
    """
    _check_kind(record)
    declared: dict[str, tuple[object, object]] = {
        "family_size": (record.family_size, budget.family_size),
        "alpha": (record.alpha, budget.alpha),
        "alpha_pass": (record.alpha_pass, budget.alpha_pass),
        "margin": (record.margin, budget.margin),
        "tolerated_loss": (record.tolerated_loss, budget.tolerated_loss),
        "baseline_repeats": (record.baseline_repeats, reference.repeats),
        "baseline_sha256": (record.baseline_sha256, reference.sha256),
        "anchor": (list(record.anchor), list(reference.anchor.runs) if reference.anchor else []),
        "max_repeats": (record.max_repeats, budget.max_repeats),
        "look_at": (list(record.look_at), list(plan.look_at)),
    }
    if wrong := _differing(declared):
        raise RecordError(
            f"measured under another plan than these settings and this baseline give: {wrong}",
            hint="run the cell again with the settings and the baseline of the base branch",
        )


def check_declared_fixed(record: RunRecord, plan: SequencePlan) -> None:
    """Refuse a record of a fixed-size run that is not of the size that was declared for it.

    Settings and baseline had no say in when such a run ended, so any may be held against it.

    Raises:
        RecordError: names every number that differs.
    """
    _check_kind(record)
    declared: dict[str, tuple[object, object]] = {
        "max_repeats": (record.max_repeats, plan.terms.max_repeats),
        "look_at": (list(record.look_at), list(plan.look_at)),
    }
    if wrong := _differing(declared):
        raise RecordError(
            f"not of the size that the config declares: {wrong}",
            hint="a size that is chosen afterwards proves nothing: import a run of the declared one",
        )


def check_fresh(record: RunRecord, reference: Reference) -> None:
    """Refuse a run that the baseline holds: against itself nothing was measured.

    An imported run's stream is a hash of its answers. Greedy ones of an unchanged build may be the same, so
    there only an equal time tells.

    Raises:
        RecordError: it is one of the stored runs.
    """
    measured = record.provenance.get("measured")
    if record.fingerprint.temperature > 0:
        known = record.stream in {stream for stream, _ in reference.origins}
    else:
        known = measured is not None and (record.stream, measured) in reference.origins
    if known:
        raise RecordError(
            "is a run of the baseline that it is compared with: every answer is the same",
            hint="import the run of the build under test, made with seeds of its own",
        )


def _check_kind(record: RunRecord) -> None:
    if record.purpose != "gate":
        raise RecordError("a run collected for a baseline is not a gate run", hint="use `gate baseline`")
    if record.fingerprint.cell != record.cell:
        raise RecordError(
            f"the record of {record.cell} has the fingerprint of {record.fingerprint.cell}",
            hint="run it again; a record is never put together by hand",
        )


def _differing(declared: Mapping[str, tuple[object, object]]) -> str:
    return "; ".join(
        f"{name} {ours}, not {theirs}" for name, (ours, theirs) in declared.items() if ours != theirs
    )


def check_course(course: Course, plan: SequencePlan) -> None:
    """Refuse samples that no plan could have asked for.

    Raises:
        RecordError: samples after the decision, or questions asked unequally often.
    """
    if course.beyond and course.stop is not None:
        raise RecordError(
            f"the record goes on for {count(course.beyond, 'sample')} after a boundary was crossed at "
            f"{count(plan.look_at[course.stop], 'sample')}",
            hint="a decided sequence stays decided: only the samples up to the stop belong in the record",
        )
    if course.beyond:
        raise RecordError(
            f"block {course.complete} is incomplete, yet there are {count(course.beyond, 'sample')} of later "
            "blocks: some questions were asked more often than others",
            hint="a look needs complete blocks; continue the run from its journal",
        )
