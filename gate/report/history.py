"""The history page: score and cost of each cell over time. Static, one file, no network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from gate.fingerprint import gate_version
from gate.report.page import environment, pack
from gate.trend import Trend, plain

_MOST_OPEN: Final = 12
"""Cells whose charts are drawn from the start."""


def render_history(found: Sequence[Trend], *, now: datetime) -> str:
    """The page; `now` is the clock."""
    template = environment().get_template("history.html.j2")
    return template.render(
        trends=found,
        ids=[trend.cell for trend in found],
        totals=tuple(_totals(found)),
        summary=_summary,
        accepted=_accepted,
        cost=_cost,
        most_open=_MOST_OPEN,
        version=gate_version(),
        now=now.isoformat(timespec="minutes"),
        packed=pack([plain(t) | {"id": t.cell, "cost": _cost_of(t)} for t in found]),
    )


def _totals(found: Sequence[Trend]) -> Iterator[tuple[str, str, str]]:
    dates = [m.when[:10] for trend in found for m in trend.measurements]
    yield "Cells", f"{len(found):,}", ""
    yield "Measurements", f"{len(dates):,}", f"{min(dates)} to {max(dates)}" if dates else ""
    yield (
        "Accepted",
        f"{sum(len(level.accepted) for t in found for level in t.levels):,}",
        "runs, epochs, anchors",
    )
    yield "Changes of level", f"{sum(len(trend.changes) for trend in found):,}", "found, not judged"


def _summary(trend: Trend) -> dict[str, Any]:
    """What the table says about a cell; None where there is nothing to say."""
    scores = [m for m in trend.measurements if m.score is not None]
    levels = [level for level in trend.levels if level.score is not None]
    when, change = trend.changes[-1] if trend.changes else ("", None)
    return {
        "measured": len(trend.measurements),
        "latest": trend.measurements[-1].when[:10] if trend.measurements else None,
        "score": scores[-1].score if scores else None,
        "baseline": levels[-1].score if levels else None,
        "changed": change and change.after - change.before,
        "changed_on": when[:10],
    }


def _accepted(trend: Trend) -> Iterator[tuple[str, str, str, str, str]]:
    """(date, commit, what, by, why), the newest first."""
    for level in reversed(trend.levels):
        head = (level.when[:10], level.commit[:12])
        for line in level.accepted:
            yield (*head, f"{line['act']} {line['run']}", line["accepted_by"], line["reason"])
        if level.problem:
            yield (*head, level.problem, level.author, "")


def _cost_of(trend: Trend) -> str:
    """What of a run's cost is known for the cell: GPU minutes, minutes, or tokens, in that order."""
    for name in ("gpu_minutes", "minutes"):
        if any(getattr(m, name) for m in trend.measurements):
            return name
    return "tokens"


def _cost(trend: Trend) -> str:
    """The latest run's cost with its unit."""
    name = _cost_of(trend)
    known = [value for m in trend.measurements if (value := getattr(m, name)) is not None]
    unit = name.replace("gpu_minutes", "GPU minutes")
    return f"{known[-1]:,.{0 if name == 'tokens' else 1}f} {unit}" if known else "—"
