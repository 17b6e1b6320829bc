"""The folder a run leaves behind: records, journals, logs and reports."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gate.model import Cell


@dataclass(frozen=True)
class Outputs:
    """Where a run leaves what it found, under one folder."""

    root: Path

    @property
    def records(self) -> Path:
        """One run record a cell."""
        return self.root / "records"

    def journal(self, cell: Cell) -> Path:
        """The samples of a cell, one line each, as they arrive."""
        return self.root / "journals" / f"{_slug(cell)}.jsonl"

    def log(self, cell: Cell) -> Path:
        """What the engine of a cell printed."""
        return self.root / "logs" / f"{_slug(cell)}.log"

    @property
    def report_json(self) -> Path:
        """The report for programs."""
        return self.root / "report.json"

    @property
    def report_markdown(self) -> Path:
        """The report for reviewers."""
        return self.root / "report.md"


def _slug(cell: Cell) -> str:
    return str(cell).replace("/", "__")
