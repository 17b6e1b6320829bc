"""report.html: one self-contained page, no network. The browser draws its charts when they are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from markupsafe import Markup

from gate.model.result import CellResult, GateReport
from gate.report import words
from gate.report.changed import flipped, shifts
from gate.report.page import environment, pack

_MOST_SECTIONS: Final = 60
"""Cells whose sections are in the page from the start, the worst first; others are made when asked for."""
_MOST_OPEN: Final = 20
_DIGITS: Final = 5


def render_html(report: GateReport) -> str:
    """The report as a page, the worst cell first; every cell is in the table and in the forest plot."""
    made = environment()
    section = made.get_template("cell.html.j2", globals=_FUNCTIONS).make_module().section  # type: ignore[attr-defined]
    ids = [str(c.cell) for c in report.cells]
    told = words.FAILURES if not report.fail_on else report.fail_on
    sections = [
        Markup(section(cell, name, open=cell.verdict in told and i < _MOST_OPEN))  # noqa: S704 - autoescaped
        for i, (cell, name) in enumerate(zip(report.cells, ids, strict=True))
    ]
    cells = [
        data_of(cell) | {"id": name, "html": "" if i < _MOST_SECTIONS else text}
        for i, (cell, name, text) in enumerate(zip(report.cells, ids, sections, strict=True))
    ]
    return made.get_template("report.html.j2", globals=_FUNCTIONS).render(
        report=report,
        worst=words.worst(report),
        totals=tuple(_totals(report)),
        ids=ids,
        drawn=any(cell.difference is not None for cell in report.cells),
        sections=sections[:_MOST_SECTIONS],
        packed=pack(cells),
    )


def data_of(cell: CellResult) -> dict[str, Any]:
    """What the charts of a cell are drawn from, as JSON values."""
    low, high = cell.interval or (cell.difference,) * 2
    known = cell.old_rule_minimum is not None and cell.baseline_score is not None
    return {
        "name": str(cell.cell),
        "verdict": cell.verdict.value,
        "difference": _short(cell.difference),
        "low": _short(low),
        "high": _short(high),
        "margin": cell.margin,
        "rule": _short(cell.old_rule_minimum - cell.baseline_score) if known else None,  # type: ignore[operator]
        "budget": cell.samples_budget,
        "looks": [
            {
                "samples": look.samples,
                "z_drop": _short(look.z_regression),
                "to_fail": _short(look.boundary_regression),
                "z_hold": _short(look.z_pass),
                "to_pass": _short(look.boundary_pass),
            }
            for look in cell.looks
        ],
        "groups": [group.model_dump() for group in cell.changes.groups] if cell.changes else [],
        "times": cell.numerics and cell.numerics.times,
        "single": cell.numerics and cell.numerics.single and cell.numerics.single.model_dump(),
    }


def _totals(report: GateReport) -> Iterator[tuple[str, str, str]]:
    """The figures at the top: (what, value, unit)."""
    cells = report.cells
    generated = sum(cell.samples_generated for cell in cells)
    budget = sum(cell.samples_budget for cell in cells)
    decided = [cell for cell in cells if words.saved(cell)]
    yield "Cells", words.count(len(cells)), ""
    yield "Samples generated", words.count(generated), f"of a budget of {budget:,}" if budget else ""
    if decided:
        part = 1 - sum(c.samples_generated for c in decided) / sum(c.samples_budget for c in decided)
        yield (
            "Saved by stopping early",
            words.percent(part, 0),
            f"in {words.count(len(decided), 'decided cell')}",
        )
    if gpu := sum(cell.gpu_minutes for cell in cells):
        yield "GPU time", f"{gpu:,.1f}", "minutes"
    yield "Time", words.duration(sum(cell.seconds for cell in cells)), "all cells together"


def _told(cell: CellResult) -> Iterator[tuple[str, str]]:
    """What there is to say about a cell in words: (title, text)."""
    rows = (
        ("Score", words.score_sentence(cell) if cell.score is not None else ""),
        ("How sure", words.certainty(cell.p_value) if cell.p_value is not None else ""),
        ("What this can see", words.could_see(cell)),
        ("Since the anchor", words.against_anchor(cell)),
        ("False alarms", words.measured_false_alarms(cell)),
        ("Log-probabilities", words.numerics(cell)),
        ("The old rule", words.old_rule(cell)),
        ("Cost", words.cost(cell) if words.was_run(cell) else ""),
        ("The engine gave up on", ", ".join(cell.evidence.fallbacks)),
        ("Not proven", words.unproven(cell)),
        ("Taken from its record", words.from_record(cell)),
        ("The engine was restarted", words.restarted(cell)),
        *(("Note", note) for note in cell.notes),
    )
    return ((title, text) for title, text in rows if text)


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)


def _key(value: float | None) -> float | str:
    """What a table sorts by; nothing comes last."""
    return "" if value is None else value


_FUNCTIONS: Final = {
    "told": _told,
    "shifts": shifts,
    "flipped": flipped,
    "key": _key,
    "severity": tuple(words.WORST_FIRST).index,
}
