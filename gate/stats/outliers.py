"""Outliers: did a few prompts move far more than noise moves single ones? Pure.

The t over prompts of `gate.stats.drift` asks about most prompts; a fault that only long ones meet hides from
it. Here the two prompts that moved most are held against the tail of what single prompts do in healthy
comparisons. Derivation: docs/numerics.md, "Few prompts".
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gate.errors import StatisticsError
from gate.stats.drift import mean_floors
from gate.stats.looks import P_FLOOR, Floats

TOGETHER: Final = 2
"""So many prompts must stand out. A single one does where two experts are nearly tied: no fault, and rare
enough that a handful of healthy comparisons does not show it."""

TAIL_SHARE: Final = 0.1
"""The tail is fitted to the largest tenth of what is known."""

LEAST_EXCESS: Final = 0.1
"""An engine that repeats itself bit for bit has no tail; single prompts are taken to scatter by a tenth."""


class Tail(NamedTuple):
    """What single prompts do in healthy comparisons, on the scale log(1 + w): its upper tail.

    Args:
        number, total: the largest `number` of `total` values are the tail.
        start: where it begins.
        mean: of the excesses over `start`.
    """

    number: int
    total: int
    start: float
    mean: float

    def p_value(self, times: float, prompts: int) -> float:
        """How likely two of so many prompts are at least so far out, at most; in [1e-12, 1]."""
        excess = math.log1p(times) - self.start
        if excess <= 0:
            return 1.0
        beyond = math.exp(-self.number * math.log1p(excess / (self.number * self.mean)))
        return min(max(prompts / TOGETHER * self.number / self.total * beyond, P_FLOOR), 1.0)

    def needed(self, p_value: float, prompts: int) -> float:
        """How far out the second largest of so many prompts must be for this p-value, below 1.

        Infinity where it is further than a float says: of a few healthy values the tail's end is not known.
        """
        share = p_value * TOGETHER * self.total / (prompts * self.number)
        excess = self.number * self.mean * max(0.0, math.expm1(-math.log(share) / self.number))
        try:
            return math.expm1(self.start + excess)
        except OverflowError:
            return math.inf


class Outliers(NamedTuple):
    """How far the few prompts that moved most are from what single prompts do.

    Args:
        times: the second largest value, in units of its floor and of the run's own middle.
        p_value: one-sided, in [1e-12, 1]; 1 where no healthy comparison shows what single prompts do.
        apart: every prompt's value, shape (n,), in the same units; NaN where a prompt says nothing.
        tail: what single prompts do; None where no healthy comparison shows it.
    """

    times: float
    p_value: float
    apart: Floats
    tail: Tail | None = None


def outliers(values: ArrayLike, healthy: ArrayLike, least: float, allowance: float) -> Outliers:
    """Do two or more of `values`, one a prompt, stand out from their noise?

    Each healthy comparison is measured against the mean of the others, as the candidate is against that of
    all, and both in units of their own middle: a run that is louder as a whole has no outliers. On the
    scale log(1 + w) the excesses over the upper tenth of all R n of them are taken for exponential (a Pareto
    tail of w, heavier than that of any chi-square or log-normal noise); with their mean m estimated from k of
    them, and from the largest, a new one exceeds u + e with probability k/(Rn) (1 + e/(k m))^-k. By Markov's
    inequality two of n prompts do so together with at most n/2 times that, however much prompts depend on
    each other or differ.

    Args:
        values: shape (n,), not negative; NaN where a prompt says nothing.
        healthy: R healthy comparisons, shape (R, n).
        least: what a floor is at least.
        allowance: how many floors are no outlier.

    Raises:
        StatisticsError: the shapes do not belong together.
    """
    mine, given = np.asarray(values, np.float64), np.asarray(healthy, np.float64)
    if given.ndim != 2 or mine.shape != given.shape[1:]:  # noqa: PLR2004 - (R, n)
        raise StatisticsError(
            f"comparisons of shape {given.shape} for {mine.shape[0]} prompts",
            hint="compare probes of the same prompts",
        )
    apart = _apart(mine, mean_floors(given, least))
    stood = _known(apart)
    if stood.size < TOGETHER:
        return Outliers(0.0, 1.0, apart)
    times = float(np.sort(stood)[-TOGETHER])
    tail = _tail(given, least, allowance)
    return Outliers(times, 1.0 if tail is None else tail.p_value(times, mine.size), apart, tail)


def _tail(given: Floats, least: float, allowance: float) -> Tail | None:
    """Fit the tail to healthy comparisons, shape (R, n); None where they are too few."""
    if not len(given):
        return None
    known = [
        _known(_apart(row, mean_floors(np.delete(given, r, axis=0), least))) for r, row in enumerate(given)
    ]
    pool = np.sort(np.log1p(np.concatenate(known)))[::-1]
    number = math.ceil(TAIL_SHARE * pool.size)
    if number >= pool.size:
        return None
    start = max(float(pool[number]), math.log1p(allowance))
    excesses = np.maximum(pool[:number] - start, 0.0)
    # The largest of k exponentials is H_k means long: one that was seen far out counts, too.
    harmonic = float((1 / np.arange(1, number + 1)).sum())
    mean = max(float(excesses.mean()), float(excesses[0]) / harmonic, LEAST_EXCESS)
    return Tail(number, pool.size, start, mean)


def _apart(values: Floats, floor: Floats) -> Floats:
    """Values in units of their floors, and of their own middle where that is above 1."""
    ratio: Floats = values / floor
    known = _known(ratio)
    return ratio / max(1.0, float(np.median(known))) if known.size else ratio


def _known(values: Floats) -> Floats:
    return values[~np.isnan(values)]
