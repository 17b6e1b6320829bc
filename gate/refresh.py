"""`gate refresh`: accept new runs of cells, seen before and after, all of them or none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Final, NamedTuple

from gate import records
from gate.attest import checks_of
from gate.baseline import store
from gate.baseline.change import Change, change_of, objections
from gate.baseline.declared import Declaration
from gate.baseline.pool import current_runs
from gate.baseline.source import marked
from gate.cells import CellSpec, cells_of
from gate.collect import Collection, Job, grown, measure_runs
from gate.decide.words import something_else_ran
from gate.errors import BaselineError, UsageError
from gate.fingerprint import Git
from gate.model.baseline import Baseline
from gate.model.cell import Cell
from gate.model.record import RunRecord
from gate.report.progress import Progress
from gate.request import RunRequest, select

CI_VARIABLES: Final = ("CI", "GITHUB_ACTIONS")


@dataclass(frozen=True)
class Refresh:
    """Which cells, from where, and what may happen to them.

    Args:
        patterns: cells, as `store.matches` understands them; all where empty.
        configs: the folder of the configs: a cell's is `<config>.yaml`.
        records: run records that another job measured; None measures here.
        accept_drop: let a baseline fall by more than the margin, or away from its anchor.
        write: whether the store is written.
    """

    patterns: tuple[str, ...]
    configs: Path
    records: Path | None
    accept_drop: bool
    write: bool


class Step(NamedTuple):
    """One cell: what is stored, what it becomes, and how that looks."""

    path: Path
    before: Baseline | None
    after: Baseline
    change: Change


def may_write(asked: bool | None, environ: Mapping[str, str]) -> bool:
    """Whether to write the store: what was asked for, otherwise not in CI, where nobody sees the table."""
    if asked is not None:
        return asked
    return not any(environ.get(name, "") not in ("", "0", "false") for name in CI_VARIABLES)


def refresh(
    request: RunRequest, wanted: Refresh, collection: Collection, progress: Progress, *, git: Git, today: date
) -> tuple[Change, ...]:
    """Measure, or read, new runs of the cells; check every one; then write every baseline, if that is asked.

    Raises:
        BaselineError: a record must not enter the store, or a baseline would fall further than was accepted;
            nothing was written. Or somebody else wrote a file meanwhile: the command goes on where it was.
        UsageError, ConfigError, RecordError, MeasurementError: there is nothing to refresh with.
    """
    if not (collection.reason or "").strip():
        raise UsageError("a refresh needs a reason", hint='add --reason "..."')
    collection = collection.signed()
    baselines = request.origins.baselines
    if wanted.records is not None:
        found = _read(wanted.records, wanted.patterns)
        specs = _specs(tuple(found), wanted.configs)
        declaration = None
    else:
        specs, found, declaration = _measured(request, wanted, collection, progress)
    steps = [
        _step(specs[cell], runs, baselines, collection, git=git, today=today) for cell, runs in found.items()
    ]
    if not wanted.accept_drop:
        _require_no_objection(steps, specs)
    if wanted.write:
        for step in steps:
            if step.after is not step.before:
                store.save(step.path, step.after, replaces=step.before)
    if declaration is not None:
        declaration.finish()
    return tuple(step.change for step in steps)


def _read(path: Path, patterns: Sequence[str]) -> dict[Cell, list[RunRecord]]:
    """The records of each cell: of a file, of a folder of records, or of what a collection left."""
    runs = sorted(path.glob("run-*/records"), key=lambda folder: (len(folder.parent.name), folder))
    found: dict[Cell, list[RunRecord]] = {}
    for folder in runs or [path]:
        for record in records.read_all(folder):
            if not patterns or any(store.matches(str(record.cell), pattern) for pattern in patterns):
                found.setdefault(record.cell, []).append(record)
    if not found:
        raise UsageError(
            f"no record is of a cell like {', '.join(patterns)}",
            where=str(path),
            hint="check --from; the cells are named ARCH/CONFIG/BACKEND, with * for any",
        )
    return found


def _specs(cells: Sequence[Cell], configs: Path) -> dict[Cell, CellSpec]:
    """What the configs say of these cells; raises UsageError for a cell that none defines."""
    specs: dict[Cell, CellSpec] = {}
    for cell in cells:
        path = configs / f"{cell.config}.yaml"
        if not path.is_file():
            raise UsageError(
                f"the config of the cell {cell} is not there",
                where=str(path),
                hint="name the folder of the configs with --configs",
            )
        specs |= {spec.cell: spec for spec in cells_of([path], arch=cell.arch, backends=[cell.backend])}
    return specs


def _measured(
    request: RunRequest, wanted: Refresh, collection: Collection, progress: Progress
) -> tuple[dict[Cell, CellSpec], dict[Cell, list[RunRecord]], Declaration]:
    """Fixed-size runs of the stored cells of this machine's architecture."""
    baselines = request.origins.baselines
    stored = [store.load(path).fingerprint.cell for path in store.baseline_files(baselines, wanted.patterns)]
    paths = dict.fromkeys(wanted.configs / f"{cell.config}.yaml" for cell in stored)
    selected, engine = select(replace(request, paths=tuple(paths)))
    specs = {spec.cell: spec for spec in selected if spec.cell in stored}
    if not specs:
        raise BaselineError(
            f"holds no baseline to refresh of the architecture {selected[0].cell.arch}",
            where=str(baselines),
            hint="`gate baseline show` lists them; `gate baseline collect` makes the first",
        )
    found: dict[Cell, list[RunRecord]] = {}

    def keep(job: Job, record: RunRecord) -> None:
        found.setdefault(record.cell, []).append(record)

    return specs, found, measure_runs(tuple(specs.values()), engine, request, collection, progress, done=keep)


def _step(
    spec: CellSpec,
    runs: Sequence[RunRecord],
    baselines: Path,
    collection: Collection,
    *,
    git: Git,
    today: date,
) -> Step:
    """The baseline of one cell with these runs; those that it has already change nothing."""
    path = store.baseline_path(baselines, spec.cell)
    before = store.load(path) if path.exists() else None
    after, known = before, {run.stream for run in before.runs} if before else set()
    new = [record for record in runs if record.stream not in known]
    for number, record in enumerate(new):
        failed = [check for check in checks_of(spec, record.evidence) if not check.ok]
        if failed and record.failure is None:
            raise BaselineError(
                something_else_ran(failed),
                where=str(spec.cell),
                hint="correct how the engine is started: no baseline is taken from another backend",
            )
        origin = marked(record.provenance, git, collection.policy, where=str(spec.cell))
        record = record.model_copy(update={"provenance": origin})  # noqa: PLW2901 - the same record, marked
        after = grown(after, record, collection, first=number == 0, today=today.isoformat())
    if after is None or not current_runs(after):
        raise BaselineError(
            "no run of it would count", where=str(spec.cell), hint="`gate baseline collect` stores such runs"
        )
    return Step(path, before, after, change_of(before, after, spec.gate, chance=spec.task.chance))


def _require_no_objection(steps: Sequence[Step], specs: Mapping[Cell, CellSpec]) -> None:
    found = [
        f"{step.change.cell} {objection}"
        for step in steps
        for objection in objections(step.change, specs[step.after.fingerprint.cell].gate)
    ]
    if found:
        raise BaselineError(
            "nothing was written: " + "; ".join(found),
            hint="if it is meant, say so with --accept-drop; a new level is pinned by `gate baseline anchor`",
        )
