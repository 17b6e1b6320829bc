"""Commands below `gate baseline`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.options import (
    AcceptedBy,
    Accepting,
    AsJson,
    AtOnce,
    Baselines,
    Cells,
    Measuring,
    Sources,
    grouped,
)
from gate.cli.output import print_json, print_table, progress


@grouped
def baseline_collect(
    paths: Sources,
    measuring: Measuring,
    accepting: Accepting,
    repeats: Annotated[int, typer.Option(min=1, help="samples of each question in a run; declared here")],
    reason: Annotated[
        str | None, typer.Option(help="why these runs are accepted; needed where there is a baseline")
    ] = None,
    jobs: AtOnce = 1,
) -> None:
    """Measure fixed-size runs of every cell and add them to the store."""
    from gate.collect import collect_baselines

    collection = accepting.collection(repeats, reason)
    request = measuring.request(paths, jobs=jobs)
    for added in collect_baselines(request, collection, progress(quiet=measuring.quiet)):
        typer.echo(added)


@grouped
def refresh(
    measuring: Measuring,
    accepting: Accepting,
    reason: Annotated[str, typer.Option(help="why the new runs are accepted")],
    cells: Annotated[
        list[str] | None,
        typer.Argument(metavar="CELL", help="stored cells, as arch/config/backend or a part, with * and ?"),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option("--from", metavar="RECORDS", help="runs that another job measured: its --out"),
    ] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, help="samples of each question in a run; default: as in the last one")
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


def baseline_anchor(
    cell: Annotated[str, typer.Argument(help="one stored cell, as arch/config/backend or a part of it")],
    reason: Annotated[str, typer.Option(help="why this level is the one to hold from now on")],
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="ids of its runs; default: what counts today"),
    ] = None,
    accepted_by: AcceptedBy = None,
    baselines: Baselines = Path("baselines"),
) -> None:
    """Pin the runs that slow drift is measured against."""
    from datetime import UTC, datetime

    from gate.baseline.anchor import move_anchor
    from gate.collect import somebody
    from gate.fingerprint import git_in

    path, after = move_anchor(
        baselines,
        cell,
        tuple(runs or ()),
        accepted_by=somebody(accepted_by, git_in(Path.cwd())),
        reason=reason,
        date=datetime.now(UTC).date().isoformat(),
    )
    typer.echo(f"{path}: anchor {', '.join(after.anchor)}")


def baseline_diff(
    first: Annotated[str, typer.Argument(metavar="A", help="a baseline file, a ref, or REF..REF")],
    second: Annotated[
        str | None, typer.Argument(metavar="B", help="the same; default: the store as it is now")
    ] = None,
    cell: Cells = None,
    baselines: Baselines = Path("baselines"),
    as_json: AsJson = False,
) -> None:
    """Show what differs between two baselines, or between two states of the store."""
    from gate.baseline.diff import differences, plain, sides, table
    from gate.fingerprint import git_in

    found = differences(*sides(first, second, baselines, git_in(baselines), tuple(cell or ())))
    if as_json:
        print_json([plain(difference) for difference in found])
    else:
        print_table(table(found))


def baseline_history(
    commits: Annotated[str, typer.Argument(metavar="REF..REF", help="which commits; default: all")] = "HEAD",
    cell: Cells = None,
    baselines: Baselines = Path("baselines"),
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="draw it, too: .svg or .png (extra `plot`)")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show who accepted what, when and why, and how the scores moved: from git."""
    from gate.baseline.history import entries, plain, table
    from gate.baseline.past import versions
    from gate.fingerprint import git_in

    found = list(entries(versions(git_in(baselines), commits, tuple(cell or ()))))
    if plot is not None:
        from gate.report.plot import plot_history

        plot_history(found, plot)
    if as_json:
        print_json([plain(entry) for entry in found])
    else:
        print_table(table(found))


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
    from gate.fingerprint import git_in

    git = git_in(baselines)
    raise typer.Exit(int(verify_command(baselines, git, as_json=as_json, write=typer.echo)))
