"""Commands that plan and prove the statistics: `boundaries`, `calibrate`, `power`, `simulate`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer

from gate.cli.options import AsJson
from gate.cli.output import print_json, print_table


def boundaries(
    baseline_repeats: Annotated[int, typer.Option(min=1, help="samples of each question in the baseline")],
    max_repeats: Annotated[int, typer.Option(min=1, help="budget: samples of each question")],
    looks: Annotated[str, typer.Option(help="in passes: fractions, numbers and ranges")] = "1/3,2/3,1:",
    alpha_regression: Annotated[float, typer.Option(help="error of the regression test")] = 0.01,
    alpha_pass: Annotated[float, typer.Option(help="error of the pass test")] = 0.05,
    as_json: AsJson = False,
) -> None:
    """Print both boundaries of a sequential test."""
    from gate.planning import boundary_rows, parse_looks
    from gate.stats.power import boundary_table

    table = boundary_table(
        parse_looks(looks, max_repeats),
        baseline_repeats=baseline_repeats,
        max_repeats=max_repeats,
        alpha=alpha_regression,
        alpha_pass=alpha_pass,
    )
    if as_json:
        print_json(asdict(table))
    else:
        print_table(boundary_rows(table))


def power(
    baseline: Annotated[Path | None, typer.Argument(help="a baseline file, or give the numbers")] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="Q")] = None,
    within: Annotated[float | None, typer.Option(help="W, variance of one answer")] = None,
    accuracy: Annotated[float | None, typer.Option(help="score of the baseline")] = None,
    baseline_repeats: Annotated[int | None, typer.Option(min=1, help="n_b")] = None,
    greedy: Annotated[bool, typer.Option("--greedy", help="temperature 0: one answer a question")] = False,
    flip_rate: Annotated[
        float | None, typer.Option(help="F, how often two greedy runs of one build differ")
    ] = None,
    margin: Annotated[float, typer.Option(help="the drop to rule out")] = 0.03,
    cells: Annotated[int, typer.Option(min=1, help="cells that share alpha (C)")] = 1,
    alpha: Annotated[float, typer.Option(help="false alarms of a whole run")] = 0.01,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="draw it, too: .svg or .png (extra `plot`)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Plan before spending: the budget, what it finds, and what it costs."""
    from gate.planning import Numbers, design_of, power_json, power_rows, power_words
    from gate.stats.power import power_table

    numbers = Numbers(questions, within, accuracy, baseline_repeats, flip_rate)
    design, score = design_of(baseline, numbers, cells=cells, alpha=alpha, greedy=greedy)
    table = power_table(design, score, margin)
    if plot is not None:
        from gate.report.plot import plot_power

        plot_power(table, plot)
    if as_json:
        print_json(power_json(table))
    else:
        print_table(power_rows(table))
        for line in power_words(table):
            typer.echo(line)


def simulate(
    change: Annotated[
        Literal["none", "uniform", "truncation", "broken", "chance", "improvement", "reshuffled"],
        typer.Option(help="what the candidate does to the baseline's chances"),
    ] = "none",
    drop: Annotated[float, typer.Option(help="how much the score falls (rises, for an improvement)")] = 0.0,
    questions: Annotated[int, typer.Option(min=1, help="Q")] = 198,
    accuracy: Annotated[float, typer.Option(help="score of the baseline")] = 0.58,
    within: Annotated[float | None, typer.Option(help="W, variance of one answer; default: 0.124")] = None,
    difficulty: Annotated[
        Literal["beta", "mixed"], typer.Option(help="how the chances differ between questions")
    ] = "beta",
    chance: Annotated[float, typer.Option(help="score of guessing")] = 0.25,
    drift: Annotated[
        float, typer.Option(min=0, help="standard deviation of a run's offset that sampling does not explain")
    ] = 0.0,
    greedy: Annotated[bool, typer.Option("--greedy", help="temperature 0: one answer a question")] = False,
    flip_rate: Annotated[
        float | None, typer.Option(help="F, how often two greedy runs of one build differ")
    ] = None,
    baseline_repeats: Annotated[
        int | None, typer.Option(min=1, help="n_b; default: 32, 1 for greedy answers")
    ] = None,
    margin: Annotated[float, typer.Option(help="the drop to rule out")] = 0.03,
    max_repeats: Annotated[
        int | None, typer.Option(min=1, help="budget; default: what the margin takes")
    ] = None,
    tolerated_loss: Annotated[float, typer.Option(help="d0, the drop that does not count")] = 0.0,
    cells: Annotated[int, typer.Option(min=1, help="cells that share alpha (C)")] = 1,
    alpha: Annotated[float, typer.Option(help="false alarms of a whole run")] = 0.01,
    alpha_pass: Annotated[float, typer.Option(help="false passes of one cell")] = 0.05,
    anchor_repeats: Annotated[
        int, typer.Option(min=0, help="samples of each question in a pinned anchor; 0: none is pinned")
    ] = 0,
    replicates: Annotated[int, typer.Option(min=1, help="gates")] = 20_000,
    seed: Annotated[int, typer.Option(min=0, help="of everything random")] = 0,
    as_json: AsJson = False,
) -> None:
    """Try the gate in a made-up world: how often it fails, passes, and what it costs there."""
    from gate.simulation import (
        SimulationRequest,
        answer_variance,
        run_simulation,
        simulation_json,
        simulation_rows,
        simulation_words,
    )
    from gate.stats.scenarios import Change, Difficulty, Scenario

    variance = answer_variance(within, flip_rate, greedy=greedy)
    scenario = Scenario(
        questions, accuracy, variance, Change(change), drop, Difficulty(difficulty), chance, drift
    )
    request = SimulationRequest(
        scenario,
        baseline_repeats or (1 if greedy else 32),
        margin,
        1 if greedy else max_repeats,
        tolerated_loss,
        cells,
        alpha,
        alpha_pass,
        anchor_repeats,
        greedy,
        replicates,
        seed,
    )
    summary = run_simulation(request)
    if as_json:
        print_json(simulation_json(request, summary))
    else:
        print_table(simulation_rows(summary))
        for line in simulation_words(summary):
            typer.echo(line)


def calibrate(
    baseline: Annotated[Path, typer.Argument(help="a baseline file; the calibration is written beside it")],
    records: Annotated[
        list[Path] | None,
        typer.Option(metavar="PATH", help="run records of more runs of that build: files or folders"),
    ] = None,
    margin: Annotated[float, typer.Option(help="the drop to rule out")] = 0.03,
    cells: Annotated[int, typer.Option(min=1, help="cells that share alpha (C)")] = 1,
    alpha: Annotated[float, typer.Option(help="false alarms of a whole run")] = 0.01,
    alpha_pass: Annotated[float, typer.Option(help="false passes of one cell")] = 0.05,
    max_repeats: Annotated[
        int | None, typer.Option(min=1, help="budget; default: what the margin takes")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="write nothing")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure what runs of one build differ by, and the loss to tolerate so that alarms stay rare."""
    from gate.baseline.calibration import save_calibration
    from gate.calibrate import CalibrationRequest, calibrate, calibration_rows, calibration_words

    request = CalibrationRequest(
        baseline, tuple(records or ()), margin, cells, alpha, alpha_pass, max_repeats
    )
    found = calibrate(request)
    written = None if dry_run else save_calibration(baseline, found)
    if as_json:
        print_json(found.model_dump(mode="json", by_alias=True))
    else:
        print_table(calibration_rows(found))
        for line in calibration_words(found):
            typer.echo(line)
        typer.echo(written or "nothing was written")
