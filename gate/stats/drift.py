"""Drift of log-probabilities: do two engines compute the same distributions, up to a known noise? Pure.

A probe asks both for the probabilities of the same tokens. HTTP shows the 20 likeliest tokens of a position
and the one that stands there; what that leaves is one rest bucket. The unit of every test is the prompt:
its tokens share a context and are far from independent. Derivations: docs/numerics.md.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import stdtr

from gate.errors import StatisticsError
from gate.stats.looks import P_FLOOR, Floats

KL_FLOOR: Final = 1e-4
"""Nat. The noise is never taken to be less: an engine may repeat itself bit for bit."""

SHIFT_FLOOR: Final = math.sqrt(2 * KL_FLOOR)
"""Nat. What a divergence of `KL_FLOOR` does to one log-probability (KL is about half the mean square)."""

KL_ALLOWANCE: Final = 1.5
"""An alarm says that the drift is more than this many floors: runs differ as wholes, and a handful of healthy
ones does not show the largest there will be."""

SHIFT_ALLOWANCE: Final = math.sqrt(KL_ALLOWANCE)

RUN_SPREAD: Final = 0.1
"""Healthy runs as wholes are taken to differ by a tenth, as long as few of them show by how much they do."""

RUN_SPREAD_WEIGHT: Final = 4
"""... which counts as much as five runs that were seen."""

FEWEST_PROMPTS: Final = 3
_TINIEST: Final = 1e-7

Ids = NDArray[np.int64]


class Rows(NamedTuple):
    """What an engine said about T positions of one prompt.

    Shapes: `token` (T,) the id that stands there, `logprob` (T,) its log-probability; `top_ids` and
    `top_logprobs` (T, K) the likeliest ids, the likeliest first. Nats; a value may be NaN.
    """

    token: Ids
    logprob: Floats
    top_ids: Ids
    top_logprobs: Floats

    def first(self, number: int) -> Rows:
        """The first `number` positions."""
        return self.between(0, number)

    def between(self, start: int, stop: int) -> Rows:
        """Positions start..stop-1."""
        part = slice(start, stop)
        return Rows(self.token[part], self.logprob[part], self.top_ids[part], self.top_logprobs[part])


class RunSpread(NamedTuple):
    """How much the noise of healthy runs differs from run to run.

    Args:
        variance: of the logarithm of a run's level.
        degrees: of freedom behind it.
        runs: how many comparisons the floor is made of; 0 where it is declared, not estimated.
    """

    variance: float
    degrees: int
    runs: int

    @property
    def of_a_new_run(self) -> float:
        """Variance of a new run's log level about that of the floor."""
        return self.variance * (1 + 1 / self.runs if self.runs else 1)


class Drift(NamedTuple):
    """How far values of one kind are from their noise.

    Args:
        times: the middle of the values in units of their noise floor: 1 is as large as noise gets.
        p_value: one-sided, in [1e-12, 1], that they are no more than an allowance times the floor; 1 where
            fewer than three prompts say anything.
        prompts: how many prompts the test rests on.
    """

    times: float
    p_value: float
    prompts: int


