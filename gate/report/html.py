"""report.html: one self-contained page, no network; charts by `gate.report.charts`."""

from __future__ import annotations

from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gate.model import CellResult, GateReport, Verdict
from gate.report import charts, escape, words

_MOST_CHARTS: Final = 60
"""Cells whose two tests are drawn: the worst first. A chart is 20 KB and a tenth of a second."""


def render_html(report: GateReport) -> str:
    """The report as a page, the worst cell first; every cell is in the table and in the forest plot.

    Raises:
        UsageError: matplotlib is missing.
    """
    told = [cell for cell in report.cells if cell.verdict is not Verdict.PASS]
    told += [cell for cell in report.cells if cell.verdict is Verdict.PASS]
    drawn = {id(cell): Markup(charts.path(cell)) for cell in told[:_MOST_CHARTS]}  # noqa: S704 - our own SVG
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            words=words,
            worst=words.worst(report),
            forest=Markup(charts.forest(report.cells)),  # noqa: S704 - our own SVG, its texts escaped
            chart=lambda cell: drawn.get(id(cell), ""),
            anchor=_anchor,
        )
    )


def _anchor(cell: CellResult) -> str:
    where = cell.cell
    return f"{where.arch}--{where.config}--{where.backend}"


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gate.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["line"] = escape.printable
    return environment
