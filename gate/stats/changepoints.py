"""Where a series of scores changed its level: marks for a reader, never a verdict.

Each score has a known sampling error, so the cost of a stretch is its weighted sum of squares around the
weighted mean (-2 log likelihood of one level), and PELT finds the cheapest partition exactly (Killick,
Fearnhead and Eckley 2012). `ruptures` does the search: maintained, on numpy and scipy alone, and it takes a
cost of one's own, which those that test by permutation do not.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from gate.errors import StatisticsError, UsageError

PENALTY: Final = 3.0
"""Times log n: what a further change must explain. Of series of one level, 8 to 120 runs long, 4 to .3 % show
a change; one of two errors half-way is found in 71 to 100 %."""
SHORTEST: Final = 2
"""Scores on either side: a single odd run is no new level."""


class Change(NamedTuple):
    """A new level begins with the score at `place`; `before` and `after` are the levels."""

    place: int
    before: float
    after: float


def change_points(scores: ArrayLike, errors: ArrayLike) -> tuple[Change, ...]:
    """The changes of level in a series, in order.

    Args:
        scores: in order of time, shape (n,).
        errors: their standard errors, all positive, shape (n,).

    Raises:
        StatisticsError: shapes differ, or an error is not positive.
        UsageError: ruptures is missing.
    """
    y, error = np.asarray(scores, np.float64), np.asarray(errors, np.float64)
    if y.ndim != 1 or y.shape != error.shape or not (error > 0).all():
        raise StatisticsError("every score needs a positive standard error", hint="leave out what has none")
    if y.size < 2 * SHORTEST:
        return ()
    weights = error**-2
    found = _search(np.column_stack([y, weights]))
    levels = [
        _level(y, weights, start, end) for start, end in zip([0, *found], [*found, y.size], strict=True)
    ]
    return tuple(
        Change(index, before, after) for index, before, after in zip(found, levels, levels[1:], strict=False)
    )


def _level(y: Any, weights: Any, start: int, end: int) -> float:  # noqa: ANN401 - arrays
    return float(np.average(y[start:end], weights=weights[start:end]))


def _search(signal: Any) -> list[int]:  # noqa: ANN401 - an array of (score, weight)
    try:
        import ruptures  # noqa: PLC0415 - the extra `history`; everything else works without
    except ImportError as problem:
        raise UsageError(
            "change points need ruptures",
            hint="pip install 'vllm-eval-gate[history]', or `gate baseline history` for the refreshes alone",
        ) from problem

    class OneLevel(ruptures.base.BaseCost):  # type: ignore[misc]
        """-2 log likelihood of one level, from cumulative sums."""

        model = "one_level"
        min_size = SHORTEST

        def fit(self, given: Any) -> OneLevel:  # noqa: ANN401
            self.signal = given
            y, w = given.T
            self._sums = np.vstack([np.zeros(3), np.cumsum([w, w * y, w * y**2], axis=1).T])
            return self

        def error(self, start: int, end: int) -> float:
            w, wy, wyy = self._sums[end] - self._sums[start]
            return float(wyy - wy**2 / w)

    search = ruptures.Pelt(custom_cost=OneLevel(), min_size=SHORTEST, jump=1).fit(signal)
    return [int(end) for end in search.predict(pen=PENALTY * math.log(len(signal)))[:-1]]
