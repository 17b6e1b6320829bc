"""Group-sequential boundaries: when a look is sure enough to stop.

The noise of the baseline is common to all looks, so the statistics form the canonical process
Cov(Z_j, Z_k) = sqrt(t_j/t_k) on the information times t (docs/statistics.md). Error spending:
Lan & DeMets 1983, Kim & DeMets 1987; recursive integration: Armitage, McPherson & Rowe 1969;
Jennison & Turnbull 2000, chapter 19.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from gate.errors import StatisticsError
from gate.stats.looks import P_FLOOR

Floats = NDArray[np.float64]

SPENDING_POWER = 1.5
"""Kim-DeMets: alpha(t) = alpha t^1.5."""

_LOWEST = -8.0  # Z below this has no say in whether a later boundary is crossed
_HIGHEST = 12.0  # stands for a boundary that cannot be reached
_NODES = 32  # Gauss-Legendre nodes a panel; with panels of 20 the boundaries are exact to 1e-9
_PANEL = 20.0  # length of a panel in standard deviations of the sharper neighbouring step
_P_CEILING = 0.999  # a p-value above this is reported as 1
_LEVELS = 28  # levels at which the boundaries are solved for the sequential p


class _Density(NamedTuple):
    """Sub-density of S = Z sqrt(t) among the paths that have not stopped: nodes and weight x density."""

    nodes: Floats
    mass: Floats


def information(passes: float, *, baseline_repeats: int, max_repeats: int) -> float:
    """Information time t of a look after `passes` passes over the questions, 1 at the last one.

    A fraction below 1 is that of the questions asked once. Information saturates once the candidate
    has many more repeats than the baseline, whose noise no further sample removes.

    Raises:
        StatisticsError: nothing asked, more passes than declared, or no repeats.
    """
    if baseline_repeats < 1 or max_repeats < 1 or not 0 < passes <= max_repeats:
        raise StatisticsError(
            f"{passes} passes of {max_repeats} against {baseline_repeats} baseline repeats",
            hint="passes lie above 0 and up to the declared maximum; a baseline has at least one repeat",
        )
    full = 1 / baseline_repeats + 1 / max_repeats
    if passes < 1:
        return passes * full / (1 / baseline_repeats + 1)
    return full / (1 / baseline_repeats + 1 / passes)


def look_times(looks: Sequence[float], *, baseline_repeats: int, max_repeats: int) -> tuple[float, ...]:
    """Information times of looks given in passes (1/3, 2/3, 1, 2, ...), ascending."""
    return tuple(information(x, baseline_repeats=baseline_repeats, max_repeats=max_repeats) for x in looks)


def spend(times: Sequence[float], alpha: float) -> tuple[float, ...]:
    """Error spent up to each information time: alpha t^1.5 (Kim & DeMets 1987)."""
    return tuple(alpha * t**SPENDING_POWER for t in times)


@lru_cache(maxsize=256)
def boundaries(times: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    """Upper boundaries c_k of Z at information times t_k, one-sided level alpha, spent as alpha t^1.5.

    Raises:
        StatisticsError: alpha outside (0, 1), or times not ascending in (0, 1].
    """
    check_level(alpha)
    return spent_boundaries(times, spend(times, alpha))


def check_level(alpha: float) -> None:
    """Refuse an error level that is none.

    Raises:
        StatisticsError: alpha is not strictly between 0 and 1.
    """
    if not 0 < alpha < 1:
        raise StatisticsError(f"the error level is {alpha}", hint="give one between 0 and 1, such as 0.01")


def spent_boundaries(times: Sequence[float], spent: Sequence[float]) -> tuple[float, ...]:
    """Upper boundaries for any spending: `spent` is the cumulative error at each time.

    Raises:
        StatisticsError: times or errors that do not ascend.
    """
    if not times or times[0] <= 0 or times[-1] > 1 + 1e-12 or any(a >= b for a, b in pairwise(times)):
        raise StatisticsError(
            f"information times must ascend in (0, 1], not {tuple(times)}",
            hint="give fractions of the whole run that grow, at most 1",
        )
    if spent[0] < 0 or spent[-1] >= 1 or any(a > b for a, b in pairwise(spent)):
        raise StatisticsError(
            f"the error spent must ascend below 1, not {tuple(spent)}",
            hint="give error rates that grow from look to look, below 1",
        )
    found = [_upper_quantile(spent[0])]
    density = None
    for k in range(1, len(times)):
        density = _density(times, k - 1, found[-1], density)
        step = math.sqrt(times[k] - times[k - 1])
        found.append(_crossing(density, math.sqrt(times[k]), step, spent[k] - spent[k - 1]))
    return tuple(found)


def exit_probability(times: Sequence[float], upper: Sequence[float], drift: float) -> float:
    """Probability that Z reaches an upper boundary, where its mean at time t is drift sqrt(t).

    Raises:
        StatisticsError: boundaries that are not one a look.
    """
    if len(times) != len(upper) or not times:
        raise StatisticsError(
            f"{len(upper)} boundaries for {len(times)} looks", hint="give one boundary a look"
        )
    reached = float(ndtr(drift * math.sqrt(times[0]) - upper[0]))
    density = None
    for k in range(1, len(times)):
        density = _density(times, k - 1, upper[k - 1], density, drift)
        length = times[k] - times[k - 1]
        away = density.nodes + drift * length - upper[k] * math.sqrt(times[k])
        reached += float(density.mass @ ndtr(away / math.sqrt(length)))
    return reached


def sequential_p(times: tuple[float, ...], z: Sequence[float]) -> float:
    """The smallest level whose boundary is crossed at or before the last look taken.

    Args:
        times: information times of the whole plan, length K.
        z: statistics of the looks taken, length <= K; -inf for one that says nothing.

    Returns:
        p in [1e-12, 1]: above .999 it is 1.

    c_k(alpha) is nearly linear in Phi^-1(1 - alpha), so it is solved for some levels of the plan,
    once, and inverted by cubic splines: the same as root finding over alpha to three digits.
    """
    if not 0 < len(z) <= len(times):
        raise StatisticsError(
            f"{len(z)} statistics for a plan of {len(times)} looks",
            hint="give one statistic a look, and no more looks than were planned",
        )
    levels = [_level(inverse, value) for inverse, value in zip(_inverses(times), z, strict=False)]
    p = float(ndtr(-max(levels)))
    return 1.0 if p > _P_CEILING else max(p, P_FLOOR)


@lru_cache(maxsize=64)
def _inverses(times: tuple[float, ...]) -> tuple[CubicSpline, ...]:
    """Per look: Phi^-1(1 - alpha) as a function of the boundary c_k(alpha)."""
    low, high = -ndtri(_P_CEILING + 5e-4), -ndtri(P_FLOOR / 2)
    # Denser at either end: towards alpha = 1 the boundaries bend.
    levels = low + (high - low) * (1 - np.cos(np.linspace(0, np.pi, _LEVELS))) / 2
    table = np.array([boundaries(times, float(alpha)) for alpha in ndtr(-levels)])
    return tuple(CubicSpline(column, levels) for column in table.T)


def _level(inverse: CubicSpline, value: float) -> float:
    """Phi^-1(1 - alpha) of the boundary that `value` just reaches, within the levels that were solved."""
    if value <= inverse.x[0]:
        return -math.inf
    return float(inverse(min(value, inverse.x[-1])))


def _density(
    times: Sequence[float], k: int, boundary: float, previous: _Density | None, drift: float = 0.0
) -> _Density:
    """Of the paths that go on after look k, from that of the paths that went on after the look before."""
    nodes, weights = _grid(times, k, boundary)
    if previous is None:
        return _Density(nodes, weights * _normal_density(nodes - drift * times[0], math.sqrt(times[0])))
    length = times[k] - times[k - 1]
    moved = nodes[:, None] - previous.nodes - drift * length
    arrivals = _normal_density(moved, math.sqrt(length)) @ previous.mass
    return _Density(nodes, weights * arrivals)


def _crossing(density: _Density, scale: float, step: float, error: float) -> float:
    """The c with probability `error` of S >= c sqrt(t_k) among the paths that have not stopped."""
    if error <= 0:
        return math.inf

    def excess(c: float) -> float:
        return float(density.mass @ ndtr((density.nodes - c * scale) / step)) - error

    return float(brentq(excess, -20.0, 40.0, xtol=1e-12))


def _grid(times: Sequence[float], k: int, boundary: float) -> tuple[Floats, Floats]:
    """Nodes and weights in S over the continuation region of look k, fine enough for both its steps."""
    scale = math.sqrt(times[k])
    low, high = _LOWEST * scale, min(boundary, _HIGHEST) * scale
    sharpest = min(times[k] - (times[k - 1] if k else 0.0), times[k + 1] - times[k])
    panels = max(1, math.ceil((high - low) / (_PANEL * math.sqrt(sharpest))))
    x, w = _gauss()
    edges = np.linspace(low, high, panels + 1)
    half = (high - low) / (2 * panels)
    return (edges[:-1, None] + half * (1 + x)).ravel(), np.tile(half * w, panels)


@lru_cache(maxsize=1)
def _gauss() -> tuple[Floats, Floats]:
    x, w = leggauss(_NODES)
    return x, w


def _normal_density(x: Floats, sd: float) -> Floats:
    return np.asarray(np.exp(-0.5 * (x / sd) ** 2) / (sd * math.sqrt(2 * math.pi)))


def _upper_quantile(p: float) -> float:
    return -float(ndtri(p)) if p > 0 else math.inf
