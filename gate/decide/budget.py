"""What is declared before the first look at a cell: budget, margin, error levels, blocks."""

from __future__ import annotations

import math
from typing import NamedTuple

from gate.config import GateSettings
from gate.decide.words import count, points
from gate.errors import StatisticsError
from gate.model.baseline import Reference
from gate.stats import fixed, planning, sequential
from gate.stats.looks import baseline_moments
from gate.stats.planning import Design
from gate.stats.sequential import SequencePlan, Terms


class Budget(NamedTuple):
    """The declared numbers of one cell.

    Args:
        max_repeats: m_max, the most answers to one question.
        needed_repeats: what the config's margin asks for; above `max_repeats` where a wider one was accepted.
        margin: the drop that will be ruled out: the config's, or the wider one that was accepted.
        tolerated_loss: d0.
        alpha: error of the regression tests over the whole run, those against anchors included.
        family_size: C, the cells that share `alpha`.
        alpha_pass: error of this cell's pass test.
        detectable_drop: the drop found with 90 % probability once the budget is spent; None for greedy
            answers of which nobody knows how often they flip.
        design: what all this was computed from.
    """

    max_repeats: int
    needed_repeats: int
    margin: float
    tolerated_loss: float
    alpha: float
    family_size: int
    alpha_pass: float
    detectable_drop: float | None
    design: Design

    @property
    def samples(self) -> int:
        """The most samples one cell may use."""
        return self.max_repeats * self.design.questions

    @property
    def terms(self) -> Terms:
        """The same as the sequential test takes them."""
        return Terms(
            margin=self.margin,
            tolerated_loss=self.tolerated_loss,
            alpha=self.design.alpha_regression,
            alpha_pass=self.alpha_pass,
            max_repeats=self.max_repeats,
            alpha_anchor=self.design.alpha_anchor,
            greedy=self.design.greedy,
        )


def plan_budget(
    reference: Reference,
    settings: GateSettings,
    *,
    family_size: int,
    chance: float = 0.0,
    accept_wider_margin: bool = False,
) -> Budget:
    """The budget of one cell, or why its margin cannot be proven, before anything is started.

    Args:
        reference: the pooled baseline.
        settings: the config's `gate:` section.
        family_size: C, the cells of this event's plan in the base branch.
        chance: score of guessing; 0 for open answers.
        accept_wider_margin: prove the margin that the config's `max_repeats` allows, rather than refuse.

    Raises:
        StatisticsError: the margin cannot be proven; says what would make it possible.
    """
    where = str(reference.fingerprint.cell)
    try:
        return _plan(reference, settings, family_size, chance, accept_wider_margin)
    except StatisticsError as error:
        raise StatisticsError(error.message, where=where, hint=error.hint) from error


def tolerated_loss_of(reference: Reference, settings: GateSettings) -> float:
    """d0: what the config tolerates, or what runs of one build differ by where that is more.

    The larger of both: a config cannot make the gate alarm at what its own runs scatter by, and a calibration
    cannot take back what somebody decided to tolerate.
    """
    measured = reference.calibration.tolerated_loss if reference.calibration else 0.0
    return max(settings.tolerated_loss, measured)


def fixed_budget(
    reference: Reference, settings: GateSettings, repeats: int, *, family_size: int, chance: float = 0.0
) -> Budget:
    """The budget of a run whose size others fixed: it may be too small to decide, but is never refused.

    Args:
        reference: the pooled baseline.
        settings: the config's `gate:` section; its `max_repeats` says nothing here.
        repeats: answers to each question, as declared.
        family_size: C.
        chance: score of guessing; 0 for open answers.

    Raises:
        StatisticsError: the baseline is too small, or the margin exceeds its score.
    """
    try:
        design, accuracy = _design(reference, settings, family_size)
        _check_margin(accuracy, settings.margin, chance)
        _check_copies(design, repeats)
        return _budget(reference, settings, design, repeats, needed=repeats, margin=settings.margin)
    except StatisticsError as error:
        where = str(reference.fingerprint.cell)
        raise StatisticsError(error.message, where=where, hint=error.hint) from error


def plan_fixed(reference: Reference, budget: Budget) -> SequencePlan:
    """The one look at a run of a fixed size."""
    return fixed.plan_fixed(reference.questions, reference.correct, reference.repeats, budget.terms)


def plan_sequence(reference: Reference, budget: Budget, *, question_order_seed: str) -> SequencePlan:
    """Blocks, looks and boundaries of one cell under its budget.

    Raises:
        StatisticsError: an error level or a count is out of range.
    """
    return sequential.plan_sequence(
        reference.questions,
        reference.correct,
        reference.repeats,
        budget.terms,
        question_order_seed=question_order_seed,
    )


