"""What the commands print: reports, rows, tables, JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gate.model.result import GateReport
    from gate.report.progress import Progress


def progress(*, quiet: bool) -> Progress:
    """What tells a person, or a CI log, how a measurement goes."""
    import os

    from gate.report.progress import SilentProgress, progress_for

    return SilentProgress() if quiet else progress_for(os.environ)


def print_report(report: GateReport, *, as_json: bool) -> None:
    """The report as a table, or as report.json."""
    from rich.console import Console

    from gate.report.schema import report_json
    from gate.report.terminal import print_report

    if as_json:
        typer.echo(report_json(report), nl=False)
    else:
        print_report(report, Console())


def print_rows(rows: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    """Each row as a paragraph: its first value, then a line for every other one that is not empty."""
    if as_json:
        print_json(rows)
        return
    for row in rows:
        name, *rest = row.items()
        typer.echo(name[1])
        for key, value in rest:
            if value not in ("", None):
                typer.echo(f"  {key:<12} {value}")


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Rows of equal length in aligned columns, the first one the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_json(value: object) -> None:
    """One JSON value, indented."""
    import json

    typer.echo(json.dumps(value, indent=2))
