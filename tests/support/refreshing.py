"""A checkout with a store, and beside it the records that a refresh takes in."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from gate import records
from gate.baseline.pool import NOT_POOLED
from gate.baseline.store import baseline_path, save
from gate.collect import Collection
from gate.errors import BaselineError, UsageError
from gate.fingerprint import Git
from gate.model.cell import Cell
from gate.model.record import RunRecord
from gate.plan import Origins
from gate.refresh import Refresh, refresh
from gate.report.progress import SilentProgress
from gate.request import RunRequest
from tests.support.checkout import repository, run
from tests.support.measured import CELL, PROVENANCE, baseline, fingerprint, question_ids, run_record

TRITON = Cell(arch="gfx950", config="gpt-oss-20b", backend="triton")


class Checkout:
    """A repository with configs, a store of one cell, and a folder of records beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self.store = self.folder / "baselines"
        self.records = folder / "out"
        config = {
            "model_name": "amd/gpt-oss-20b-MoE-Quant-W-MXFP4-A-FP8-KV-FP8",
            "metric_threshold": 0.5,
            "task": "gpqa_diamond",
            "gate": {"margin": 0.1},
            "backends": {"aiter": {"expect": {"moe": "AITER_MXFP4_FP8"}}, "triton": {}},
        }
        (self.folder / "configs").mkdir(parents=True)
        (self.folder / "configs/gpt-oss-20b.yaml").write_text(yaml.safe_dump(config))
        self.stored(CELL)
        self.git = repository(self.folder)
        self.head = run(self.folder, "rev-parse", "HEAD")

    def stored(self, cell: Cell) -> None:
        """Give the cell a baseline of two runs."""
        mark = fingerprint(question_ids(30), cell=cell)
        save(self.path(cell), baseline(2, repeats=8, cell=cell, fingerprint=mark), replaces=None)

    def path(self, cell: Cell) -> Path:
        return baseline_path(self.store, cell)

    def measured(self, seed: int, number: int = 1, *, doubt: str | None = None, **changes: Any) -> RunRecord:
        """Leave a record as run `number` of a collection does."""
        origin = PROVENANCE | {"commit": self.head, "dirty": "false"} | ({NOT_POOLED: doubt} if doubt else {})
        record = run_record(seed, **({"repeats": 8, "provenance": origin} | changes))
        folder = self.records / f"run-{number}/records"
        folder.mkdir(parents=True, exist_ok=True)
        records.write(records.record_path(folder, record.cell), record)
        return record

    def measured_of(self, cell: Cell, seed: int, **changes: Any) -> RunRecord:
        """The same for another cell."""
        mark = fingerprint(question_ids(30), cell=cell)
        return self.measured(seed, **({"cell": cell, "fingerprint": mark} | changes))

    def refresh(
        self,
        *patterns: str,
        accept_drop: bool = False,
        write: bool = True,
        git: Git | None = None,
        **changes: Any,
    ) -> Any:
        collection = Collection(None, accepted_by="octocat", reason="meant", **changes)
        return refresh(
            RunRequest(paths=(), origins=Origins(self.store, self.folder), out=self.folder / "out"),
            Refresh(patterns, self.folder / "configs", self.records, accept_drop, write),
            collection,
            SilentProgress(),
            git=git or self.git,
            today=date(2026, 11, 24),
        )

    def refusal(self, *patterns: str, **changes: Any) -> str:
        """The error of a refresh that must leave every file as it was."""
        before = {path: path.read_bytes() for path in self.store.rglob("*.json")}
        with pytest.raises((BaselineError, UsageError)) as caught:
            self.refresh(*patterns, **changes)
        assert {path: path.read_bytes() for path in self.store.rglob("*.json")} == before
        return str(caught.value)
