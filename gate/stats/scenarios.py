"""Question sets and what can happen to them: the worlds that gates are simulated in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.random import default_rng
from scipy.special import betaincinv

from gate.errors import StatisticsError
from gate.stats.looks import Floats


class Difficulty(StrEnum):
    """How the chance of a right answer varies between questions, at a given mean and W."""

    BETA = "beta"
    MIXED = "mixed"  # some always right, some always wrong, the rest alike


class Change(StrEnum):
    """What a candidate does to those chances."""

    NONE = "none"
    UNIFORM = "uniform"  # every question loses the same, as far as it can
    TRUNCATION = "truncation"  # any answer is lost with the same probability
    BROKEN = "broken"  # some questions are never answered correctly any more
    CHANCE = "chance"  # answers become guesses: as many as the drop takes, all where none is given
    IMPROVEMENT = "improvement"  # every question gains the same, as far as it can
    RESHUFFLED = "reshuffled"  # the same chances on other questions, less the drop where one is given


@dataclass(frozen=True)
class Scenario:
    """A question set and what happens to it.

    Args:
        questions: Q.
        accuracy: mean chance of a right answer of the baseline.
        within: W, mean of b(1-b).
        change: what the candidate does.
        drop: how much the mean chance falls (rises, for an improvement).
        difficulty: shape of the chances over the questions.
        chance: score of guessing.
        drift: standard deviation of the candidate run's offset against the baseline's runs, the same in
            every question: what differs between two runs of one build beyond sampling.
    """

    questions: int = 198
    accuracy: float = 0.58
    within: float = 0.124
    change: Change = Change.NONE
    drop: float = 0.0
    difficulty: Difficulty = Difficulty.BETA
    chance: float = 0.25
    drift: float = 0.0


def chances(scenario: Scenario) -> tuple[Floats, Floats]:
    """Chance of a right answer to each question, of baseline and candidate. Shapes: (Q,) each.

    Raises:
        StatisticsError: no distribution has that mean and W, or the drop exceeds the accuracy.
    """
    mean, within, q = scenario.accuracy, scenario.within, scenario.questions
    if not 0 < within < mean * (1 - mean):
        most = mean * (1 - mean)
        raise StatisticsError(
            f"no question set has W = {within:.4g} with accuracy {mean:.4g}",
            hint=f"W lies between 0 and {most:.3f}"
            if most > 0
            else "where all answers are right, or all wrong, nothing varies and there is nothing to simulate",
        )
    if not 0 <= scenario.drop < (1 - mean if scenario.change is Change.IMPROVEMENT else mean):
        raise StatisticsError(
            f"a change of {scenario.drop} from {mean} is not possible",
            hint="choose a change that leaves every score between 0 and 1",
        )
    if scenario.difficulty is Difficulty.MIXED:
        b = _mixed(mean, within, q)
    else:
        size = within / (mean * (1 - mean) - within)
        b = betaincinv(mean * size, (1 - mean) * size, (np.arange(q) + 0.5) / q)
    return b, _changed(b, scenario)


def _mixed(mean: float, within: float, q: int) -> Floats:
    """A share of questions at an even chance, as W asks for, the others always right or always wrong."""
    even = min(round(4 * within * q), q)
    right = round(mean * q - even / 2)
    return np.concatenate([np.ones(max(right, 0)), np.full(even, 0.5), np.zeros(max(q - right - even, 0))])


def _changed(b: Floats, scenario: Scenario) -> Floats:
    drop = scenario.drop
    changes: dict[Change, Callable[[], Floats]] = {
        Change.NONE: lambda: b,
        Change.UNIFORM: lambda: _shifted(b, -drop),
        Change.IMPROVEMENT: lambda: _shifted(b, drop),
        Change.TRUNCATION: lambda: np.asarray(b * (1 - drop / b.mean())),
        Change.BROKEN: lambda: _broken(b, drop),
        Change.CHANCE: lambda: _guessed(b, drop, scenario.chance),
        Change.RESHUFFLED: lambda: _shifted(default_rng(0).permutation(b), -drop),
    }
    return changes[scenario.change]()


def _shifted(b: Floats, by: float) -> Floats:
    """Chances b + x clipped to [0, 1], with x such that the mean moves by exactly `by`."""
    if by == 0:
        return b
    low, high = -1.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(b + middle, 0, 1).mean() < b.mean() + by else (low, middle)
    return np.clip(b + low, 0, 1)


def _guessed(b: Floats, drop: float, chance: float) -> Floats:
    """Any answer becomes a guess with the same probability: the mean falls by `drop`. 0: all are guesses."""
    if drop == 0:
        return np.full_like(b, chance)
    room = float(b.mean()) - chance
    if drop > room:
        raise StatisticsError(
            f"guessing costs {room:.3f} of {b.mean():.3f}, not {drop}", hint="guesses score `chance`"
        )
    return np.asarray(b + drop / room * (chance - b))


def _broken(b: Floats, drop: float) -> Floats:
    """Questions in a fixed random order lose everything until the mean has fallen by `drop`."""
    p = b.copy()
    left = drop * b.size
    for i in default_rng(0).permutation(b.size):
        lost = min(p[i], left)
        p[i] -= lost
        left -= lost
    return p
