"""`gate baseline collect`: fixed-size runs, added to the store one after the other."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from gate import records
from gate.baseline import collect, store
from gate.baseline.collect import ONLY_ADD, Terms
from gate.baseline.declared import Declaration
from gate.baseline.pool import NOT_POOLED, current_runs, require_homogeneous
from gate.baseline.source import STRICT, Policy, marked
from gate.cells import CellSpec
from gate.decide import after_failure
from gate.decide.words import count
from gate.engine import Found, launcher_for
from gate.errors import MeasurementError, UsageError
from gate.executors import Executor, Place
from gate.fingerprint import Git, git_in
from gate.model.baseline import Baseline
from gate.model.canonical import sha256_of
from gate.model.cell import Cell
from gate.model.record import RunRecord
from gate.outputs import Outputs
from gate.plan import Plan, plan_collection, resumed
from gate.report.progress import Progress
from gate.request import RunRequest, provenance_of, select
from gate.run import executor_of, measure_plan, to_the_end
from gate.sequence import new_stream
from gate.serving.launch import Launcher
from gate.serving.remote import RemoteServer
from gate.serving.signals import cancelled_by_signals

FIRST: Final = "first baseline"
_GO_ON: Final = "the same command goes on from the journal"


@dataclass(frozen=True)
class Collection:
    """How many runs of how many repeats, who answers for them, and what they may change.

    `repeats` may be missing where a baseline says how large a run is: its newest one. `reason` may be missing
    only where there is no baseline yet; without `accepted_by` it is git's user.
    """

    repeats: int | None
    runs: int = 1
    accepted_by: str | None = None
    reason: str | None = None
    terms: Terms = ONLY_ADD
    policy: Policy = STRICT

    def signed(self) -> Collection:
        """The same with somebody's name."""
        who = somebody(self.accepted_by, git_in(Path.cwd()))
        return replace(self, accepted_by=who, reason=(self.reason or "").strip() or None)


class Job(NamedTuple):
    """One run of one cell: the plan, its engine, its files, and its place in the collection."""

    plan: Plan
    launcher: Launcher | RemoteServer
    outputs: Outputs
    number: int

    @property
    def name(self) -> str:
        """The cell."""
        return str(self.plan.spec.cell)

    @property
    def gpus(self) -> int:
        """GPUs of its engine."""
        return self.plan.spec.gpus

    @property
    def launchers(self) -> Sequence[Launcher | RemoteServer]:
        """How its engine is started."""
        return (self.launcher,)

    @property
    def record_path(self) -> Path:
        """Where the record of the run is, once it is complete."""
        return records.record_path(self.outputs.records, self.plan.spec.cell)


class Added(NamedTuple):
    """What a run did to its baseline file: how many runs count now, how well they agree."""

    path: Path
    runs: int
    repeats: int
    p_value: float
    doubt: str | None

    def __str__(self) -> str:
        agreement = f", homogeneous (p = {self.p_value:.2g})" if self.runs > 1 else ""
        doubt = f"; this one never will: {self.doubt}" if self.doubt else ""
        runs = f"{count(self.runs, 'run')} of {count(self.repeats, 'repeat')}"
        return f"{self.path}: {runs} {'counts' if self.runs == 1 else 'count'}{agreement}{doubt}"


def somebody(named: str | None, git: Git) -> str:
    """Who answers for a run: who was named, else git's user, else this machine's."""
    return (named or "").strip() or git(["config", "user.name"]) or getpass.getuser()


