"""The statistics of one look: a stratified test for a drop, and one for its absence.

Symbols as in docs/statistics.md. The questions are fixed, so no variance between questions enters
any standard error: the only noise is that of sampling answers to *these* questions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri, stdtr

from gate.errors import StatisticsError

Floats = NDArray[np.float64]

P_FLOOR = 1e-12
"""No p-value is reported below this: beyond it the normal approximation says nothing."""

PLUG_IN_REPEATS = 4
"""From so many repeats on, V_u is the sum of each question's own variance estimate."""


class Moments(NamedTuple):
    """What the baseline alone says. Shapes: (...) each.

    within: W, mean variance of one answer to one question, at least 1/Q; None with one repeat.
    accuracy: a, mean share of correct answers.
    """

    within: Floats | None
    accuracy: Floats


class DropStatistics(NamedTuple):
    """The test for a drop alone. Shapes: (...) each: D, z_F, V_F."""

    difference: Floats
    z: Floats
    variance: Floats

    @property
    def evidence(self) -> Floats:
        """Z as a p-value counts it: -inf where nothing varied (V_F = 0), so that p = 1."""
        return np.where(self.variance > 0, self.z, -np.inf)

    @property
    def p_value(self) -> Floats:
        """One-sided p-value of a single look, in [P_FLOOR, 1]."""
        return np.maximum(ndtr(-self.evidence), P_FLOOR)


class LookStatistics(NamedTuple):
    """One look. Shapes: (...) each, 0-dimensional for a single cell.

    z_pass, variance_plain (V_u) and variance_null (V_0) are None where the pass test is not
    available: a baseline of one repeat, or a single question.
    """

    difference: Floats
    z_regression: Floats
    variance_regression: Floats
    z_pass: Floats | None
    variance_plain: Floats | None
    variance_null: Floats | None

    @property
    def drop(self) -> DropStatistics:
        """The test for a drop alone."""
        return DropStatistics(self.difference, self.z_regression, self.variance_regression)

    @property
    def evidence(self) -> Floats:
        """z_regression as a p-value counts it."""
        return self.drop.evidence

    @property
    def variance(self) -> Floats:
        """max(V_F, V_u, V_0), the variance behind the repeated confidence interval."""
        if self.variance_plain is None or self.variance_null is None:
            return self.variance_regression
        return np.maximum(self.variance_regression, np.maximum(self.variance_plain, self.variance_null))


def baseline_moments(k: ArrayLike, n: ArrayLike) -> Moments:
    """W and a of a baseline with k of n answers correct, over all its Q questions.

    Args:
        k: correct answers, shape (..., Q).
        n: samples, broadcastable to k.
    """
    k_, n_ = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    accuracy = _mean(k_ / n_)
    if n_.size and n_.min() < 2:  # noqa: PLR2004 - a variance needs two samples
        return Moments(None, accuracy)
    spread = _mean(k_ * (n_ - k_) / (n_ * (n_ - 1)))
    return Moments(np.maximum(spread, 1 / k_.shape[-1]), accuracy)


def look_statistics(
    k: ArrayLike, n: ArrayLike, s: ArrayLike, m: ArrayLike, *, margin: float, tolerated_loss: float = 0.0
) -> LookStatistics:
    """Statistics of one look at one cell, questions that were not asked (m = 0) left out.

    Args:
        k: correct answers of the baseline, shape (Q,).
        n: samples of the baseline, shape (Q,) or a number.
        s: correct answers of the candidate, shape (Q,).
        m: samples of the candidate, shape (Q,) or a number.
        margin: the drop that must be ruled out, 0 < margin < 1.
        tolerated_loss: d0, the drop that does not count as a regression.

    Raises:
        StatisticsError: counts that cannot be, nothing asked, or margin or d0 out of range.
    """
    k_, n_, s_, m_ = np.broadcast_arrays(*(np.atleast_1d(np.asarray(x, np.float64)) for x in (k, n, s, m)))
    _check_counts(k_, n_, s_, m_)
    moments = baseline_moments(k_, n_)
    asked = m_ > 0
    if not asked.all():
        k_, n_, s_, m_ = k_[asked], n_[asked], s_[asked], m_[asked]
    return asked_statistics(k_, n_, s_, m_, moments, margin=margin, tolerated_loss=tolerated_loss)


