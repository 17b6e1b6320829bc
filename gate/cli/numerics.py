"""Commands about the numerics: `baseline probe`, `compare`, `selftest`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.options import AsJson, Measuring, Sources, grouped
from gate.cli.output import print_table, progress
from gate.errors import Exit, StorageError


@grouped
def baseline_probe(
    paths: Sources,
    measuring: Measuring,
    healthy: Annotated[
        list[str] | None,
        typer.Option(metavar="BACKEND", help="its difference is noise too; may be repeated"),
    ] = None,
    starts: Annotated[int, typer.Option(min=1, help="engine starts, each probed at five concurrencies")] = 2,
    reason: Annotated[str | None, typer.Option(help="why a stored probe is replaced")] = None,
    accepted_by: Annotated[
        str | None, typer.Option(envvar="GITHUB_ACTOR", help="who answers for it; default: git's user")
    ] = None,
) -> None:
    """Store the numerics probe of every cell, with its noise floor from healthy runs."""
    from gate.collect import somebody
    from gate.fingerprint import git_in
    from gate.numerics.collect import ProbeCollection, collect_probes

    collection = ProbeCollection(
        starts=starts,
        healthy=tuple(healthy or ()),
        accepted_by=somebody(accepted_by, git_in(Path.cwd())),
        reason=reason or "",
    )
    for path in collect_probes(measuring.request(paths), collection, progress(quiet=measuring.quiet)):
        typer.echo(path)


@grouped
def selftest(
    measuring: Measuring,
    config: Annotated[Path, typer.Option(help="the embedded engine's config")] = Path(
        "configs/tiny-gpt-oss-w4a8.yaml"
    ),
    only: Annotated[
        list[str] | None, typer.Option(metavar="FAULT", help="only this fault; may be repeated")
    ] = None,
    score_minutes: Annotated[
        float, typer.Option(min=0, help="for each fault's score; 0 leaves the score's test out")
    ] = 1.5,
    healthy: Annotated[
        bool, typer.Option("--healthy/--no-healthy", help="try the healthy variants, too")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Prove on the embedded engine that this gate can fail: break it in every known way, and look."""
    from gate.numerics.drill import run_selftest
    from gate.numerics.exercises import Drill
    from gate.numerics.selftest import render

    drill = Drill(score_minutes, tuple(only or ()), healthy)
    found = run_selftest(measuring.request([config]), drill, lambda line: typer.echo(line, err=True))
    _keep(measuring.out / "selftest", render(found), found.model_dump_json(indent=2))
    typer.echo(found.model_dump_json(indent=2) if as_json else render(found))
    wrong = found.missed or found.false_alarms
    raise typer.Exit(int(Exit.REGRESSION if wrong else Exit.UNDECIDED if found.pending else Exit.PASS))


@grouped
def compare(
    measuring: Measuring,
    backends: Annotated[list[str], typer.Argument(metavar="BACKEND_A BACKEND_B...", help="two or more")],
    config: Annotated[Path, typer.Option(help="the config whose backends these are")],
    as_json: AsJson = False,
) -> None:
    """Compare the numbers of a config's backends, pair by pair."""
    from dataclasses import replace

    from gate.numerics.matrix import compare_backends, markdown, table

    request = replace(measuring.request([config]), backends=tuple(backends))
    found = compare_backends(request, progress(quiet=measuring.quiet or as_json))
    _keep(measuring.out / "compare", markdown(found), found.model_dump_json(indent=2))
    if as_json:
        typer.echo(found.model_dump_json(indent=2))
    else:
        print_table(table(found))


def _keep(stem: Path, markdown: str, json: str) -> None:
    from gate.files import write_bytes

    for suffix, text in {".md": markdown, ".json": json + "\n"}.items():
        write_bytes(stem.with_suffix(suffix), text.encode(), error=StorageError)