def divergence(ours: Rows, theirs: Rows) -> Floats:
    """KL(ours || theirs) at each position, in nats, shape (T,).

    Over the union of both top lists and a rest bucket. A token that only one side lists is taken to have on
    the other what is left there, shared equally with its like and the rest, but no more than the least likely
    token that is listed there. Where the lists hold nearly all of the probability this hardly matters.

    Raises:
        StatisticsError: the two are not about equally many positions.
    """
    if ours.top_ids.shape[0] != theirs.top_ids.shape[0]:
        raise StatisticsError(
            f"{ours.top_ids.shape[0]} positions on one side, {theirs.top_ids.shape[0]} on the other",
            hint="compare probes of the same prompts",
        )
    if not ours.top_ids.shape[0]:
        return np.zeros(0)
    shared = ours.top_ids[:, :, None] == theirs.top_ids[:, None, :]
    p, p_rest, p_hidden = _buckets(ours.top_logprobs, hidden=~shared.any(axis=1))
    q, q_rest, q_hidden = _buckets(theirs.top_logprobs, hidden=~shared.any(axis=2))
    # A token that both list is at one place of their list.
    their_q = np.where(shared.any(axis=2), np.einsum("tij,tj->ti", shared, q), q_hidden[:, None])
    ours_listed = _ratio(p, their_q).sum(axis=1)
    # Of tokens that only they list, each has our `p_hidden` and their own q.
    only_theirs = np.where(~shared.any(axis=1), _ratio(p_hidden[:, None], q), 0.0).sum(axis=1)
    total: Floats = ours_listed + only_theirs + _ratio(p_rest, q_rest)
    return np.maximum(total, 0.0)


def shift(ours: Rows, theirs: Rows) -> Floats:
    """|difference of the log-probabilities| of the tokens that stand there, in nats, shape (T,)."""
    if not np.array_equal(ours.token, theirs.token):
        raise StatisticsError(
            "the two sides are about different tokens",
            hint="compare probes that were forced along the same tokens",
        )
    difference: Floats = np.abs(ours.logprob - theirs.logprob)
    return difference


def agreement(ours: Rows, theirs: Rows) -> float:
    """Share of the listed tokens that both sides list, over all positions; NaN where there is none."""
    if not ours.top_ids.size:
        return math.nan
    return float((ours.top_ids[:, :, None] == theirs.top_ids[:, None, :]).any(axis=2).mean())


def flips(ours: Rows, theirs: Rows) -> int:
    """At how many positions the likeliest token is another one."""
    return int((ours.top_ids[:, 0] != theirs.top_ids[:, 0]).sum())


def level(values: ArrayLike) -> float:
    """A robust middle of `values` (n,), not negative: the f at which the mean of log((v_i + f) / 2f) is 0.

    One prompt in n, however far out, moves it little, and values of zero do not send it to zero. NaN is
    left out; 0 where nothing is left.
    """
    given = _known(values)
    if not given.size or not given.any():
        return 0.0
    largest = float(given.max())

    def excess(log_f: float) -> float:
        return float(np.logaddexp(0.0, _log(given) - log_f).mean()) - math.log(2)

    low = math.log(largest) - 2 * math.log(2) * given.size
    return math.exp(brentq(excess, low, math.log(largest) + 1e-9))


def floors(healthy: ArrayLike, least: float) -> Floats:
    """The noise floor of each prompt, shape (n,), from R healthy comparisons, shape (R, n).

    Prompts differ a hundredfold in how much noise moves them, so each has its own floor: its mean over the
    comparisons, never below `least`; then all are raised together until no healthy comparison as a whole
    exceeds them. R may be 0: then every floor is `least`.

    Raises:
        StatisticsError: `least` is not positive, or the shape is another.
    """
    given = np.asarray(healthy, np.float64)
    lowest = mean_floors(given, least)
    return lowest * max([1.0, *(level(row / lowest) for row in given)])


def run_spread(reruns: ArrayLike, least: float) -> RunSpread:
    """How much healthy reruns, shape (R, n), differ from each other as wholes.

    A run's level l, in units of the mean of all, counts as 2 log((l + 1) / 2): near 1 that is log l, and runs
    far below the least floor do not differ. The variance of a handful says little, so it is pooled with
    `RUN_SPREAD` as if `RUN_SPREAD_WEIGHT` degrees of freedom stood behind that (the moderated variance of
    Smyth 2004, Stat. Appl. Genet. Mol. Biol. 3:3).

    Raises:
        StatisticsError: as `floors`.
    """
    given = np.asarray(reruns, np.float64)
    lowest = mean_floors(given, least)
    levels = np.array([2 * math.log((level(row / lowest) + 1) / 2) for row in given])
    seen = max(len(given) - 1, 0)
    squares = float(((levels - levels.mean()) ** 2).sum()) if seen else 0.0
    degrees = RUN_SPREAD_WEIGHT + seen
    return RunSpread((RUN_SPREAD_WEIGHT * RUN_SPREAD**2 + squares) / degrees, degrees, len(given))