def asked_statistics(
    k: Floats,
    n: Floats,
    s: Floats,
    m: Floats,
    moments: Moments,
    *,
    margin: float,
    tolerated_loss: float = 0.0,
) -> LookStatistics:
    """The same over the q asked questions only, for many looks or simulated gates at once.

    Args:
        k: shape (..., q), as float.
        n: broadcastable to k.
        s: shape (..., q), as float.
        m: all >= 1, broadcastable to s; equal along the last axis.
        moments: of all Q questions of the baseline.
        margin: as in `look_statistics`.
        tolerated_loss: as in `look_statistics`.
    """
    if not 0 < margin < 1:
        raise StatisticsError(f"the margin is {margin}", hint="give one between 0 and 1, such as 0.03")
    difference, z_f, v_f = drop_statistics(k, n, s, m, tolerated_loss=tolerated_loss)
    q = s.shape[-1]
    if moments.within is None or q < 2:  # noqa: PLR2004 - one question has no spread
        return LookStatistics(difference, z_f, v_f, None, None, None)
    b, p = k / n, s / m
    v_u = _plain_variance(b, n, p, m, p - b)
    w_0 = _noisiest_loss(moments.within, moments.accuracy, margin)
    v_0 = (moments.within * _mean(1 / n) + w_0 * _mean(1 / m)) / q
    z_p = _normal_score((difference + margin) / np.sqrt(np.maximum(v_u, v_0)), q - 1)
    return LookStatistics(difference, z_f, v_f, z_p, v_u, v_0)


def drop_statistics(
    k: Floats, n: Floats, s: Floats, m: Floats, *, tolerated_loss: float = 0.0
) -> DropStatistics:
    """The test for a drop over the q asked questions: D, z_F and V_F of Mantel and Haenszel.

    Args:
        k: shape (..., q), as float.
        n: broadcastable to k.
        s: shape (..., q), as float.
        m: all >= 1, broadcastable to s.
        tolerated_loss: d0, as in `look_statistics`.
    """
    if not 0 <= tolerated_loss < 1:
        raise StatisticsError(f"the tolerated loss is {tolerated_loss}", hint="give one from 0 up to 1")
    difference = _mean(s / m - k / n)
    total, right = n + m, k + s
    pooled = right * (total - right) / (total * (total - 1))
    v_f = _mean(pooled * (1 / n + 1 / m)) / s.shape[-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = 0.0 if tolerated_loss == 0 else -np.inf
        z_f = np.where(v_f > 0, -(difference + tolerated_loss) / np.sqrt(v_f), flat)
    return DropStatistics(difference, z_f, v_f)


def _plain_variance(b: Floats, n: Floats, p: Floats, m: Floats, d: Floats) -> Floats:
    """V_u: from each question's own spread where m allows it, from the spread between questions else."""
    q = d.shape[-1]
    if m.max() < PLUG_IN_REPEATS:
        return _spread(d)
    with np.errstate(divide="ignore", invalid="ignore"):
        plug_in: Floats = _mean(b * (1 - b) / (n - 1) + p * (1 - p) / (m - 1)) / q
    if m.min() >= PLUG_IN_REPEATS:
        return plug_in
    few = (m < PLUG_IN_REPEATS).any(axis=-1)
    return np.where(few, _spread(d), plug_in)


def _spread(d: Floats) -> Floats:
    """Variance of the mean of d, from the spread between questions."""
    q = d.shape[-1]
    off = d - _mean(d)[..., None]
    return np.asarray(np.add.reduce(off * off, axis=-1) / (q * (q - 1)))


def _noisiest_loss(within: Floats, accuracy: Floats, margin: float) -> Floats:
    """W0: the candidate's W if the whole margin were lost in the noisiest way, by truncating answers."""
    tau = np.minimum(margin / np.maximum(accuracy, margin), 1.0)
    return np.asarray((1 - tau) * (within + tau * np.maximum(accuracy - within, 0)))


def _normal_score(x: Floats, df: int) -> Floats:
    """Phi^-1(T_df(x)), through the lower tail on either side: a share next to 1 would be rounded to it."""
    return np.asarray(np.copysign(ndtri(stdtr(df, -np.abs(x))), x))


def _mean(x: Floats) -> Floats:
    """Mean over the last axis, without numpy.mean's overhead on 198 numbers."""
    return np.asarray(np.add.reduce(x, axis=-1) / x.shape[-1]) if x.ndim else x


def _check_counts(k: Floats, n: Floats, s: Floats, m: Floats) -> None:
    if k.ndim != 1:
        raise StatisticsError(
            f"counts must have shape (Q,), not {k.shape}", hint="give one number a question"
        )
    if n.min() < 1:
        raise StatisticsError("a question has no baseline samples", hint="collect the baseline again")
    if k.min() < 0 or s.min() < 0 or (k > n).any() or (s > m).any():
        raise StatisticsError(
            "a question has more correct answers than samples, or fewer than none",
            hint="give counts between 0 and the samples of the question",
        )
    if m.max() < 1:
        raise StatisticsError(
            "no question has been asked yet: there is nothing to look at", hint="look after the first block"
        )
