"""What runs of one build differ by beyond sampling, what it does to false alarms, and what undoes it.

Nodes, days and clocks move a score in every question at once. The store holds few runs, so it hardly sees
that, and the gate alarms more often than it says. Derivations: docs/statistics.md, "Calibration".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.polynomial.hermite import hermgauss
from numpy.random import default_rng
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq
from scipy.special import chdtri

from gate.errors import StatisticsError
from gate.stats.boundaries import exit_probability
from gate.stats.looks import baseline_moments
from gate.stats.sequential import SequencePlan, follow

FEWEST_RUNS: Final = 3
"""Two runs differ by one number, whose interval reaches from nothing to thirty times itself."""

_TAIL: Final = 0.025
_NODES: Final = 64
_DRIFTS: Final = np.arange(-10.0, 14.01, 0.25)  # beyond, nothing and everything alarms
_STEP: Final = 1e-5


class Between(NamedTuple):
    """Standard deviation of a run's own offset, the same in every question, with its 95 % interval."""

    deviation: float
    low: float
    high: float


class AlarmCurve(NamedTuple):
    """How often a plan alarms, by the true offset of the candidate in standard errors at the last look.

    Args:
        rate: false-alarm rate at a mean of Z at the last look.
        error: that standard error, root of W/Q (1/n_b + 1/m_max).
    """

    rate: PchipInterpolator
    error: float

    def at(self, offset: float, tolerated_loss: float = 0.0) -> float:
        """Alarm rate where the candidate's offset scatters with this standard deviation around 0."""
        x, weights = hermgauss(_NODES)
        offsets = math.sqrt(2) * offset * x
        means = np.clip(-(offsets + tolerated_loss) / self.error, _DRIFTS[0], _DRIFTS[-1])
        return float(weights @ self.rate(means) / math.sqrt(math.pi))


def between_runs(correct: ArrayLike, repeats: ArrayLike) -> Between:
    """Between-run deviation of R runs, by Paule and Mandel (1982), its interval by the Q profile.

    A run's score has the variance tau^2 + W/(Q n_r). Q(tau^2) = sum w_r (y_r - ybar_w)^2 with
    w_r = 1/(tau^2 + W/(Q n_r)) is chi^2 with R-1 degrees at the true tau^2 and falls with tau^2: the estimate
    solves Q = R-1, the limits its 97.5 % and 2.5 % quantiles (Viechtbauer 2007, Statist. Med. 26:37).

    Args:
        correct: (R, Q) correct samples of each run and question.
        repeats: (R,) samples of a question in each run.

    Raises:
        StatisticsError: fewer than three runs, or runs that do not belong together.
    """
    k, n = np.asarray(correct, dtype=np.float64), np.asarray(repeats, dtype=np.float64)
    if k.ndim != 2 or n.shape != k.shape[:1]:  # noqa: PLR2004 - runs x questions
        raise StatisticsError(
            f"counts of shape {k.shape} and repeats of shape {n.shape} are no runs",
            hint="give one row of counts a run, and its repeats",
        )
    if len(k) < FEWEST_RUNS:
        raise StatisticsError(
            f"{len(k)} runs hardly show what runs differ by",
            hint=f"collect {FEWEST_RUNS} or more, on several days and machines",
        )
    within = baseline_moments(k.sum(axis=0), n.sum()).within
    scores, noise = k.mean(axis=1) / n, float(np.asarray(within)) / (k.shape[1] * n)
    degrees = len(k) - 1
    targets = (float(degrees), float(chdtri(degrees, _TAIL)), float(chdtri(degrees, 1 - _TAIL)))
    return Between(*(math.sqrt(_solved(scores, noise, target)) for target in targets))


def offset_deviation(between: float, repeats: ArrayLike) -> float:
    """Standard deviation of a new run's offset against a pool of runs with these repeats."""
    shares = np.asarray(repeats, dtype=np.float64)
    shares = shares / shares.sum()
    return between * math.sqrt(1 + float(shares @ shares))


def alarm_curve(plan: SequencePlan) -> AlarmCurve:
    """Of the regression test alone: the pass test can only take alarms away, and nothing relies on it.

    Raises:
        StatisticsError: a baseline of one repeat, whose W is not known.
    """
    if plan.moments.within is None:
        raise StatisticsError("one repeat shows no variance", hint="collect a second one")
    rates = [exit_probability(plan.times, plan.upper_regression, float(x)) for x in _DRIFTS]
    spread = 1 / float(plan.repeats) + 1 / plan.terms.max_repeats
    error = math.sqrt(float(plan.moments.within) / len(plan.correct) * spread)
    return AlarmCurve(PchipInterpolator(_DRIFTS, rates), error)


def restoring_loss(curve: AlarmCurve, offset: float, nominal: float) -> float:
    """The smallest d0, in steps of 1e-5, with which the plan alarms no more often than nominally."""

    def excess(loss: float) -> float:
        return curve.at(offset, loss) - nominal

    if excess(0.0) <= nominal * 1e-6:  # what the interpolation leaves
        return 0.0
    return round(math.ceil(float(brentq(excess, 0.0, 1.0, xtol=1e-9)) / _STEP) * _STEP, 5)


def flip_rate(correct: ArrayLike, repeats: ArrayLike) -> float:
    """How often answers of two different runs to one question differ: one right, the other not.

    Args:
        correct: (R, Q), R >= 2.
        repeats: (R,).
    """
    p = np.asarray(correct, dtype=np.float64) / np.asarray(repeats, dtype=np.float64)[:, None]
    runs = len(p)
    both = (p.sum(axis=0) ** 2 - (p**2).sum(axis=0)) / (runs * (runs - 1))
    return float((2 * (p.mean(axis=0) - both)).mean())


def replayed_alarms(
    plans: Sequence[SequencePlan],
    correct: NDArray[np.int64],
    repeats: Sequence[int],
    *,
    orders: int,
    seed: int,
) -> float:
    """Share of alarms when every run is judged against a plan of its own, made from the others.

    Answers of one run to one question are exchangeable, so each run is replayed in many random orders: the
    mean over orders is what a single one estimates.

    Args:
        plans: R plans, the r-th without run r.
        correct: (R, Q).
        repeats: (R,), each at least its plan's budget.
        orders: replays of each run.
        seed: of the orders.
    """
    rng = default_rng(seed)
    alarms = 0
    for plan, k, n in zip(plans, correct, repeats, strict=True):
        answers = np.arange(n)[:, None] < k
        for _ in range(orders):
            order = rng.permuted(answers, axis=0)[: plan.terms.max_repeats]
            course = follow(plan, ["".join(row) for row in np.where(order, "1", "0")])
            alarms += course.dropped and not course.held
    return alarms / (orders * len(plans))


def _solved(scores: NDArray[np.float64], noise: NDArray[np.float64], target: float) -> float:
    """The tau^2 at which Q(tau^2) is `target`; 0 where it is below that even there."""

    def excess(variance: float) -> float:
        weights = 1 / (noise + variance)
        mean = float(weights @ scores) / float(weights.sum())
        return float(weights @ (scores - mean) ** 2) - target

    return 0.0 if excess(0.0) <= 0 else float(brentq(excess, 0.0, 1e3, xtol=1e-14))
