"""The command line: parses, calls, exits; no logic. Heavy imports wait inside the commands."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gate.errors import Exit, GateError

if TYPE_CHECKING:
    from gate.model import GateReport
    from gate.report.progress import Progress


def _group(text: str) -> typer.Typer:
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


app = _group("A regression gate for quantized LLM inference.")
config_app = _group("Validate configs and lists.")
baseline_app = _group("The store of accepted runs.")
app.add_typer(config_app, name="config")
app.add_typer(baseline_app, name="baseline")

# One option is described once; the commands below only say which ones they take.
Sources = Annotated[
    list[Path], typer.Argument(metavar="CONFIG_OR_LIST...", help="configs (*.yaml) or lists (*.txt)")
]
Backends = Annotated[
    list[str] | None, typer.Option("--backend", metavar="NAME", help="only this backend; may be repeated")
]
Arch = Annotated[str, typer.Option(help="GPU architecture; auto asks runners.yaml, then the machine")]
Baselines = Annotated[Path, typer.Option(help="folder of the committed baselines")]
Out = Annotated[Path, typer.Option(help="folder for records, reports, journals and logs")]
AsJson = Annotated[bool, typer.Option("--json", help="for programs instead of people")]
EngineCommand = Annotated[
    str,
    typer.Option(
        envvar="GATE_ENGINE_COMMAND", help="what starts the engine under test; split into words, no shell"
    ),
]
EngineImage = Annotated[str | None, typer.Option(help="container image of the engine under test, by digest")]
EngineEnv = Annotated[
    list[str] | None,
    typer.Option("--engine-env", metavar="NAME=VALUE", help="a variable for the engine"),
]
Model = Annotated[str | None, typer.Option(help="folder (or id) of the model, instead of the config's")]
HfHome = Annotated[Path | None, typer.Option(help="Hugging Face home whose cache holds the model")]
DatasetPath = Annotated[Path | None, typer.Option(help="the question set, instead of the task's own")]
Cache = Annotated[Path, typer.Option(envvar="GATE_CACHE", help="folder of fetched question sets")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="requests in flight; at most 256 by default")]
WiderMargin = Annotated[
    bool, typer.Option("--accept-wider-margin", help="go on where the cap proves only a wider margin")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="only the report at the end")]


FailOn = Annotated[str | None, typer.Option(help="exit 0 unless the verdict is one of these, or `strict`")]


@app.command()
def run(
    paths: Sources,
    backend: Backends = None,
    arch: Arch = "auto",
    baselines: Baselines = Path("baselines"),
    out: Out = Path("out"),
    engine_command: EngineCommand = "vllm",
    engine_image: EngineImage = None,
    engine_env: EngineEnv = None,
    model: Model = None,
    hf_home: HfHome = None,
    dataset_path: DatasetPath = None,
    cache: Cache = Path(".cache"),
    concurrency: Concurrency = None,
    fail_on: FailOn = None,
    head_sha: Annotated[
        str | None, typer.Option(help="commit under test: a rerun of it replays the same samples")
    ] = None,
    base_sha: Annotated[str | None, typer.Option(help="commit it is compared with")] = None,
    family_size: Annotated[
        int | None, typer.Option(min=1, help="cells that share alpha (C); default: those of this run")
    ] = None,
    accept_wider_margin: WiderMargin = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measure every cell, decide, report: the main job."""
    from gate.engine import EngineChoice
    from gate.plan import Heads, Origins
    from gate.run import RunRequest, run_cells

    request = RunRequest(
        paths=tuple(paths),
        origins=Origins(baselines, cache, model, dataset_path, hf_home),
        out=out,
        backends=tuple(backend or ()),
        arch=arch,
        engine=EngineChoice(engine_command, engine_image, tuple(engine_env or ())),
        concurrency=concurrency,
        heads=Heads(head_sha, base_sha),
        family_size=family_size,
        accept_wider_margin=accept_wider_margin,
        fail_on=fail_on,
    )
    report = run_cells(request, _progress(quiet=quiet or as_json))
    _print_report(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


@app.command()
def plan(
    paths: Sources,
    backend: Backends = None,
    arch: Arch = "auto",
    output: Annotated[
        Literal["table", "matrix"], typer.Option("--format", help="matrix: for strategy.matrix of Actions")
    ] = "table",
    as_json: AsJson = False,
) -> None:
    """Show the cells and what each one takes, or the Actions matrix."""
    from gate import cells

    specs = cells.cells_of(paths, arch=_given(arch), backends=tuple(backend or ()))
    if output == "matrix":
        _print_json(cells.matrix(specs))
    else:
        _print_rows(cells.describe(specs), as_json=as_json)


@app.command()
def check(
    records: Annotated[Path, typer.Argument(help="run records: a folder, or one file")],
    paths: Sources,
    backend: Backends = None,
    baselines: Baselines = Path("baselines"),
    arch: Arch = "auto",
    family_size: Annotated[
        int | None, typer.Option(min=1, help="cells that share alpha (C); default: those of the configs")
    ] = None,
    accept_wider_margin: WiderMargin = False,
    fail_on: FailOn = None,
    as_json: AsJson = False,
) -> None:
    """Decide again from run records alone; verdicts stored anywhere are not believed."""
    from gate.check import CheckRequest, check_records

    request = CheckRequest(
        records,
        tuple(paths),
        baselines,
        _given(arch),
        backends=tuple(backend or ()),
        family_size=family_size,
        accept_wider_margin=accept_wider_margin,
        fail_on=fail_on,
    )
    report = check_records(request)
    _print_report(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


@app.command()
def attest(
    config: Annotated[Path, typer.Option(help="the config")],
    log: Annotated[Path, typer.Option(help="the engine's log")],
    backend: Annotated[str, typer.Option(help="its backend")] = "default",
    as_json: AsJson = False,
) -> None:
    """Say what really ran, from a log; exit 4 where it is not what the config expects."""
    from gate.attest import attest_log, attested_rows

    found = attest_log(config, backend, log)
    if as_json:
        checks = [check.model_dump() for check in found.checks]
        _print_json({**found.evidence.model_dump(mode="json"), "checks": checks})
    else:
        _print_table(attested_rows(found))
    raise typer.Exit(int(found.exit_code))


@app.command()
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
        _print_json(asdict(table))
    else:
        _print_table(boundary_rows(table))


@app.command()
def power(
    baseline: Annotated[Path | None, typer.Argument(help="a baseline file, or give the numbers")] = None,
    questions: Annotated[int | None, typer.Option(min=1, help="Q")] = None,
    within: Annotated[float | None, typer.Option(help="W, variance of one answer")] = None,
    accuracy: Annotated[float | None, typer.Option(help="score of the baseline")] = None,
    baseline_repeats: Annotated[int | None, typer.Option(min=1, help="n_b")] = None,
    margin: Annotated[float, typer.Option(help="the drop to rule out")] = 0.03,
    cells: Annotated[int, typer.Option(min=1, help="cells that share alpha (C)")] = 1,
    alpha: Annotated[float, typer.Option(help="false alarms of a whole run")] = 0.01,
    as_json: AsJson = False,
) -> None:
    """Plan before spending: the budget, what it finds, and what it costs."""
    from gate.planning import design_of, power_rows, power_words
    from gate.stats.power import power_table

    design, score = design_of(
        baseline, questions, within, accuracy, baseline_repeats, cells=cells, alpha=alpha
    )
    table = power_table(design, score, margin)
    if as_json:
        _print_json(asdict(table))
    else:
        _print_table(power_rows(table))
        for line in power_words(table):
            typer.echo(line)


@config_app.command("check")
def config_check(paths: Sources, arch: Arch = "auto", as_json: AsJson = False) -> None:
    """Validate configs and lists, and print their cells."""
    from gate import cells

    specs = cells.cells_of(paths, arch=_given(arch), unknown_arch="any")
    _print_rows(cells.describe(specs), as_json=as_json)


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of a config."""
    from gate import config

    _print_json(config.json_schema())


@baseline_app.command("collect")
def baseline_collect(
    paths: Sources,
    repeats: Annotated[int, typer.Option(min=2, help="samples of each question in a run; declared here")],
    reason: Annotated[
        str | None, typer.Option(help="why these runs are accepted; needed where there is a baseline")
    ] = None,
    accepted_by: Annotated[
        str | None, typer.Option(envvar="GITHUB_ACTOR", help="who answers for them; default: git's user")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="runs of each cell, one after the other")] = 1,
    backend: Backends = None,
    arch: Arch = "auto",
    baselines: Baselines = Path("baselines"),
    out: Out = Path("out"),
    engine_command: EngineCommand = "vllm",
    engine_image: EngineImage = None,
    engine_env: EngineEnv = None,
    model: Model = None,
    hf_home: HfHome = None,
    dataset_path: DatasetPath = None,
    cache: Cache = Path(".cache"),
    concurrency: Concurrency = None,
    quiet: Quiet = False,
) -> None:
    """Measure fixed-size runs of every cell and add them to the store."""
    from gate.collect import Collection, collect_baselines
    from gate.engine import EngineChoice
    from gate.plan import Origins
    from gate.run import RunRequest

    request = RunRequest(
        paths=tuple(paths),
        origins=Origins(baselines, cache, model, dataset_path, hf_home),
        out=out,
        backends=tuple(backend or ()),
        arch=arch,
        engine=EngineChoice(engine_command, engine_image, tuple(engine_env or ())),
        concurrency=concurrency,
    )
    collection = Collection(repeats, runs, accepted_by, reason)
    for path in collect_baselines(request, collection, _progress(quiet=quiet)):
        typer.echo(path)


@baseline_app.command("show")
def baseline_show(
    pattern: Annotated[str, typer.Argument(help="cells, as arch/config/backend with * and ?")] = "*",
    baselines: Baselines = Path("baselines"),
    as_json: AsJson = False,
) -> None:
    """Show what the store holds."""
    from gate.baseline.show import show_command

    raise typer.Exit(int(show_command(baselines, pattern, as_json=as_json, write=typer.echo)))


@baseline_app.command("verify")
def baseline_verify(baselines: Baselines = Path("baselines"), as_json: AsJson = False) -> None:
    """Check every file of the store: schema, hashes, and that its pools recompute."""
    from gate.baseline.verify import verify_command

    raise typer.Exit(int(verify_command(baselines, as_json=as_json, write=typer.echo)))


def _given(arch: str) -> str | None:
    return None if arch == "auto" else arch


def _progress(*, quiet: bool) -> Progress:
    import os

    from gate.report.progress import SilentProgress, progress_for

    return SilentProgress() if quiet else progress_for(os.environ)


def _print_report(report: GateReport, *, as_json: bool) -> None:
    from rich.console import Console

    from gate.report.schema import report_json
    from gate.report.terminal import print_report

    if as_json:
        typer.echo(report_json(report), nl=False)
    else:
        print_report(report, Console())


def _print_rows(rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    if as_json:
        _print_json(rows)
        return
    for row in rows:
        name, *rest = row.items()
        typer.echo(name[1])
        for key, value in rest:
            if value not in ("", None):
                typer.echo(f"  {key:<12} {value}")


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _print_json(value: object) -> None:
    import json

    typer.echo(json.dumps(value, indent=2))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; a GateError becomes its message and its exit code, never a traceback."""
    try:
        app(args=arguments)
    except GateError as error:
        typer.echo(f"gate: {error}", err=True)
        sys.exit(int(error.exit_code))
    except Exception:  # noqa: BLE001 - a bug; Python would exit with 1, the code of a regression
        traceback.print_exc()
        sys.exit(int(Exit.NOT_MEASURED))