def collect_baselines(request: RunRequest, collection: Collection, progress: Progress) -> tuple[Added, ...]:
    """Measure `runs` fixed-size runs of every cell, add each to its baseline file, and say what it did.

    The size is declared before a run starts. A run that fails or is cancelled leaves its journal, and the
    collection its declaration, from which the same command goes on; nothing incomplete enters the store.

    Raises:
        MeasurementError: an engine failed, or did not run what the config says.
        BaselineError: a run does not fit the stored ones.
        UsageError: the checkout is not one that baselines come from.
    """
    specs, found = select(request)
    collection = collection.signed()
    baselines = request.origins.baselines
    for spec in specs:
        path = store.baseline_path(baselines, spec.cell)
        if path.exists() and collection.reason is None:
            raise UsageError(
                "there is a baseline already: another run needs a reason",
                where=str(path),
                hint='add --reason "..."',
            )
    added: list[Added] = []

    def add(job: Job, record: RunRecord) -> None:
        path = store.baseline_path(baselines, record.cell)
        added.append(add_to_store(path, record, collection, first=job.number == 0))
        # Not before the store has them: until then the journal is all that a full disk leaves of hours.
        job.outputs.journal(record.cell).unlink(missing_ok=True)

    measure_runs(specs, found, request, collection, progress, done=add).finish()
    return tuple(added)


def measure_runs(
    specs: Sequence[CellSpec],
    found: Found,
    request: RunRequest,
    collection: Collection,
    progress: Progress,
    *,
    done: Callable[[Job, RunRecord], None],
) -> Declaration:
    """Measure every run of a collection that is not measured yet, and hand each record to `done`.

    Several are measured at once where the request says so, two runs of one cell too; `done` gets those of a
    cell in their order. It gets the records of an interrupted collection again: it has to know which it took
    already.

    Returns:
        What the collection declared, to be finished once its records are where they belong.

    Raises:
        MeasurementError: an engine failed, or did not run what the config says.
        BaselineError: the stored runs are of another fingerprint.
        UsageError: the checkout is not one that baselines come from; another collection is unfinished here.
    """
    jobs = list(_jobs(specs, found, request, collection))
    executor = executor_of(request, specs, found)
    executor.check(jobs)
    declaration = Declaration(request.out / "collection.json")
    if not declaration.declare(_declared(jobs, collection)):
        for job in jobs:
            cell = job.plan.spec.cell
            job.outputs.forget([cell])
            job.outputs.journal(cell).unlink(missing_ok=True)
    try:
        asyncio.run(_measure_all(jobs, executor, request, progress, done))
    finally:
        progress.close()
    return declaration


def add_to_store(path: Path, record: RunRecord, collection: Collection, *, first: bool) -> Added:
    """Add one complete run to the baseline file at `path`, which may not exist yet; once.

    Args:
        path: where the cell's baseline is.
        record: the run.
        collection: who accepts it, why and on which terms.
        first: whether it is the first of its collection, which alone may begin a new epoch.
    """
    before: Baseline | None = store.load(path) if path.exists() else None
    if before is not None and record.stream in {run.stream for run in before.runs}:
        after = before
    else:
        after = grown(before, record, collection, first=first, today=datetime.now(UTC).date().isoformat())
        store.save(path, after, replaces=before)
    runs = current_runs(after)
    agreement = require_homogeneous(runs, where=str(path))
    doubt = record.provenance.get(NOT_POOLED)
    return Added(path, len(runs), sum(run.repeats for run in runs), agreement.p_value, doubt)


def grown(
    before: Baseline | None, record: RunRecord, collection: Collection, *, first: bool, today: str
) -> Baseline:
    """The baseline with the run of this collection; raises BaselineError where it must not be added."""
    terms = collection.terms
    return collect.add_run(
        before,
        record,
        accepted_by=collection.accepted_by or "",
        reason=collection.reason or FIRST,
        date=today,
        terms=terms if first else terms._replace(new_epoch=False, new_fingerprint=False),
    )


