"""What a gate will do before it is bought: `gate power`, `gate boundaries`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gate.stats import planning
from gate.stats.boundaries import boundaries, look_times
from gate.stats.planning import Design
from gate.stats.scenarios import Change, Scenario
from gate.stats.sequential import Terms
from gate.stats.simulate import false_alarms_at, fixed_rule, simulate

DROPS: Final = (0.0, 0.01, 0.02, 0.03, 0.05, 0.10)
QUANTILES: Final = (0.5, 0.9, 0.99)
OLD_TOLERANCE: Final = 0.05
OLD_REPEATS: Final = 8


@dataclass(frozen=True)
class PowerRow:
    """What becomes of gates under one true drop, the same on every question as far as it can be.

    regression, passed: shares of the gates; the others are inconclusive.
    samples: mean samples used.
    old_rule: share of full runs of 8 repeats (1 for greedy answers) that score below (accuracy - .05).
    """

    drop: float
    regression: float
    passed: float
    samples: float
    old_rule: float


@dataclass(frozen=True)
class PowerTable:
    """A plan and what it buys.

    max_repeats, samples: the budget.
    detectable_drop: found with 90 % probability.
    false_alarms: by quantile of the baseline's luck, for the baseline one happens to have.
    """

    design: Design
    accuracy: float
    margin: float
    max_repeats: int
    samples: int
    detectable_drop: float
    rows: tuple[PowerRow, ...]
    false_alarms: dict[float, float]


@dataclass(frozen=True)
class BoundaryTable:
    """Looks in passes, their information times, and both boundaries."""

    looks: tuple[float, ...]
    times: tuple[float, ...]
    regression: tuple[float, ...]
    passed: tuple[float, ...]


def power_table(
    design: Design,
    accuracy: float,
    margin: float,
    *,
    max_repeats: int = planning.MOST_REPEATS,
    drops: Sequence[float] = DROPS,
    replicates: int = 2000,
    seed: int = 0,
) -> PowerTable:
    """Budget, power and cost of a gate, by simulation through the production code.

    Args:
        design: questions, W, baseline repeats, error levels, cells.
        accuracy: of the baseline.
        margin: the drop to rule out.
        max_repeats: the config's cap.
        drops: true drops to tabulate.
        replicates: gates for each row.
        seed: of the simulation.

    Raises:
        StatisticsError: the margin cannot be proven, or no question set has that accuracy and W.
    """
    repeats = min(planning.budget_for(design, margin), max_repeats)
    terms = Terms(margin, 0.0, design.alpha_regression, design.alpha_pass, repeats, greedy=design.greedy)
    rows = []
    for drop in drops:
        change = Change.UNIFORM if drop else Change.NONE
        world = Scenario(design.questions, accuracy, design.within, change, drop)
        found = simulate(world, design.baseline_repeats, terms, replicates=replicates, seed=seed)
        old = fixed_rule(
            world,
            repeats=1 if design.greedy else OLD_REPEATS,
            threshold=accuracy,
            tolerance=OLD_TOLERANCE,
            replicates=replicates,
            seed=seed,
        )
        rows.append(PowerRow(drop, found.failed, found.passed, found.mean_samples, old))
    calm = Scenario(design.questions, accuracy, design.within)
    alarms = {
        quantile: false_alarms_at(
            calm, design.baseline_repeats, terms, quantile=quantile, replicates=replicates, seed=seed
        )
        for quantile in QUANTILES
    }
    return PowerTable(
        design=design,
        accuracy=accuracy,
        margin=margin,
        max_repeats=repeats,
        samples=repeats * design.questions,
        detectable_drop=planning.detectable_drop(design, repeats),
        rows=tuple(rows),
        false_alarms=alarms,
    )


def boundary_table(
    looks: Sequence[float], *, baseline_repeats: int, max_repeats: int, alpha: float, alpha_pass: float
) -> BoundaryTable:
    """Both boundaries of looks given in passes (1/3, 2/3, 1, 2, ...).

    Raises:
        StatisticsError: looks that do not ascend to `max_repeats`, or an error level out of range.
    """
    times = look_times(looks, baseline_repeats=baseline_repeats, max_repeats=max_repeats)
    return BoundaryTable(tuple(looks), times, boundaries(times, alpha), boundaries(times, alpha_pass))
