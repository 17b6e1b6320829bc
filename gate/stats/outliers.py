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


class Outliers(NamedTuple):
    """How far the few prompts that moved most are from what single prompts do.

    Args:
        times: the second largest value, in units of its floor and of the run's own middle.
        p_value: one-sided, in [1e-12, 1]; 1 where no healthy comparison shows what single prompts do.
    """

    times: float
    p_value: float


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
    stood = _apart(mine, mean_floors(given, least))
    if stood.size < TOGETHER:
        return Outliers(0.0, 1.0)
    times = float(np.sort(stood)[-TOGETHER])
    if not len(given):
        return Outliers(times, 1.0)
    known = [_apart(row, mean_floors(np.delete(given, r, axis=0), least)) for r, row in enumerate(given)]
    pool = np.sort(np.log1p(np.concatenate(known)))[::-1]
    number = math.ceil(TAIL_SHARE * pool.size)
    if number >= pool.size:
        return Outliers(times, 1.0)
    start = max(float(pool[number]), math.log1p(allowance))
    excesses = np.maximum(pool[:number] - start, 0.0)
    # The largest of k exponentials is H_k means long: one that was seen far out counts, too.
    harmonic = float((1 / np.arange(1, number + 1)).sum())
    mean = max(float(excesses.mean()), float(excesses[0]) / harmonic, LEAST_EXCESS)
    excess = math.log1p(times) - start
    if excess <= 0:
        return Outliers(times, 1.0)
    tail = number / pool.size * math.exp(-number * math.log1p(excess / (number * mean)))
    return Outliers(times, min(max(mine.size / TOGETHER * tail, P_FLOOR), 1.0))


def _apart(values: Floats, floor: Floats) -> Floats:
    """Values in units of their floors, and of their own middle where that is above 1; NaN left out."""
    ratio = values / floor
    known: Floats = ratio[~np.isnan(ratio)]
    return known / max(1.0, float(np.median(known))) if known.size else known
