"""The slash commands that answer a report, ready to copy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gate.model.result import CellResult, Verdict
from gate.report.context import Context

REFRESH: Final = (Verdict.REGRESSION, Verdict.INCOMPARABLE, Verdict.NO_BASELINE)
_MOST_NAMED: Final = 10
_REASONS: Final = {
    Verdict.REGRESSION: "why this drop is meant",
    Verdict.INCOMPARABLE: "why this is now measured otherwise",
    Verdict.NO_BASELINE: "first baseline",
}


def for_cells(cells: Sequence[CellResult], context: Context) -> tuple[str, ...]:
    """A command a line for what these verdicts allow; none where nobody can answer with one.

    Each carries the whole commit: the first digits of one can be forged. What was measured stays decided, so
    only what was not measured can run again; what needs another baseline can be refreshed.
    """
    if not context.commands:
        return ()
    at = f"@{context.head_sha}"
    lines = [f"/gate rerun {names} {at}" for names in _named(cells, Verdict.NOT_MEASURED)]
    left = [cell for cell in cells if cell.cell not in context.accepted]
    for verdict in REFRESH:
        tail = f'{at} --reason "{_REASONS[verdict]}"'
        lines += [f"/gate refresh {names} {tail}" for names in _named(left, verdict)]
    return tuple(lines)


def _named(cells: Sequence[CellResult], verdict: Verdict) -> list[str]:
    """The first cells of a verdict in one text; none where there is no such cell."""
    names = [str(cell.cell) for cell in cells if cell.verdict is verdict]
    return [" ".join(names[:_MOST_NAMED])] if names else []
