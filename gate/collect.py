"""`gate baseline collect`: fixed-size runs, added to the store one after the other."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gate import records
from gate.baseline import collect, store
from gate.decide import NextStep
from gate.engine import launcher_for
from gate.errors import MeasurementError, UsageError
from gate.fingerprint import git_in
from gate.model import Baseline, RunRecord
from gate.outputs import Outputs
from gate.plan import Plan, plan_collection, resumed
from gate.report.progress import Progress
from gate.run import RunRequest, measure_plan, provenance_of, select
from gate.serving.signals import cancelled_by_signals

FIRST: Final = "first baseline"


@dataclass(frozen=True)
class Collection:
    """How many runs of how many repeats, and who answers for them.

    `reason` may be missing only where there is no baseline yet; without `accepted_by` it is git's user.
    """

    repeats: int
    runs: int = 1
    accepted_by: str | None = None
    reason: str | None = None


def collect_baselines(request: RunRequest, collection: Collection, progress: Progress) -> tuple[Path, ...]:
    """Measure `runs` fixed-size runs of every cell and add each to its baseline file.

    The size is declared before a run starts. A run that fails or is cancelled leaves its journal, from
    which the same command goes on; nothing incomplete enters the store.

    Returns:
        The baseline files written.

    Raises:
        MeasurementError: an engine failed, or did not run what the config says.
        BaselineError: a run does not fit the stored ones.
    """
    specs, found = select(request)
    collection = replace(
        collection,
        accepted_by=(collection.accepted_by or "").strip()
        or git_in(Path.cwd())(["config", "user.name"])
        or getpass.getuser(),
        reason=(collection.reason or "").strip(),
    )
    jobs = []
    for spec in specs:
        for number in range(collection.runs):
            plan = plan_collection(
                spec,
                request.origins,
                repeats=collection.repeats,
                engine=request.engine.identity(found),
                provenance=provenance_of(spec, request, found),
            )
            _check_store(plan, request.origins.baselines, collection)
            outputs = Outputs(request.out / f"run-{number + 1}")
            outputs.prepare()
            jobs.append((resumed(plan, outputs.journal(spec.cell)), outputs))
    try:
        return asyncio.run(_collect(jobs, request, collection, progress))
    finally:
        progress.close()


async def _collect(
    jobs: Sequence[tuple[Plan, Outputs]], request: RunRequest, collection: Collection, progress: Progress
) -> tuple[Path, ...]:
    written: dict[Path, None] = {}
    with cancelled_by_signals() as received:
        for plan, outputs in jobs:
            record = await _measure(plan, request, outputs, progress)
            if record.failure is not None:
                raise MeasurementError(
                    record.failure.message,
                    where=str(plan.spec.cell),
                    hint="the same command goes on from the journal" if received else record.failure.hint,
                )
            path = store.baseline_path(request.origins.baselines, plan.spec.cell)
            written[add_to_store(path, record, collection)] = None
            # Not before the store has them: until then the journal is all that a full disk leaves of hours.
            outputs.journal(plan.spec.cell).unlink(missing_ok=True)
    return tuple(written)


def add_to_store(path: Path, record: RunRecord, collection: Collection) -> Path:
    """Add one complete run to the baseline file at `path`, which may not exist yet."""
    before: Baseline | None = store.load(path) if path.exists() else None
    after = collect.add_run(
        before,
        record,
        accepted_by=collection.accepted_by or "",
        reason=collection.reason or FIRST,
        date=datetime.now(UTC).date().isoformat(),
    )
    store.save(path, after, replaces=before)
    return path


def _check_store(plan: Plan, baselines: Path, collection: Collection) -> None:
    """Refuse before an engine starts what the store would refuse after hours."""
    path = store.baseline_path(baselines, plan.spec.cell)
    if not path.exists():
        return
    if not collection.reason:
        raise UsageError(
            "there is a baseline already: another run needs a reason",
            where=str(path),
            hint='add --reason "..."',
        )
    collect.check_same_measurement(store.load(path), plan.fingerprint)


def _go_on(record: RunRecord) -> NextStep:
    """A run for the baseline is never looked at before it is complete."""
    return NextStep(stop=False, lookahead=True, blocks_used=len(record.outcomes), looks=())


async def _measure(plan: Plan, request: RunRequest, outputs: Outputs, progress: Progress) -> RunRecord:
    launcher = launcher_for(plan, request.engine, request.origins.hf_home)
    launcher.check()
    progress.cell_started(plan.spec.cell, plan.max_repeats * len(plan.task.questions))
    record = await measure_plan(
        plan,
        launcher,
        outputs,
        progress,
        concurrency=request.concurrency,
        hang_seconds=request.hang_seconds,
        look=_go_on,
    )
    records.write(records.record_path(outputs.records, plan.spec.cell), record)
    return record
