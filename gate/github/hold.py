"""What holds a check run up, written into it, so that an acceptance later needs no record any more."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final, NamedTuple

from gate.decide import Conclusion, conclude_run
from gate.model.cell import Cell
from gate.model.result import GateReport, Verdict

MOST_CELLS: Final = 500
_CELL: Final = re.compile(r"^- `([^/`\s]+)/([^/`\s]+)/([^/`\s]+)`$", re.MULTILINE)
_AFTER: Final = re.compile(r"<!-- vllm-eval-gate if-accepted=(success|neutral|failure|action_required) -->")


class Hold(NamedTuple):
    """The regressions that were not accepted, and how the check concludes once all of them are.

    `after` is the conclusion that is left then: of cells that failed otherwise, or of numbers that nobody
    attested.
    """

    cells: tuple[Cell, ...]
    after: Conclusion

    @classmethod
    def of(cls, report: GateReport, accepted: Collection[Cell], *, trusted: bool) -> Hold:
        """What the report leaves to accept."""
        regressed = {cell.cell for cell in report.cells if cell.verdict is Verdict.REGRESSION}
        after = conclude_run(report.cells, report.fail_on, accepted=regressed, trusted=trusted)
        return cls(tuple(sorted(regressed - set(accepted), key=str)), after)

    def text(self) -> str:
        """Part of the check run's details; with too many cells no acceptance can turn it green."""
        if not self.cells:
            return "No regression waits for an acceptance."
        if len(self.cells) > MOST_CELLS:
            return f"{len(self.cells)} cells regressed: more than can be accepted one by one."
        listed = "\n".join(f"- `{cell}`" for cell in self.cells)
        marker = f"<!-- vllm-eval-gate if-accepted={self.after} -->"
        return f"Regressions that nobody accepted:\n\n{listed}\n\n{marker}"

    @classmethod
    def find(cls, text: str) -> Hold | None:
        """What `text` wrote; None where it leaves nothing to accept."""
        after = _AFTER.search(text)
        cells = tuple(Cell(arch=a, config=c, backend=b) for a, c, b in _CELL.findall(text))
        if after is None or not cells:
            return None
        conclusions: tuple[Conclusion, ...] = ("success", "neutral", "failure", "action_required")
        return cls(cells, next(c for c in conclusions if c == after[1]))