def _jobs(
    specs: Sequence[CellSpec], found: Found, request: RunRequest, collection: Collection
) -> Iterator[Job]:
    """Every run of the collection; refuses before an engine starts what the store would refuse later."""
    git = git_in(Path.cwd())
    for spec in specs:
        provenance = provenance_of(spec, request, found)
        provenance = marked(provenance, git, collection.policy, where=str(spec.cell))
        path = store.baseline_path(request.origins.baselines, spec.cell)
        stored = store.load(path) if path.exists() else None
        plan = plan_collection(
            spec,
            request.origins,
            repeats=_repeats(collection, stored, spec),
            engine=request.engine.identity(found),
            provenance=provenance,
            served=found.served(),
        )
        plan = replace(plan, accept_unproven=request.accept_unproven)
        if stored is not None and not collection.terms.new_fingerprint:
            collect.check_same_measurement(stored, plan.fingerprint)
        for number in range(collection.runs):
            outputs = Outputs(request.out / f"run-{number + 1}")
            outputs.prepare()
            run = replace(plan, stream=new_stream())
            yield Job(run, launcher_for(run, request.engine, request.origins.hf_home), outputs, number)


def _repeats(collection: Collection, stored: Baseline | None, spec: CellSpec) -> int:
    if collection.repeats == 1 and spec.sampling.temperature > 0:
        raise UsageError(
            "one repeat does not show how much answers vary",
            where=str(spec.cell),
            hint="give --repeats 2 or more (32 are a good size); 1 is for temperature 0",
        )
    if collection.repeats is not None and collection.repeats > 1 and spec.sampling.temperature == 0:
        raise UsageError(
            "the repeats of a greedy answer in one run are copies, which would count as samples",
            where=str(spec.cell),
            hint="give --repeats 1; several runs (--runs) show how often one build's answers flip",
        )
    if collection.repeats is not None:
        return collection.repeats
    if stored is None:
        raise UsageError(
            "nothing says how large a run is", where=str(spec.cell), hint="give --repeats; 32 are a good size"
        )
    return stored.runs[-1].repeats


def _declared(jobs: Sequence[Job], collection: Collection) -> Mapping[str, str]:
    """What tells this collection from another one."""
    said = {"runs": str(collection.runs), "engine": jobs[0].plan.engine}
    for plan, _, _, number in jobs:
        if number == 0:
            cell = str(plan.spec.cell)
            said |= {
                f"{cell} repeats": str(plan.max_repeats),
                f"{cell} commit": plan.provenance["commit"],
                f"{cell} launch": str(plan.sequence_key["launch"]),
                f"{cell} fingerprint": sha256_of(plan.fingerprint.model_dump(mode="json")),
            }
    return said


async def _measure_all(
    jobs: Sequence[Job],
    executor: Executor,
    request: RunRequest,
    progress: Progress,
    done: Callable[[Job, RunRecord], None],
) -> None:
    finished: dict[Cell, dict[int, tuple[Job, RunRecord]]] = {job.plan.spec.cell: {} for job in jobs}
    handed = dict.fromkeys(finished, 0)
    with cancelled_by_signals(progress.stopping) as received:

        async def measure_one(job: Job, place: Place) -> None:
            watch = progress if request.jobs == 1 else progress.apart()
            record = _complete_record(job) or await _measure(job, place, request, watch)
            if record.failure is not None:
                raise MeasurementError(
                    record.failure.message,
                    where=str(record.cell),
                    hint=_GO_ON if received else after_failure(record.failure),
                )
            # In the order of their numbers: only the first run may begin a new epoch, which the others join.
            finished[record.cell][job.number] = (job, record)
            while (following := finished[record.cell].pop(handed[record.cell], None)) is not None:
                done(*following)
                handed[record.cell] += 1

        await executor.run(jobs, measure_one)


def _complete_record(job: Job) -> RunRecord | None:
    """The record of the run, if the interrupted collection had come so far."""
    if not job.record_path.exists():
        return None
    record = records.read(job.record_path)
    return None if record.failure else record


async def _measure(job: Job, place: Place, request: RunRequest, progress: Progress) -> RunRecord:
    plan = resumed(job.plan, job.outputs.journal(job.plan.spec.cell))
    job.launcher.check()
    progress.cell_started(plan.spec.cell, plan.max_repeats * len(plan.task.questions))
    record = await measure_plan(
        plan,
        job.launcher,
        job.outputs,
        progress,
        concurrency=request.concurrency,
        hang_seconds=request.hang_seconds,
        look=to_the_end,
        place=place,
    )
    records.write(job.record_path, record)
    return record
