"""Greedy decoding: one answer a question and build, so that only the questions that changed tell anything.

n = m = 1. A question is lost (right before, wrong now), gained, or the same. V_F reduces to McNemar's, whose
exact test is the binomial one on the lost among the changed; the pass test is Tango's score test of the
paired difference (1998, Statist. Med. 17:891), whose inversion is its score interval. The answers of a
question are one draw, so here the spread between questions is the noise. Derivations: docs/statistics.md.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from scipy.optimize import brentq
from scipy.special import betainc, ndtri

from gate.errors import StatisticsError
from gate.stats.looks import DropStatistics, Floats, LookStatistics

_TINIEST: Final = 1e-300


def paired_statistics(k: Floats, s: Floats, *, margin: float, tolerated_loss: float = 0.0) -> LookStatistics:
    """One look at q questions answered once on either side; the exact p-value as a normal score.

    Args:
        k: 1 where the baseline's answer is right, else 0, shape (..., q), as float.
        s: the same of the candidate.
        margin: the drop that must be ruled out, 0 < margin < 1.
        tolerated_loss: d0.

    Returns:
        `variance_plain` is the plain variance of D, `variance_null` Tango's, at a drop of the margin.
    """
    if not 0 < margin < 1:
        raise StatisticsError(f"the margin is {margin}", hint="give one between 0 and 1, such as 0.03")
    drop = paired_drop(k, s, tolerated_loss=tolerated_loss)
    q = s.shape[-1]
    lost, gained = _changed(k, s)
    null = _null_variance(lost, gained, q, -margin)
    plain = np.maximum(lost + gained - (gained - lost) ** 2 / q, 0) / q**2
    z_pass = (drop.difference + margin) / np.sqrt(null)
    return LookStatistics(drop.difference, drop.z, drop.variance, z_pass, plain, null)


def paired_drop(k: Floats, s: Floats, *, tolerated_loss: float = 0.0) -> DropStatistics:
    """The exact one-sided test for a drop; arguments as in `paired_statistics`.

    P(Bin(lost + gained, 1/2) >= lost). With a tolerated loss, a changed question is a lost one with
    probability (1 + d0 q/(lost + gained))/2 instead, what it is at a drop of d0 with so many changes.
    """
    if not 0 <= tolerated_loss < 1:
        raise StatisticsError(f"the tolerated loss is {tolerated_loss}", hint="give one from 0 up to 1")
    q = s.shape[-1]
    lost, gained = _changed(k, s)
    changed = lost + gained
    chance = np.minimum((1 + tolerated_loss * q / np.maximum(changed, 1)) / 2, 1)
    # The binomial tail as an incomplete beta function, which takes arrays of any size at once.
    p = np.where(lost > 0, betainc(np.maximum(lost, 1), gained + 1, chance), 1.0)
    z = -np.asarray(ndtri(np.maximum(p, _TINIEST)))
    return DropStatistics((gained - lost) / q, z, changed / q**2)


def score_interval(lost: float, gained: float, q: int, z: float) -> tuple[float, float]:
    """Tango's interval of the difference: the values that a score test at z does not reject."""
    difference = (gained - lost) / q

    def distance(value: float) -> float:
        error = math.sqrt(float(_null_variance(np.asarray(lost), np.asarray(gained), q, value)))
        return (difference - value) - math.copysign(z, difference - value) * error

    nearly = 1 - 1e-9
    low = -1.0 if distance(-nearly) <= 0 else float(brentq(distance, -nearly, difference - 1e-12))
    high = 1.0 if distance(nearly) >= 0 else float(brentq(distance, difference + 1e-12, nearly))
    return low, high


def _changed(k: Floats, s: Floats) -> tuple[Floats, Floats]:
    """Questions lost and gained."""
    both = np.add.reduce(k * s, axis=-1)
    return np.add.reduce(k, axis=-1) - both, np.add.reduce(s, axis=-1) - both


def _null_variance(lost: Floats, gained: Floats, q: int, value: float) -> Floats:
    """Variance of D were `value` the true difference: 2 p_lost + value - value^2, p_lost the likeliest then.

    p_lost solves 2 q x^2 - (lost + gained - (2 q - gained + lost) value) x - lost value (1 - value) = 0.
    """
    b = lost + gained - (2 * q - gained + lost) * value
    root = np.sqrt(np.maximum(b * b + 8 * q * lost * value * (1 - value), 0))
    likeliest = (b + root) / (4 * q)
    return np.asarray(np.maximum((2 * likeliest + value * (1 - value)) / q, _TINIEST))
