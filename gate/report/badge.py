"""badge.json: the verdict for a badge (the endpoint format of shields.io)."""

from __future__ import annotations

import json
from typing import Final

from gate.model.result import GateReport, Verdict
from gate.report import words

_COLOURS: Final = {
    Verdict.PASS: "brightgreen",
    Verdict.REGRESSION: "red",
    Verdict.NOT_MEASURED: "purple",
    Verdict.INCOMPARABLE: "purple",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NO_BASELINE: "lightgrey",
}


def render_badge(report: GateReport) -> str:
    """The JSON of the endpoint badge: the verdict of the worst cell, and how many cells there were."""
    verdict = words.worst(report)
    total = len(report.cells)
    cells = "1 cell" if total == 1 else f"{total:,} cells"
    badge = {
        "schemaVersion": 1,
        "label": "eval gate",
        "message": f"{words.face(verdict).word}, {cells}",
        "color": _COLOURS[verdict],
        "isError": verdict in report.fail_on,
    }
    return json.dumps(badge, indent=2) + "\n"
