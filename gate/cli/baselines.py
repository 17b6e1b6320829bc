"""Commands below `gate baseline`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.options import Accepting, AsJson, Baselines, Measuring, Sources, grouped
from gate.cli.output import print_json, print_table, progress


@grouped
def baseline_collect(
    paths: Sources,
    measuring: Measuring,
    accepting: Accepting,
    repeats: Annotated[int, typer.Option(min=2, help="samples of each question in a run; declared here")],
    reason: Annotated[
        str | None, typer.Option(help="why these runs are accepted; needed where there is a baseline")
    ] = None,
) -> None:
    """Measure fixed-size runs of every cell and add them to the store."""
    from gate.collect import collect_baselines

    collection = accepting.collection(repeats, reason)
    for added in collect_baselines(measuring.request(paths), collection, progress(quiet=measuring.quiet)):
        typer.echo(added)


@grouped
def refresh(
    measuring: Measuring,
    accepting: Accepting,
    reason: Annotated[str, typer.Option(help="why the new runs are accepted")],
    cells: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CELL...]", help="stored cells, as arch/config/backend or a part, with * and ?"
        ),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option("--from", metavar="RECORDS", help="runs that another job measured: its --out"),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=2, help="samples of each question in a run; default: as in the last one")
    ] = None,
    configs: Annotated[Path, typer.Option(help="folder of the configs")] = Path("configs"),
    accept_drop: Annotated[
        bool, typer.Option("--accept-drop", help="let a baseline fall by more than its margin")
    ] = False,
    write: Annotated[
        bool | None, typer.Option("--write/--no-write", help="write the store; default: unless in CI")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Accept an intended change: new runs of stored cells, shown before and after, written all or none."""
    import os
    from datetime import UTC, datetime

    from gate.baseline.change import plain, table
    from gate.fingerprint import git_in
    from gate.refresh import Refresh, may_write
    from gate.refresh import refresh as accept

    wanted = Refresh(tuple(cells or ()), configs, records, accept_drop, may_write(write, os.environ))
    changes = accept(
        measuring.request(()),
        wanted,
        accepting.collection(repeats, reason),
        progress(quiet=measuring.quiet or as_json),
        git=git_in(Path.cwd()),
        today=datetime.now(UTC).date(),
    )
    if as_json:
        print_json([plain(change) for change in changes])
    else:
        print_table(table(changes))
        typer.echo("written" if wanted.write else "not written: --write does")


def baseline_show(
    pattern: Annotated[str, typer.Argument(help="cells, as arch/config/backend with * and ?")] = "*",
    baselines: Baselines = Path("baselines"),
    as_json: AsJson = False,
) -> None:
    """Show what the store holds."""
    from gate.baseline.show import show_command

    raise typer.Exit(int(show_command(baselines, pattern, as_json=as_json, write=typer.echo)))


def baseline_verify(baselines: Baselines = Path("baselines"), as_json: AsJson = False) -> None:
    """Check every file of the store: schema, hashes, and that its pools recompute."""
    from gate.baseline.verify import verify_command

    raise typer.Exit(int(verify_command(baselines, as_json=as_json, write=typer.echo)))
