"""`gate merge`: the records of many jobs as one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from gate import records
from gate.baseline.pool import reference_of
from gate.cells import cells_of, selected
from gate.check import results_of
from gate.errors import RecordError
from gate.model.cell import Cell
from gate.model.record import RunRecord
from gate.model.result import GateReport
from gate.numerics.store import load as load_probe
from gate.objects import Objects
from gate.outputs import Outputs
from gate.reporting import assemble, fail_on_verdicts, write_report


@dataclass(frozen=True)
class MergeRequest:
    """What the command line asked for; `out` None writes no files."""

    records: tuple[Path | Objects, ...]
    paths: tuple[Path, ...]
    baselines: Path
    out: Path | None = None
    arch: str | None = None
    event: str | None = None
    changed: tuple[str, ...] | None = None
    family_size: int | None = None
    fail_on: str | None = None


def merge_records(request: MergeRequest) -> GateReport:
    """Decide every expected cell from whichever job's record there is.

    The configs say what is expected. A job that failed, left no record or one that cannot be read makes its
    cells `not_measured`: they are in the report, and never green.

    Raises:
        RecordError: two jobs left a record of one cell, or one of a cell that no config at hand defines.
        ConfigError, BaselineError, UsageError: a file at hand is wrong.
        StorageError: a store cannot be used.
    """
    fail_on = fail_on_verdicts(request.fail_on)
    specs = cells_of(request.paths, arch=request.arch)
    expected = selected(specs, request.event, request.changed)
    found, refused = _gather(request.records, [spec.cell for spec in specs])
    family_size = request.family_size or max(1, len(expected))
    results = results_of(
        expected,
        found,
        partial(reference_of, request.baselines),
        family_size,
        probe=partial(load_probe, request.baselines),
        refused=refused,
    )
    report = assemble(
        results,
        fail_on=fail_on,
        commit=None,
        family_size=family_size,
        alpha=max(spec.gate.alpha for spec in specs),
        now=datetime.now(UTC),
    )
    if request.out is not None:
        outputs = Outputs(request.out)
        outputs.prepare()
        for cell, record in found.items():
            records.write(records.record_path(outputs.records, cell), record)
        write_report(outputs, report)
    return report


def _gather(
    places: Sequence[Path | Objects], cells: Sequence[Cell]
) -> tuple[dict[Cell, RunRecord], dict[Cell, str]]:
    """The records by cell, and why those that cannot be used cannot; a place that is missing holds none.

    Of two attempts at a cell none counts where one cannot be read: what it said may have been worse.
    """
    by_name = {records.record_path(Path(), cell).name: cell for cell in cells}
    found: dict[Cell, RunRecord] = {}
    origin: dict[Cell, str] = {}
    refused: dict[Cell, str] = {}
    for file in (file for place in places for file in _files(place)):
        try:
            record = file.read()
        except RecordError as error:
            if file.name not in by_name:
                raise
            refused[by_name[file.name]] = f"its run record cannot be used: {error.message}"
            continue
        if record.cell not in cells:
            raise RecordError(
                f"no config at hand defines the cell {record.cell}",
                where=file.where,
                hint="name the configs or lists that the records were made from",
            )
        if record.cell in found:
            raise RecordError(
                f"is of the cell {record.cell}, and so is {origin[record.cell]}",
                where=file.where,
                hint="give the records of one attempt only",
            )
        found[record.cell], origin[record.cell] = record, file.where
    return {cell: record for cell, record in found.items() if cell not in refused}, refused


def _files(place: Path | Objects) -> list[records.Unread]:
    """The records of one job: a file, a folder of them, a run's output with a folder `records`, a store."""
    if not isinstance(place, Path):
        return records.stored_in(place)
    if not place.is_dir():
        return records.files_of(place) if place.exists() else []
    return records.files_of(*sorted([*place.glob("*.json"), *place.glob("records/*.json")]))
