"""The folder a run leaves behind: records, journals, logs and reports."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gate.errors import StorageError, UsageError
from gate.evals.parts import Parts
from gate.files import write_bytes
from gate.model.cell import Cell
from gate.objects import Objects
from gate.records import record_path


@dataclass(frozen=True)
class Outputs:
    """Where a run leaves what it found, under one folder; `store` has journals and records for every node."""

    root: Path
    store: Objects | None = None

    @property
    def records(self) -> Path:
        """One run record a cell."""
        return self.root / "records"

    def journal(self, cell: Cell, stream: str | None = None) -> Path | Parts:
        """The samples of a cell, one line each, as they arrive.

        With the `stream` of a commit its own file: another commit's samples must never answer for it.
        """
        commit = f"@{stream[:12]}" if stream else ""
        name = f"{record_path(self.records, cell).stem}{commit}"
        if self.store is not None:
            return Parts(self.store, f"journals/{name}")
        return self.root / "journals" / f"{name}.jsonl"

    def share(self, record: Path) -> None:
        """Put a record that was written into the store, where there is one; raises StorageError."""
        if self.store is not None:
            self.store.put(f"records/{record.name}", record.read_bytes())

    def borrow(self, record: Path) -> None:
        """Take a record that another node wrote from the store, unless it lies here; raises StorageError."""
        if self.store is not None and not record.exists():
            for content in self.store.read([f"records/{record.name}"]).values():
                write_bytes(record, content, error=StorageError)

    def log(self, cell: Cell, restart: int = 0) -> Path:
        """What the engine of a cell printed; each restart has a log of its own."""
        suffix = f".restart-{restart}.log" if restart else ".log"
        return self.root / "logs" / f"{record_path(self.records, cell).stem}{suffix}"

    def prepare(self) -> None:
        """Make the folder; raises UsageError where nothing can be written in them."""
        for folder in (self.root, self.records):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UsageError(
                    f"cannot be a folder for results: {error.strerror}", where=str(folder), hint=_ELSEWHERE
                ) from error
            if not os.access(folder, os.W_OK | os.X_OK):
                raise UsageError("cannot be written to", where=str(folder), hint=_ELSEWHERE)

    def forget(self, cells: Iterable[Cell]) -> None:
        """Remove an earlier run's report and its records of these cells: they are not this run's."""
        for path in (*self.reports, *(record_path(self.records, c) for c in cells)):
            path.unlink(missing_ok=True)

    @property
    def reports(self) -> tuple[Path, ...]:
        """Every form of the report."""
        return self.report_json, self.report_markdown, self.report_junit, self.badge

    @property
    def report_json(self) -> Path:
        """The report for programs."""
        return self.root / "report.json"

    @property
    def report_markdown(self) -> Path:
        """The report for reviewers."""
        return self.root / "report.md"

    @property
    def report_junit(self) -> Path:
        """The report for CI that shows test results."""
        return self.root / "report.junit.xml"

    @property
    def badge(self) -> Path:
        """The verdict for a badge."""
        return self.root / "badge.json"


_ELSEWHERE: Final = "give another folder with --out"
