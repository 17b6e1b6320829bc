"""Planning: what a margin costs, what a budget proves, before any sample is drawn.

All of it rests on the standard error of the difference, sqrt(W/Q (1/n_b + 1/m)), with W the mean
variance of one answer to one question (docs/statistics.md, "Budget").
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from scipy.special import ndtri

from gate.errors import StatisticsError
from gate.stats.boundaries import check_level

MOST_REPEATS: Final = 40
"""No plan asks a question more often than this: a baseline with more repeats is the better remedy."""

SEQUENTIAL_COST: Final = 1.15
"""What looking early costs in samples at the last look, compared with one look."""

POWER: Final = 0.9

ANCHOR_SHARE: Final = 0.2
"""What the test against an anchor takes of a cell's error, where there is one."""


class Design(NamedTuple):
    """What one cell is planned from.

    Args:
        questions: Q.
        within: W, mean variance of one answer to one question.
        baseline_repeats: n_b.
        alpha: one-sided error of the regression test for the whole run.
        alpha_pass: one-sided error of the pass test of each cell.
        cells: C, over which `alpha` is split.
        anchored: whether a part of each cell's error is set aside for a test against an anchor.
        greedy: temperature 0, where one answer to each question is all there is.
    """

    questions: int
    within: float
    baseline_repeats: int
    alpha: float = 0.01
    alpha_pass: float = 0.05
    cells: int = 1
    anchored: bool = False
    greedy: bool = False

    @property
    def alpha_regression(self) -> float:
        """Error of one cell's sequential test for a drop."""
        return self.alpha / self.cells - self.alpha_anchor

    @property
    def alpha_anchor(self) -> float:
        """Error of one cell's single look against the anchor; 0 without one."""
        return ANCHOR_SHARE * self.alpha / self.cells if self.anchored else 0.0


def checked(design: Design) -> Design:
    """The design, if its numbers can be.

    Raises:
        StatisticsError: no questions, cells or repeats, a variance or an error level out of range.
    """
    if design.cells < 1:
        raise StatisticsError(f"a family of {design.cells} cells", hint="a run has at least one cell")
    if design.questions < 1 or design.baseline_repeats < 1:
        raise StatisticsError(
            f"{design.questions} questions, {design.baseline_repeats} baseline repeats",
            hint="give at least one question and two baseline repeats",
        )
    if not 0 < design.within <= 1:
        raise StatisticsError(f"a within-question variance of {design.within}", hint="it lies in (0, 0.5]")
    check_level(design.alpha)
    check_level(design.alpha_pass)
    return design


def repeats_for(design: Design, margin: float) -> int | None:
    """Repeats of the candidate that prove `margin`; None where no number does.

    m_max = ceil(1/(margin^2 Q/(W (z_{aF/C} + z_{aP})^2 1.15) - 1/n_b)); it may exceed MOST_REPEATS.
    With an anchor it is 0.8 aF/C.
    """
    room = _room(design, margin) - 1 / design.baseline_repeats
    return math.ceil(1 / room) if room > 0 else None


def budget_for(design: Design, margin: float) -> int:
    """`repeats_for`, where it is a number that may be spent.

    Raises:
        StatisticsError: no budget of up to MOST_REPEATS proves the margin, or for greedy answers not a
            single pass; says what would help.
    """
    needed = repeats_for(design, margin)
    if design.greedy and needed != 1:
        raise StatisticsError(
            f"a drop below {100 * margin:.1f} points cannot be ruled out with one greedy answer to each of "
            f"{design.questions} questions, where {2 * design.within:.1%} of the answers flip",
            hint=f"ask {questions_for(design, margin)} or more questions, or widen the margin to "
            f"{math.ceil(provable_margin(design, 1) * 1000) / 1000:.3f} or more",
        )
    if needed is not None and needed <= MOST_REPEATS:
        return needed
    enough = baseline_repeats_for(design, margin)
    more = f"collect {enough} or more baseline repeats, or" if enough else "no baseline is large enough:"
    wider = math.ceil(provable_margin(design, MOST_REPEATS) * 1000) / 1000
    raise StatisticsError(
        f"a drop below {100 * margin:.1f} points cannot be ruled out with this baseline: "
        f"{design.baseline_repeats} repeats, {design.questions} questions, cells in the run: {design.cells}",
        hint=f"{more} widen the margin to {wider:.3f} or more",
    )


def questions_for(design: Design, margin: float) -> int:
    """Questions of which one greedy answer each proves `margin`."""
    variance = design.within * (1 / design.baseline_repeats + 1)
    return math.ceil(variance * _reach(design) ** 2 * SEQUENTIAL_COST / margin**2)


def baseline_repeats_for(design: Design, margin: float, *, repeats: int = MOST_REPEATS) -> int | None:
    """Baseline repeats with which `repeats` of the candidate prove `margin`; None where no number does."""
    room = _room(design, margin) - 1 / repeats
    return math.ceil(1 / room) if room > 0 else None


def provable_margin(design: Design, repeats: int) -> float:
    """The smallest margin that `repeats` of the candidate prove with this baseline."""
    return _reach(design) * math.sqrt(SEQUENTIAL_COST) * _standard_error(design, repeats)


def detectable_drop(design: Design, repeats: int, *, power: float = POWER) -> float:
    """The drop that the regression test finds with probability `power` when the budget is spent.

    (z_{aF/C} + z_power) sqrt(W/Q (1/n_b + 1/m)): 3.61 standard errors at 1 %, one cell, 90 %.
    """
    check_level(power)
    design = checked(design)
    return detectable_at(design, _standard_error(design, repeats), power=power)


def detectable_at(design: Design, standard_error: float, *, power: float = POWER) -> float:
    """The same where the standard error of the difference is known."""
    return (_upper(design.alpha_regression) + _upper(1 - power)) * standard_error


def repeats_to_decide(
    z: float, boundary: float, *, information: float, baseline_repeats: int, max_repeats: int
) -> int | None:
    """Repeats after which a statistic would reach its boundary, if the observed difference is the true one.

    Z grows as the root of the information, t' = t (c/Z)^2, which saturates at what the baseline's own
    noise leaves: None where that is too little, or where the difference points the other way.

    Args:
        z: at the last look.
        boundary: c at that look.
        information: t at that look.
        baseline_repeats: n_b.
        max_repeats: m_max of the plan, whose last look has t = 1.
    """
    if z <= 0:
        return None
    full = 1 / baseline_repeats + 1 / max_repeats
    room = full / (information * (boundary / z) ** 2) - 1 / baseline_repeats
    return math.ceil(1 / room) if room > 0 else None


def _room(design: Design, margin: float) -> float:
    """1/n_b + 1/m at which the margin is just proven."""
    if not 0 < margin < 1:
        raise StatisticsError(f"the margin is {margin}", hint="give one between 0 and 1, such as 0.03")
    design = checked(design)
    return margin**2 * design.questions / (design.within * _reach(design) ** 2 * SEQUENTIAL_COST)


def _reach(design: Design) -> float:
    return _upper(design.alpha_regression) + _upper(design.alpha_pass)


def _standard_error(design: Design, repeats: int) -> float:
    return math.sqrt(design.within / design.questions * (1 / design.baseline_repeats + 1 / repeats))


def _upper(alpha: float) -> float:
    return -float(ndtri(alpha))
