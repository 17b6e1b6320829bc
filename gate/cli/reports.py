"""Pages for people: `report`, `history`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.options import AsJson, Baselines, Cells
from gate.cli.output import print_json, print_table


def report(
    source: Annotated[
        Path, typer.Argument(metavar="REPORT_JSON", help="report.json of a run, or of `gate merge`")
    ],
    html: Annotated[Path, typer.Option(help="where the page goes")] = Path("report.html"),
) -> None:
    """Write a report as one self-contained page, with charts."""
    from gate.reporting import write_page

    write_page(source, html)
    typer.echo(html)


def history(
    commits: Annotated[str, typer.Argument(metavar="REF..REF", help="which commits; default: all")] = "HEAD",
    records: Annotated[
        list[Path] | None,
        typer.Option("--records", metavar="DIR", help="stored run records, too; may be repeated"),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(metavar="DIR", help="write a page there: index.html, history.json")
    ] = None,
    cell: Cells = None,
    baselines: Baselines = Path("baselines"),
    as_json: AsJson = False,
) -> None:
    """Show each cell's score and cost over time, and changes of level; needs the extra `history`."""
    from datetime import UTC, datetime

    from gate.fingerprint import git_in
    from gate.history import trends_of, write_history
    from gate.trend import plain, table

    found = trends_of(git_in(baselines), commits, tuple(records or ()), tuple(cell or ()))
    if as_json:
        print_json([plain(trend) for trend in found])
    else:
        print_table(table(found))
    if html is not None:
        typer.echo(write_history(found, html, now=datetime.now(UTC)), err=as_json)
