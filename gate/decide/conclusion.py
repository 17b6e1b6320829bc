"""What the looks at a sound record say: the verdict, and the estimates at the stop."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from gate.decide.budget import Budget
from gate.decide.changes import changes_of
from gate.decide.confirm import Reconsidered, reconsider
from gate.decide.live import looks_taken
from gate.decide.ratchet import against_anchor, drifted_words
from gate.decide.side import Tally, tally_of, warnings
from gate.decide.words import count, points, signed_points
from gate.model.baseline import Reference
from gate.model.evidence import EvidenceCheck
from gate.model.record import RunRecord
from gate.model.result import CellResult, Verdict
from gate.stats.boundaries import boundaries, sequential_p
from gate.stats.looks import LookStatistics
from gate.stats.paired import score_interval
from gate.stats.planning import detectable_at, repeats_to_decide
from gate.stats.sequential import Course, SequencePlan

INTERVAL_ALPHA: Final = 0.025
"""Error on either side of the repeated confidence interval."""


class Measured(NamedTuple):
    """A record that holds together, what it is compared with, and its looks.

    `base_checks` is `expect` against what the base build of a confirmation reported.
    """

    record: RunRecord
    reference: Reference
    budget: Budget
    plan: SequencePlan
    course: Course
    base_checks: tuple[EvidenceCheck, ...] = ()

    @property
    def last(self) -> int:
        """Number of the block of the last look."""
        return len(self.course.looks) - 1


def conclude(
    measured: Measured, base: CellResult, *, max_minutes: float | None, tolerance: float
) -> CellResult:
    """Verdict, reason and estimates.

    Args:
        measured: at least one complete block.
        base: what is known of the record whatever it says.
        max_minutes: after so long a cell may end undecided.
        tolerance: of the old rule.
    """
    verdict, reason, next_step = _verdict(measured, max_minutes)
    confirmed: tuple[str, ...] = ()
    if verdict is Verdict.REGRESSION and measured.record.confirmation is not None:
        verdict, reason, next_step, note = _reconsidered(measured, reason, next_step)
        confirmed = (note,)
    said = {"verdict": verdict, "reason": reason, "next_step": next_step}
    if verdict is Verdict.NOT_MEASURED:
        return base.model_copy(update=said)  # half a run has no score that anybody should read
    estimates = _estimates(measured, tolerance)
    anchor = estimates["anchor"]
    if anchor is not None and anchor.dropped and verdict is not Verdict.REGRESSION:
        reason, next_step = drifted_words(anchor, str(measured.record.cell))
        said = {"verdict": Verdict.REGRESSION, "reason": reason, "next_step": next_step}
    return base.model_copy(update=estimates | said | {"notes": (*confirmed, *estimates["notes"])})


def _reconsidered(measured: Measured, reason: str, next_step: str) -> Reconsidered:
    record, reference, _, plan, _, checks = measured
    return reconsider(
        record,
        reference,
        plan,
        measured.last,
        tally_of(record, plan, measured.last),
        checks=checks,
        said=(reason, next_step),
    )


def _estimates(measured: Measured, tolerance: float) -> dict[str, Any]:
    """Estimates at the last look taken."""
    record, reference, budget, plan, course, _ = measured
    number = measured.last
    last = course.looks[number]
    used = plan.look_at[number]
    tally = tally_of(record, plan, number)
    score = float(tally.correct.sum()) / used
    evidence = [float(look.evidence) for look in course.looks]
    difference = float(last.difference)
    asked = plan.asked(number)
    minimum = None if record.threshold is None else record.threshold - tolerance
    return {
        "score": score,
        "baseline_score": float(plan.correct[asked].mean() / plan.repeats),
        "difference": difference,
        "interval": _interval(plan, tally, last, number),
        "p_value": sequential_p(plan.times, evidence),
        "margin": budget.margin,
        "tolerated_loss": budget.tolerated_loss,
        "false_alarms": reference.calibration and reference.calibration.false_alarms,
        "detectable_drop": _detectable(measured),
        "samples_used": used,
        "samples_budget": budget.samples,
        "invalid_rate": float(tally.invalid.sum()) / used,
        "looks": looks_taken(plan, course),
        "anchor": reference.anchor and against_anchor(tally, reference.anchor, budget.terms),
        "old_rule_minimum": minimum,
        "old_rule_passes": None if minimum is None else not score < minimum,
        "changes": changes_of(record, tally, reference),
        "notes": (*_notes(budget, plan, number), *_flips(measured, tally), *warnings(tally, reference)),
    }


def _interval(plan: SequencePlan, tally: Tally, last: LookStatistics, number: int) -> tuple[float, float]:
    """The repeated confidence interval: for greedy answers that of the score test, else D +- c error."""
    critical = boundaries(plan.times, INTERVAL_ALPHA)[number]
    if plan.paired:
        lost, gained = _changed(plan, tally)
        return score_interval(lost, gained, tally.asked.size, critical)
    difference, half = float(last.difference), critical * float(last.variance) ** 0.5
    return max(difference - half, -1.0), min(difference + half, 1.0)


def _changed(plan: SequencePlan, tally: Tally) -> tuple[int, int]:
    """Questions that greedy answers lost and gained."""
    moved = tally.correct - plan.correct[tally.asked].astype(int)
    return int((moved < 0).sum()), int((moved > 0).sum())


def _detectable(measured: Measured) -> float | None:
    """As planned; for greedy answers of which nobody knew how often they flip, as these flipped."""
    budget, last = measured.budget, measured.course.looks[measured.last]
    if budget.detectable_drop is not None:
        return budget.detectable_drop
    error = float(last.variance_regression) ** 0.5
    return budget.tolerated_loss + detectable_at(budget.design, error) if error else None


def _notes(budget: Budget, plan: SequencePlan, number: int) -> tuple[str, ...]:
    notes = []
    if number + 1 < plan.first_pass:
        asked, total = plan.look_at[number], budget.design.questions
        notes.append(f"decided after {asked} of {total} questions: both scores are over those")
    if budget.max_repeats < budget.needed_repeats:
        notes.append(f"a wider margin was accepted for this run: {points(budget.margin)}")
    return tuple(notes)


def _flips(measured: Measured, tally: Tally) -> Iterator[str]:
    """A greedy score is not free of noise: what changed, and how often one build changes by itself."""
    plan, calibration = measured.plan, measured.reference.calibration
    if not plan.terms.greedy:
        return
    by_itself = "how often one build flips by itself was not measured (`gate calibrate`)"
    if calibration is not None and calibration.flip_rate is not None:
        by_itself = f"two runs of one build differ in {calibration.flip_rate:.1%}"
    if plan.paired:
        lost, gained = _changed(plan, tally)
        share = f"{(lost + gained) / tally.asked.size:.1%}"
        yield f"greedy answers to {share} of the questions changed: {lost} lost, {gained} gained; {by_itself}"
    else:
        yield f"greedy answers are not free of noise: {by_itself}"


def _verdict(measured: Measured, max_minutes: float | None) -> tuple[Verdict, str, str]:
    """Verdict, reason and next step."""
    record, _, budget, plan, course, _ = measured
    used = count(plan.look_at[measured.last], "sample")
    difference = float(course.looks[measured.last].difference)
    seen = f"{signed_points(difference)} after {used}"
    if course.held and course.dropped:
        return (
            Verdict.PASS,
            f"a real drop, proven smaller than the margin of {points(budget.margin)} ({seen})",
            "nothing has to be done; a smaller `margin` would have caught it",
        )
    if course.held:
        return Verdict.PASS, f"a drop of {points(budget.margin)} or more is ruled out ({seen})", ""
    if course.dropped:
        beyond = (
            f" of more than the tolerated {points(budget.tolerated_loss)}" if budget.tolerated_loss else ""
        )
        return (
            Verdict.REGRESSION,
            f"a drop{beyond} is proven ({seen})",
            "find the change that did it; if it is meant, have a new baseline accepted",
        )
    if course.complete == len(plan.blocks):
        return _undecided(measured, seen, f"the budget of {used} is spent")
    if max_minutes is not None and record.seconds >= max_minutes * 60:
        return _undecided(measured, seen, f"the time of {max_minutes:g} min is spent")
    return (
        Verdict.NOT_MEASURED,
        f"the run ended after {used} of {budget.samples:,}, before anything was decided",
        "run it again: it continues from the journal",
    )


def _undecided(measured: Measured, seen: str, spent: str) -> tuple[Verdict, str, str]:
    _, _, budget, plan, course, _ = measured
    number, last = measured.last, course.looks[measured.last]
    tests = [(last.z_regression, plan.upper_regression), (last.z_pass, plan.upper_pass)]
    repeats = [
        repeats_to_decide(
            float(z),
            upper[number],
            information=plan.times[number],
            baseline_repeats=budget.design.baseline_repeats,
            max_repeats=budget.max_repeats,
        )
        for z, upper in tests
        if z is not None
    ]
    enough = min((m for m in repeats if m is not None), default=None)
    if budget.design.greedy:
        needed = "greedy answers do not repeat: ask more questions, or sample at a temperature"
    elif enough is None:
        needed = "no number of samples would decide against this baseline: collect more baseline repeats"
    else:
        samples = count(enough * budget.design.questions, "sample")
        needed = (
            f"about {samples} would decide, were this the true difference; fewer against a larger baseline"
        )
    reason = f"{spent} and neither a drop nor its absence is proven ({seen})"
    detectable = _detectable(measured)
    if detectable is not None:
        reason += f"; a drop of {points(detectable)} would have been found 9 times in 10"
    return Verdict.INCONCLUSIVE, reason, needed
