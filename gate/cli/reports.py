"""Commands that show a report again: `report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


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