def drift(values: ArrayLike, floor: ArrayLike, allowance: float, spread: RunSpread) -> Drift:
    """Are `values`, one a prompt, more than `allowance` times their noise? One-sided t over prompts.

    With r_i = value / (allowance x floor), x_i = log((r_i + 1) / 2) is 0 for a prompt at what is allowed, and
    grows like the logarithm of the drift. It is bounded below by -log 2: a few prompts that did not move
    at all cannot hide many that did, nor skew t to the left, which would cost false alarms.

    All prompts of a run may be louder together, which prompts cannot show: the variance of the mean is
    s_x^2 / n plus that of a new run's level, and t has the degrees of freedom of the sum (Satterthwaite 1946,
    Biometrics Bulletin 2:110).

    Args:
        values: shape (n,), not negative; NaN where a prompt says nothing.
        floor: shape (n,), positive.
        allowance: how many floors are no alarm.
        spread: between healthy runs.

    Raises:
        StatisticsError: a floor is not positive.
    """
    noise = np.asarray(floor, np.float64)
    if not (noise > 0).all():
        raise StatisticsError("a noise floor is not positive", hint="give a least value above 0")
    ratio = _known(np.asarray(values, np.float64) / noise)
    if ratio.size < FEWEST_PROMPTS:
        return Drift(level(ratio), 1.0, ratio.size)
    x = np.log((ratio / allowance + 1) / 2)
    within, between = float(x.var(ddof=1)) / x.size, spread.of_a_new_run
    degrees = (within + between) ** 2 / (within**2 / (x.size - 1) + between**2 / spread.degrees)
    p = float(stdtr(degrees, -float(x.mean()) / math.sqrt(within + between)))
    return Drift(level(ratio), min(max(p, P_FLOOR), 1.0), ratio.size)


def mean_floors(given: Floats, least: float) -> Floats:
    """The mean of each prompt over comparisons (R, n), at least `least`.

    Raises:
        StatisticsError: as `floors`.
    """
    if not least > 0 or given.ndim != 2:  # noqa: PLR2004 - (R, n)
        raise StatisticsError(
            "noise floors need comparisons of shape (R, n) and a least value above 0",
            hint="give at least one comparison of a build with itself",
        )
    known = ~np.isnan(given)
    mean = np.where(known, given, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    lowest: Floats = np.maximum(mean, least)
    return lowest


def _buckets(logprobs: Floats, hidden: NDArray[np.bool_]) -> tuple[Floats, Floats, Floats]:
    """Probabilities (T, K) of the listed tokens, (T,) of the rest, (T,) of each token only the other lists.

    `hidden` (T, K'): which of the other side's tokens this side does not list.
    """
    p = np.exp(logprobs)
    left = np.maximum(1.0 - p.sum(axis=1), _TINIEST)
    number = hidden.sum(axis=1)
    each = np.minimum(p.min(axis=1), left / (number + 1))
    rest = left - number * each
    total = p.sum(axis=1) + left
    return p / total[:, None], rest / total, np.maximum(each / total, _TINIEST / (number + 1))


def _ratio(p: Floats, q: Floats) -> Floats:
    """P log(p/q), 0 where p is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms: Floats = np.where(p > 0, p * (np.log(p) - np.log(np.maximum(q, 1e-300))), 0.0)
    return terms


def _known(values: ArrayLike) -> Floats:
    given = np.asarray(values, np.float64)
    return given[~np.isnan(given)]


def _log(values: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        logs: Floats = np.log(values)
    return logs
