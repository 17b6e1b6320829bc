"""A regression held against fresh repeats of the base build from the same machine (statistics.md, Decision).

It can only take a regression back to `inconclusive`: the stored baseline and the fresh repeats are pooled,
and the drop must still cross the boundary of the look that it was found at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from gate.baseline.pool import homogeneity
from gate.decide.side import Tally
from gate.decide.words import signed_points
from gate.errors import RecordError
from gate.model.baseline import Reference
from gate.model.evidence import EvidenceCheck
from gate.model.record import Confirmation, RunRecord
from gate.model.result import Verdict
from gate.model.sample import Outcome
from gate.stats.looks import asked_statistics
from gate.stats.sequential import SequencePlan

_GREEDY: Final = "not confirmed: greedy answers of one build do not vary, so repeats would say nothing more"


class Confirmed(NamedTuple):
    """The look at which a drop was found, taken again with the fresh repeats in the baseline.

    Args:
        repeats: how many fresh repeats.
        score: of the base build now, over all questions.
        stored: of the stored baseline.
        homogeneity: p-value that both measured the same thing.
        difference: D of the look, against both pooled.
        z: regression statistic.
        boundary: what z was held against, the same as before.
    """

    repeats: int
    score: float
    stored: float
    homogeneity: float
    difference: float
    z: float
    boundary: float

    @property
    def holds(self) -> bool:
        """Whether the drop is still proven."""
        return self.z >= self.boundary

    def __str__(self) -> str:
        """One line for a report."""
        said = "still a drop" if self.holds else "no longer a proven drop"
        return (
            f"{said} against {self.repeats} fresh repeats of the base build on the same machine: they score "
            f"{self.score:.1%} (stored {self.stored:.1%}, homogeneity p = {self.homogeneity:.2g}); with them "
            f"{signed_points(self.difference)}, {self.z:.2f} against a boundary of {self.boundary:.2f}"
        )


def confirm(
    plan: SequencePlan, number: int, tally: Tally, outcomes: Sequence[str], reference: Reference
) -> Confirmed:
    """Take look `number` again with n_i + r in place of n_i.

    Args:
        plan: what was fixed before the first look.
        number: of the look that found the drop.
        tally: the candidate's samples at that look.
        outcomes: r complete repeats of the base build, one string of Q characters each.
        reference: the stored baseline.
    """
    right = np.array([[mark == Outcome.CORRECT for mark in row] for row in outcomes])
    fresh, repeats = right.sum(axis=0), len(outcomes)
    correct, total = reference.correct + fresh, np.asarray(float(reference.repeats + repeats))
    look = asked_statistics(
        correct[tally.asked].astype(np.float64),
        total,
        tally.correct.astype(np.float64),
        np.asarray(float(tally.repeats)),
        plan.moments,
        margin=plan.terms.margin,
        tolerated_loss=plan.terms.tolerated_loss,
    )
    same = homogeneity(np.stack([reference.correct, fresh]), np.array([reference.repeats, repeats]))
    return Confirmed(
        repeats=repeats,
        score=float(right.mean()),
        stored=float(reference.correct.mean() / reference.repeats),
        homogeneity=same.p_value,
        difference=float(look.difference),
        z=float(look.z_regression),
        boundary=plan.upper_regression[number],
    )


class Reconsidered(NamedTuple):
    """A regression after its confirmation: the words of the verdict, and a line for the report."""

    verdict: Verdict
    reason: str
    next_step: str
    note: str


def reconsider(
    record: RunRecord,
    reference: Reference,
    plan: SequencePlan,
    number: int,
    tally: Tally,
    *,
    checks: Sequence[EvidenceCheck],
    said: tuple[str, str],
) -> Reconsidered:
    """A regression again, or `inconclusive` where the drop is no longer proven.

    Args:
        record: holds a confirmation.
        reference: the stored baseline.
        plan: what was fixed before the first look.
        number: of the look that found the drop.
        tally: the candidate's samples at that look.
        checks: `expect` against what the base build reported.
        said: reason and next step of the regression.

    Raises:
        RecordError: the fresh repeats are the candidate's own.
    """
    confirmation = record.confirmation
    if plan.terms.greedy:
        return Reconsidered(Verdict.REGRESSION, *said, _GREEDY)
    if confirmation is None or (why := _unusable(confirmation, checks)):
        note = f"not confirmed by the base build ({why}); the drop stands as it was found"
        return Reconsidered(Verdict.REGRESSION, *said, note)
    if confirmation.stream == record.stream:
        raise RecordError(
            "the confirmation has the stream of the run itself: its repeats are not fresh",
            hint="run it again with --confirm-with: the base build draws samples of its own",
        )
    found = confirm(plan, number, tally, confirmation.outcomes, reference)
    if found.holds:
        return Reconsidered(Verdict.REGRESSION, *said, str(found))
    return Reconsidered(
        Verdict.INCONCLUSIVE,
        f"a drop was found, but the base build itself does not confirm it on this machine ({said[0]} "
        f"against the stored baseline, {signed_points(found.difference)} with {found.repeats} fresh repeats)",
        "find out why the base build scores otherwise here than when its baseline was collected; a larger "
        "baseline, from several days and machines, makes this rarer",
        str(found),
    )


def _unusable(confirmation: Confirmation, checks: Sequence[EvidenceCheck]) -> str:
    """Why these repeats say nothing; empty where they do."""
    if confirmation.failure is not None:
        return confirmation.failure.message
    failed = [
        f"{c.fact}: expected {c.expected}, it reported {c.found or 'nothing'}" for c in checks if not c.ok
    ]
    return "; ".join(failed)
