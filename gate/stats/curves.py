"""Roots and splines of one variable.

They stand for `scipy.optimize.brentq` and `scipy.interpolate.CubicSpline`: importing these two packages takes
longer than all of gate, and every command that decides would wait for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_RELATIVE: Final = 4 * float(np.finfo(np.float64).eps)
_STEPS: Final = 100


class Spline(NamedTuple):
    """A cubic spline: its knots, and its values and slopes there; each of shape (n,)."""

    x: Floats
    y: Floats
    slopes: Floats

    def at(self, value: float) -> float:
        """Its value; `value` lies within the knots."""
        i = min(max(int(np.searchsorted(self.x, value, side="right")) - 1, 0), len(self.x) - 2)
        length, t = self.x[i + 1] - self.x[i], value - self.x[i]
        chord = (self.y[i + 1] - self.y[i]) / length
        bend = (self.slopes[i] + self.slopes[i + 1] - 2 * chord) / length
        second = (chord - self.slopes[i]) / length - bend
        return float(((bend / length * t + second) * t + self.slopes[i]) * t + self.y[i])


def spline(x: Floats, y: Floats) -> Spline:
    """The spline through (x, y) whose third derivative does not jump at the knots next to the ends.

    Args:
        x: ascending, shape (n,), n >= 4.
        y: shape (n,).
    """
    n, gaps = len(x), np.diff(x)
    chords = np.diff(y) / gaps
    matrix, right = np.zeros((n, n)), np.zeros(n)
    inner = np.arange(1, n - 1)
    matrix[inner, inner - 1], matrix[inner, inner + 1] = gaps[1:], gaps[:-1]
    matrix[inner, inner] = 2 * (gaps[:-1] + gaps[1:])
    right[1:-1] = 3 * (gaps[1:] * chords[:-1] + gaps[:-1] * chords[1:])
    for end, beside, (near, far), (first, second) in (
        (0, 1, gaps[:2], chords[:2]),
        (n - 1, n - 2, gaps[:-3:-1], chords[:-3:-1]),
    ):
        both = near + far
        matrix[end, end], matrix[end, beside] = far, both
        right[end] = ((near + 2 * both) * far * first + near**2 * second) / both
    return Spline(x, y, np.asarray(np.linalg.solve(matrix, right), np.float64))


def root(function: Callable[[float], float], low: float, high: float, *, tolerance: float = 2e-12) -> float:
    """Where a continuous function is zero between two places at which its signs differ.

    Brent's method (1973, chapter 4), step for step that of `brentq`.

    Args:
        function: of one variable.
        low: one place.
        high: the other.
        tolerance: how far off the answer may be.

    Raises:
        ValueError: the signs do not differ.
    """
    old, new, f_old, f_new = low, high, function(low), function(high)
    for place, value in ((old, f_old), (new, f_new)):
        if value == 0:
            return place
    if (f_old < 0) == (f_new < 0):
        raise ValueError(f"{f_old} at {low} and {f_new} at {high} have the same sign")
    across, f_across, last, step = old, f_old, 0.0, 0.0
    for _ in range(_STEPS):
        if f_old != 0 and (f_old < 0) != (f_new < 0):
            across, f_across, last = old, f_old, new - old
            step = last
        if abs(f_across) < abs(f_new):
            old, new, across = new, across, new
            f_old, f_new, f_across = f_new, f_across, f_new
        least, half = (tolerance + _RELATIVE * abs(new)) / 2, (across - new) / 2
        if f_new == 0 or abs(half) < least:
            break
        guess = math.inf
        if abs(last) > least and abs(f_new) < abs(f_old):
            guess = _guess((old, f_old), (new, f_new), (across, f_across))
        if 2 * abs(guess) < min(abs(last), 3 * abs(half) - least):
            last, step = step, guess
        else:
            last = step = half
        old, f_old = new, f_new
        new += step if abs(step) > least else math.copysign(least, half)
        f_new = function(new)
    return new


def _guess(old: tuple[float, float], new: tuple[float, float], across: tuple[float, float]) -> float:
    """The step from `new` to the root of what goes through the points: a line, or x as a parabola of y."""
    (a, fa), (b, fb), (c, fc) = old, new, across
    if a == c:
        return -fb * (b - a) / (fb - fa)
    to_a, to_c = (fa - fb) / (a - b), (fc - fb) / (c - b)
    return -fb * (fc * to_c - fa * to_a) / (to_c * to_a * (fc - fa))
