"""Commands below `gate baseline`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.options import Accepting, AsJson, Baselines, Measuring, Sources, grouped
from gate.cli.output import progress


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