def _plan(
    reference: Reference, settings: GateSettings, family_size: int, chance: float, accept_wider: bool
) -> Budget:
    design, accuracy = _design(reference, settings, family_size)
    _check_margin(accuracy, settings.margin, chance)
    needed, margin = _needed(design, settings.margin, accept_wider), settings.margin
    cap = 1 if design.greedy else min(needed, settings.max_repeats)
    if cap < needed:
        margin = planning.provable_margin(design, cap)
        if not accept_wider:
            raise StatisticsError(
                f"ruling out a drop of {points(settings.margin)} takes {needed} repeats, but max_repeats is "
                f"{cap}, which rules out {points(margin)}",
                hint=f"raise max_repeats to {needed}, widen the margin, or take the wider one for this run "
                "with --accept-wider-margin",
            )
        _check_margin(accuracy, margin, chance)
    return _budget(reference, settings, design, cap, needed=needed, margin=margin)


def _budget(
    reference: Reference, settings: GateSettings, design: Design, repeats: int, *, needed: int, margin: float
) -> Budget:
    tolerated = tolerated_loss_of(reference, settings)
    if tolerated >= margin:
        raise StatisticsError(
            f"a loss of {points(tolerated)} is tolerated, no less than the margin of {points(margin)}",
            hint="widen the margin, or find out what runs of one build differ by (`gate calibrate`)",
        )
    known = not math.isnan(design.within)
    drop = tolerated + planning.detectable_drop(design, repeats) if known else None
    return Budget(
        max_repeats=repeats,
        needed_repeats=needed,
        margin=margin,
        tolerated_loss=tolerated,
        alpha=settings.alpha,
        family_size=design.cells,
        alpha_pass=settings.alpha_pass,
        detectable_drop=drop,
        design=design,
    )


def _design(reference: Reference, settings: GateSettings, family_size: int) -> tuple[Design, float]:
    if len(reference.questions) < 2:  # noqa: PLR2004 - T_{q-1} needs a degree of freedom
        raise StatisticsError(
            f"a baseline of {count(len(reference.questions), 'question')} cannot rule out any drop",
            hint="ask more questions: the spread between them is part of the test",
        )
    moments = baseline_moments(reference.correct, reference.repeats)
    greedy = reference.fingerprint.temperature == 0
    if moments.within is None and not greedy:
        raise StatisticsError(
            "a baseline of one repeat does not show how much its answers vary, so no drop can be ruled out",
            hint="collect a second repeat; 32 are a good size",
        )
    design = Design(
        questions=len(reference.questions),
        within=_flips(reference) / 2 if moments.within is None else float(moments.within),
        baseline_repeats=reference.repeats,
        alpha=settings.alpha,
        alpha_pass=settings.alpha_pass,
        cells=family_size,
        anchored=reference.anchor is not None,
        greedy=greedy,
    )
    return design if math.isnan(design.within) else planning.checked(design), float(moments.accuracy)


def _flips(reference: Reference) -> float:
    """How often two greedy runs of one build differ; NaN where nobody calibrated it.

    At least one question in Q, as W is at least 1/Q elsewhere: a run that flipped nothing proves no zero.
    """
    measured = reference.calibration.flip_rate if reference.calibration else None
    return math.nan if measured is None else max(measured, 1 / len(reference.questions))


def _needed(design: Design, margin: float, accept_wider: bool) -> int:
    """Repeats that the margin takes; greedy answers to every question once are all there is."""
    if design.greedy and math.isnan(design.within):
        return 1  # nobody knows how often answers flip: what one pass proves is seen when it is done
    if design.greedy and accept_wider:
        return planning.repeats_for(design, margin) or planning.MOST_REPEATS
    return planning.budget_for(design, margin)


def _check_copies(design: Design, repeats: int) -> None:
    if design.greedy and repeats > 1:
        raise StatisticsError(
            f"{repeats} repeats of greedy answers: copies in one run would count as samples",
            hint="import a run of one repeat",
        )


def _check_margin(accuracy: float, margin: float, chance: float) -> None:
    """A margin that a model worse than useless would pass is none."""
    if not 0 <= chance < 1:
        raise StatisticsError(f"guessing scores {chance}", hint="it lies from 0 up to 1")
    most = (accuracy - chance) / 2 if chance else accuracy
    if margin >= most:
        between = (
            f"guessing, {chance:.3f}, and the baseline score" if chance else "nothing and the baseline score"
        )
        raise StatisticsError(
            f"a margin of {margin:.3f} leaves no room between {between}, {accuracy:.3f}",
            hint=f"a margin below {most:.3f}, or questions that the model can answer",
        )
