"""Side endpoints: what a score does not show. One look each, at the stop; they warn, they do not decide.

Each has its own error of .1 %. Rates and broken questions are tested exactly; the length test rests on
the mean of Q independent values. Derivations: docs/statistics.md, "Side endpoints".
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, stdtr

from gate.errors import StatisticsError
from gate.stats.looks import P_FLOOR, Floats

SIDE_ALPHA: Final = 0.001


class Endpoint(NamedTuple):
    """One side endpoint.

    Args:
        p_value: in [1e-12, 1].
        before: the baseline's rate, or 0 where `after` is a relative change.
        after: the candidate's rate, or its relative change.
    """

    p_value: float
    before: float
    after: float

    @property
    def alarming(self) -> bool:
        """Whether it is worth a warning."""
        return self.p_value <= SIDE_ALPHA


class BrokenQuestion(NamedTuple):
    """A question that the candidate gets right far less often. `question`: its index among those given."""

    question: int
    p_value: float
    before: float
    after: float


def rate_rise(before: ArrayLike, n: int, after: ArrayLike, m: int) -> Endpoint:
    """Did a rate rise, question by question? Exact, one-sided, conditional on each question's total.

    Args:
        before: events among the baseline's n samples of each question, shape (q,).
        n: samples of a question in the baseline.
        after: events among the candidate's m samples of each question, shape (q,).
        m: samples of a question in the candidate.

    Raises:
        StatisticsError: counts that cannot be.

    The sum of independent hypergeometric counts, convolved; questions with the same total are alike.
    """
    x, y = _counts(before, n), _counts(after, m)
    if x.shape != y.shape or not x.size:
        raise StatisticsError(
            f"{x.size} questions before, {y.size} after", hint="compare runs of the same questions"
        )
    alike = np.bincount(x + y)
    law = np.ones(1)
    for total, count in enumerate(alike.tolist()):
        if not (total and count):
            continue
        law = np.convolve(law, _power(_laws(n, m)[total, : min(total, m) + 1], count))
    p = float(law[int(y.sum()) :].sum())
    return Endpoint(_bounded(p), float(x.mean() / n), float(y.mean() / m))


def share_rise(before: int, n: int, after: int, m: int) -> Endpoint:
    """Did a share of all samples rise? Fisher's exact test on the totals, one-sided.

    For what the baseline counts over all questions only. The same questions stand on both sides, so
    leaving out which is which makes the test cautious, never bold.

    Args:
        before: events among the baseline's n samples.
        n: samples of the baseline.
        after: events among the candidate's m samples.
        m: samples of the candidate.
    """
    x, y = int(_counts([before], n)[0]), int(_counts([after], m)[0])
    total = x + y
    u = np.arange(max(y, total - n), min(total, m) + 1)
    ways = _log_choose(total, u) + _log_choose(n + m - total, m - u) - _log_choose(n + m, np.array(m))
    return Endpoint(_bounded(float(np.exp(ways).sum())), x / n, y / m)


def broken_questions(k: ArrayLike, n: int, s: ArrayLike, m: int) -> tuple[BrokenQuestion, ...]:
    """Questions whose right answers fell so far that, over q questions, chance does it .1 % of the time.

    Args:
        k: correct answers of the baseline, shape (q,).
        n: samples of a question in the baseline.
        s: correct answers of the candidate, shape (q,).
        m: samples of a question in the candidate.

    Returns:
        Those with a hypergeometric p of at most .001/q, the least likely first.
    """
    right, now = _counts(k, n), _counts(s, m)
    p = _laws(n, m).cumsum(axis=1)[right + now, now]
    found = np.flatnonzero(p <= SIDE_ALPHA / max(p.size, 1))
    return tuple(
        BrokenQuestion(int(i), _bounded(float(p[i])), float(right[i] / n), float(now[i] / m))
        for i in found[np.argsort(p[found], kind="stable")]
    )


def length_shift(before: ArrayLike, n: int, after: ArrayLike, m: int) -> Endpoint | None:
    """Did answers become longer or shorter, question by question? Two-sided.

    r_i = (after_i - before_i) / pooled mean_i. Given the n + m lengths of a question without their
    sides, the denominator is fixed and the numerator has mean zero, so r_i has too, whatever n and m;
    the difference of log means has not when m < n.

    Args:
        before: mean length of the baseline's n answers to each question, shape (q,).
        n: samples of a question in the baseline.
        after: mean length of the candidate's m answers to each question, shape (q,).
        m: samples of a question in the candidate.

    Returns:
        `after` is the relative change of the total length; None with fewer than two questions of known
        length.
    """
    b, a = np.asarray(before, np.float64), np.asarray(after, np.float64)
    known = (a + b) > 0
    b, a = b[known], a[known]
    if b.size < 2:  # noqa: PLR2004 - a spread needs two
        return None
    r = (a - b) * (n + m) / (n * b + m * a)
    mean, error = float(r.mean()), float(r.std(ddof=1)) / math.sqrt(r.size)
    change = float(a.sum() / b.sum()) - 1 if b.any() else math.inf
    if error == 0:
        return Endpoint(1.0 if mean == 0 else P_FLOOR, 0.0, change)
    return Endpoint(_bounded(2 * float(stdtr(r.size - 1, -abs(mean) / error))), 0.0, change)


def _counts(values: ArrayLike, samples: int) -> NDArray[np.int64]:
    counts = np.asarray(values, dtype=np.int64)
    if samples < 1 or counts.ndim != 1 or (counts.size and (counts.min() < 0 or counts.max() > samples)):
        raise StatisticsError(
            f"counts out of {samples} samples do not lie between 0 and {samples}",
            hint="give counts of those samples",
        )
    return counts


@lru_cache(maxsize=16)
def _laws(n: int, m: int) -> Floats:
    """P(u of the m | total of the n + m) for every total, shape (n + m + 1, m + 1): hypergeometric."""
    total, u = np.arange(n + m + 1)[:, None], np.arange(m + 1)[None, :]
    rest = total - u
    possible = (rest >= 0) & (rest <= n)
    ways = _log_choose(m, u) + _log_choose(n, np.where(possible, rest, 0)) - _log_choose(n + m, total)
    law: Floats = np.where(possible, np.exp(ways), 0.0)
    return law


def _log_choose(n: int, k: NDArray[np.int64]) -> Floats:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def _power(law: Floats, count: int) -> Floats:
    """The law of a sum of `count` independent counts, by repeated squaring."""
    result = np.ones(1)
    while count:
        if count & 1:
            result = np.convolve(result, law)
        law = np.convolve(law, law) if count > 1 else law
        count >>= 1
    return result


def _bounded(p: float) -> float:
    return min(max(p, P_FLOOR), 1.0)
