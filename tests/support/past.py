"""A repository with a past: baselines in git, and records of half a year of gated runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from gate import records
from gate.baseline.collect import Terms, add_run
from gate.baseline.store import baseline_path, load, save
from gate.model.cell import Cell
from gate.model.record import Failure, RunRecord
from tests.support.checkout import commit, repository
from tests.support.measured import CELL, PROVENANCE, baseline, fingerprint, question_ids, run_record

TRITON = Cell(arch="gfx950", config="gpt-oss-20b", backend="triton")
START = datetime(2026, 5, 1, 6, tzinfo=UTC)
DROP = 15
"""The number of the run from which the cell scores lower."""
RUNS = 26
FAILED = 8


def record_of(number: int, *, seed: int | None = None, **changes: object) -> RunRecord:
    """The gated run of a week; from `DROP` on 12 points lower."""
    date = (START + timedelta(weeks=number)).isoformat()
    provenance = {**PROVENANCE, "date": date, "commit": f"{number:040x}"}
    accuracy = 0.58 if number < DROP else 0.46
    record = run_record(
        100 + number if seed is None else seed,
        total=60,
        repeats=12,
        accuracy=accuracy,
        provenance=provenance,
        purpose="gate",
        gpus=1,
    )
    return record.model_copy(update={"seconds": 600.0 + 40 * (number % 5), **changes})


def make_past(folder: Path) -> Path:
    """A repository in `folder`: two cells, a refresh in October, records in `out`; returns the store."""
    repository(folder, "code.py")
    store = folder / "baselines"
    spring = {**PROVENANCE, "date": "2026-04-28T10:00:00+00:00"}
    autumn = {**PROVENANCE, "date": "2026-09-19T10:00:00+00:00"}
    first = baseline(2, total=60, repeats=16, provenance=spring)
    lower = add_run(
        first,
        run_record(7, total=60, repeats=16, accuracy=0.46, provenance=autumn),
        accepted_by="alice",
        reason="FP8 accumulation rounds; <b>agreed</b> in the release meeting",
        date="2026-09-20",
        terms=Terms(new_epoch=True),
    )
    other = baseline(
        1,
        total=60,
        repeats=16,
        cell=TRITON,
        fingerprint=fingerprint(question_ids(60), cell=TRITON),
        provenance=spring,
    )
    steps = (
        (CELL, first, "2026-05-01T12:00:00Z"),
        (TRITON, other, "2026-05-02T12:00:00Z"),
        (CELL, lower, "2026-09-20T12:00:00Z"),
    )
    for cell, content, date in steps:
        path = baseline_path(store, cell)
        save(path, content, replaces=load(path) if path.exists() else None)
        commit(folder, author="committer", date=date)
    for number in range(RUNS):
        lost = {"failure": Failure(kind="engine", message="the engine died")} if number == FAILED else {}
        kept = folder / "out" / f"{number}" / "records"
        kept.mkdir(parents=True)
        record = record_of(number, **lost)
        records.write(records.record_path(kept, record.cell), record)
    return store
