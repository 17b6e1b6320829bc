"""`gate simulate`: whole gates in a made-up world, through the looks and boundaries that decide real ones."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Final

from gate.decide.words import count
from gate.errors import UsageError
from gate.stats import planning
from gate.stats.planning import Design
from gate.stats.scenarios import Change, Scenario
from gate.stats.sequential import Terms
from gate.stats.simulate import simulate

Rows = list[tuple[str, ...]]

GPQA_WITHIN: Final = 0.124

_NEEDS_A_DROP: Final = (Change.UNIFORM, Change.TRUNCATION, Change.BROKEN, Change.IMPROVEMENT)


@dataclass(frozen=True)
class SimulationRequest:
    """What the command line asked for: a world, the gate in it, and how often.

    `max_repeats` None is the budget that the margin takes; `anchor_repeats` 0 is no anchor. `greedy` answers
    are one a question: the scenario's W is then half of how often two runs of one build differ.
    """

    scenario: Scenario
    baseline_repeats: int
    margin: float
    max_repeats: int | None = None
    tolerated_loss: float = 0.0
    cells: int = 1
    alpha: float = 0.01
    alpha_pass: float = 0.05
    anchor_repeats: int = 0
    greedy: bool = False
    replicates: int = 20_000
    seed: int = 0


@dataclass(frozen=True)
class SimulationSummary:
    """What became of the gates of one cell.

    regression, passed, inconclusive: shares of the gates, which add up to 1; standard_errors: theirs.
    samples: mean samples used, of `budget`.
    bias: mean of the difference at the stop, less the true one.
    covered, covered_naively: share of repeated, and of plain, 95 % intervals that hold the true difference.
    """

    replicates: int
    seed: int
    max_repeats: int
    budget: int
    true_difference: float
    regression: float
    passed: float
    inconclusive: float
    standard_errors: dict[str, float]
    samples: float
    bias: float
    covered: float
    covered_naively: float


def answer_variance(within: float | None, flip_rate: float | None, *, greedy: bool) -> float:
    """W of the world that was asked for: GPQA's where nothing is said, half the flip rate if greedy.

    Raises:
        UsageError: a flip rate of sampled answers, or none, or a W, of greedy ones.
    """
    if greedy and (flip_rate is None or within is not None):
        raise UsageError("greedy answers have a flip rate, and no W", hint="give --flip-rate, such as 0.1")
    if flip_rate is not None and not greedy:
        raise UsageError("--flip-rate is for greedy answers", hint="add --greedy, or give --within instead")
    return flip_rate / 2 if flip_rate is not None else GPQA_WITHIN if within is None else within


def run_simulation(request: SimulationRequest) -> SimulationSummary:
    """Run the gates.

    Raises:
        UsageError: a drop that this change does not take, or none where it needs one.
        StatisticsError: the margin cannot be proven, or no question set is like that.
    """
    scenario = request.scenario
    _check_drop(scenario)
    design = Design(
        scenario.questions,
        scenario.within,
        request.baseline_repeats,
        alpha=request.alpha,
        alpha_pass=request.alpha_pass,
        cells=request.cells,
        anchored=request.anchor_repeats > 0,
        greedy=request.greedy,
    )
    repeats = request.max_repeats or planning.budget_for(design, request.margin)
    planning.checked(design)
    terms = Terms(
        request.margin,
        request.tolerated_loss,
        design.alpha_regression,
        request.alpha_pass,
        repeats,
        design.alpha_anchor,
        request.greedy,
    )
    found = simulate(
        scenario,
        request.baseline_repeats,
        terms,
        replicates=request.replicates,
        seed=request.seed,
        anchor_repeats=request.anchor_repeats,
    )
    shares = {
        "regression": found.failed,
        "passed": found.passed,
        "inconclusive": max(1 - found.failed - found.passed, 0.0),
    }
    return SimulationSummary(
        replicates=request.replicates,
        seed=request.seed,
        max_repeats=repeats,
        budget=repeats * scenario.questions,
        true_difference=found.true_difference,
        **shares,
        standard_errors={
            name: math.sqrt(share * (1 - share) / request.replicates) for name, share in shares.items()
        },
        samples=found.mean_samples,
        bias=found.bias,
        covered=found.covered,
        covered_naively=found.covered_naively,
    )


def simulation_json(request: SimulationRequest, summary: SimulationSummary) -> dict[str, object]:
    """The summary and everything it came from, so that the run can be repeated."""
    return {"request": asdict(request), **asdict(summary)}


def simulation_rows(summary: SimulationSummary) -> Rows:
    """A heading and a row a figure."""
    errors = summary.standard_errors
    shares = ("regression", "passed", "inconclusive")
    values = asdict(summary)
    return [
        ("of the gates", "share", "standard error"),
        *((name, f"{values[name]:.2%}", f"{errors[name]:.2%}") for name in shares),
        ("interval covers", f"{summary.covered:.2%}", ""),
        ("plain interval covers", f"{summary.covered_naively:.2%}", ""),
    ]


def simulation_words(summary: SimulationSummary) -> tuple[str, ...]:
    """What stands below the rows."""
    used = summary.samples / summary.budget
    return (
        f"samples used: {summary.samples:,.0f} of {summary.budget:,} ({used:.0%}), up to "
        f"{count(summary.max_repeats, 'repeat')}",
        f"true difference: {100 * summary.true_difference:+.2f} points; estimates at the stop are off by "
        f"{100 * summary.bias:+.2f} points on average",
        f"{summary.replicates:,} gates, seed {summary.seed}",
    )


def _check_drop(scenario: Scenario) -> None:
    if scenario.change in _NEEDS_A_DROP and not scenario.drop:
        raise UsageError(f"--change {scenario.change} without a size", hint="add --drop, such as 0.03")
    if scenario.change is Change.NONE and scenario.drop:
        raise UsageError(
            f"a drop of {scenario.drop} and no change", hint="say which with --change, such as uniform"
        )
