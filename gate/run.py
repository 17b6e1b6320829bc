"""`gate run`: plan every cell, measure them, decide, report."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from gate import records
from gate.apart import apart
from gate.cells import CellSpec
from gate.check import judge
from gate.confirm import BaseBuild, confirm
from gate.decide import NextStep, next_step, plan_sequence
from gate.engine import Found, find_out, launcher_for
from gate.errors import RecordError, StorageError, UsageError
from gate.evals.asking import Client, Manner
from gate.evals.parts import Parts, open_journal
from gate.executors import Executor, Here, Place, check_executor, executor_for, visibility_variables
from gate.executors.ray import Cluster, OnRay, connected
from gate.fingerprint import UNKNOWN
from gate.measure import RESTARTS, Engine, Look, failure_of, measure, unmeasured
from gate.model.record import Failure, RunRecord
from gate.model.result import CellResult, GateReport, Verdict
from gate.objects import objects_at
from gate.outputs import Outputs
from gate.plan import Plan, plan_confirmation, plan_gate, resumed
from gate.report.progress import Kept, Progress
from gate.reporting import assemble, fail_on_verdicts, write_report
from gate.request import RunRequest, here, provenance_of, select
from gate.rerun import NOT_EXTENDED, standing
from gate.serving.launch import Launcher
from gate.serving.remote import RemoteServer
from gate.serving.signals import cancelled_by_signals

DEFAULT_CONCURRENCY: Final = 256
REQUEST_SECONDS: Final = 900.0
HERE: Final = Here()


class CellJob(NamedTuple):
    """One planned cell and how its engine is started.

    `base` plans a confirmation by the base build; `earlier` is the record of an earlier run that stands.
    """

    plan: Plan
    launcher: Launcher | RemoteServer
    base: BaseBuild | None = None
    earlier: RunRecord | None = None

    @property
    def name(self) -> str:
        """The cell."""
        return str(self.plan.spec.cell)

    @property
    def gpus(self) -> int:
        """GPUs of its engine."""
        return 0 if self.plan.spec.cell.arch == "cpu" else self.plan.spec.gpus

    @property
    def stands(self) -> bool:
        """Whether its record is there, and nothing is left to ask."""
        return self.earlier is not None and self.base is None

    @property
    def launchers(self) -> tuple[Launcher | RemoteServer, ...]:
        """Every engine that it may start."""
        return (self.launcher, self.base.launcher) if self.base else (self.launcher,)


def run_cells(request: RunRequest, watch: Callable[[], Progress]) -> GateReport:
    """Plan, measure and decide every cell; write records and reports below `out`.

    Every cell is planned before the first engine starts: what can be refused costs no GPU minute.

    Args:
        request: what was asked for.
        watch: makes what tells people how it goes, in the process that measures: it is pickled for Ray's.

    Raises:
        UsageError, ConfigError, DatasetError, BaselineError, StatisticsError: nothing was measured.
        EngineError: Ray ended the process that measured.
    """
    check_executor(request.executor, request.jobs, remote=request.engine.address is not None)
    return apart(_run_cells, request, watch) if request.executor == "ray" else _run_cells(request, watch)


def _run_cells(request: RunRequest, watch: Callable[[], Progress]) -> GateReport:
    fail_on = fail_on_verdicts(request.fail_on)
    request.heads.check()
    progress = watch()
    with ExitStack() as stack:
        cluster: Cluster | None = None
        if request.executor == "ray":
            cluster = stack.enter_context(connected(request.address, request.arch))
        there = cluster.there if cluster else here
        specs, found = select(request, there)
        base = there(find_out, request.confirm_with) if request.confirm_with else None
        outputs = Outputs(request.out, objects_at(request.store) if request.store else None)
        outputs.prepare()
        executor = executor_of(request, specs, found, cluster)
        planned = _planned(request, specs, found, base, outputs)
        executor.check(planned)
        outputs.forget(job.plan.spec.cell for job in planned if job.earlier is None)
        progress.planned([spec.cell for spec in specs])
        try:
            return asyncio.run(
                _measure_and_report(planned, executor, request, outputs, progress, fail_on=fail_on)
            )
        finally:
            progress.close()


def _planned(
    request: RunRequest, specs: Sequence[CellSpec], found: Found, base: Found | None, outputs: Outputs
) -> list[CellJob]:
    """Every cell, with the stream of the journal that it goes on from."""
    planned: list[CellJob] = []
    for spec in specs:
        if not request.probe and spec.gate.probe.on_drift == "fail":
            raise UsageError(
                "--no-probe, and the config declares that a drift of the numerics fails",
                where=str(spec.cell),
                hint="leave --no-probe out: a cell that was not probed cannot pass",
            )
        plan = plan_gate(
            spec,
            request.origins,
            request.heads,
            family_size=request.family_size or len(specs),
            accept_wider_margin=request.accept_wider_margin,
            engine=request.engine.identity(found),
            provenance=provenance_of(spec, request, found),
            served=found.served(),
        )
        probe = plan.probe if request.probe else None
        plan = replace(plan, accept_unproven=request.accept_unproven, probe=probe)
        plan = resumed(plan, _journal(plan, outputs))
        launcher = launcher_for(plan, request.engine, request.origins.hf_home)
        earlier = standing(plan, outputs, _judge_of(plan, request))
        planned.append(CellJob(plan, launcher, _base_of(plan, request, base, earlier), earlier))
    return planned


def _judge_of(plan: Plan, request: RunRequest) -> partial[CellResult]:
    """Record -> verdict: by the score alone, unless a `probe_baseline` is given."""
    return partial(
        judge,
        plan.spec,
        reference=plan.reference,
        family_size=plan.family_size,
        accept_wider_margin=request.accept_wider_margin,
        accept_unproven=request.accept_unproven,
    )


def _base_of(
    plan: Plan, request: RunRequest, found: Found | None, earlier: RunRecord | None
) -> BaseBuild | None:
    """How a regression of `plan` would be confirmed, where that was asked for and is not done already."""
    choice = request.confirm_with
    if choice is None or found is None or plan.fingerprint.temperature == 0:  # greedy answers do not repeat
        return None
    where = provenance_of(plan.spec, replace(request, engine=choice), found)
    base = plan_confirmation(plan, engine=choice.identity(found), provenance=where)
    made = BaseBuild(base, launcher_for(base, choice, request.origins.hf_home))
    if earlier is None:
        return made
    done = made.asked_for(earlier) or _judge_of(plan, request)(earlier).verdict is not Verdict.REGRESSION
    return None if done else made


def executor_of(
    request: RunRequest, specs: Sequence[CellSpec], found: Found, cluster: Cluster | None = None
) -> Executor:
    """Who runs the cells; refuses to share out GPUs where a config already says which ones it takes."""
    arch = specs[0].cell.arch
    for spec in specs:
        given = {**spec.env, **request.engine.environment()}
        pinned = [name for name in visibility_variables(arch) if name in given]
        if pinned and (request.jobs > 1 or cluster):
            raise UsageError(
                f"{pinned[0]} is set for the engine, and "
                f"{'Ray' if cluster else '--jobs'} gives each cell GPUs of its own",
                where=str(spec.cell),
                hint=f"leave {pinned[0]} to the surrounding environment: its GPUs are then shared out",
            )
    if cluster:
        return OnRay(cluster, request.engine, request.engine.identity(found))
    return executor_for(request.jobs, arch=arch, gpu_count=found.gpu_count(), environ=os.environ)


async def _measure_and_report(
    planned: Sequence[CellJob],
    executor: Executor,
    request: RunRequest,
    outputs: Outputs,
    progress: Progress,
    *,
    fail_on: Sequence[Verdict] | None,
) -> GateReport:
    """Measure and report, both out of reach of a second signal: it must not tear what the first one left."""
    one_at_a_time = request.jobs == 1 and request.executor != "ray"
    with cancelled_by_signals(progress.stopping) as received:

        async def measure_one(job: CellJob, place: Place) -> CellResult:
            watch = progress if one_at_a_time else progress.apart()
            return await _measure_cell(job, place, request, outputs, watch, received=received)

        # A cell that needs no engine waits for no place.
        taken = {job.name: await measure_one(job, HERE) for job in planned if job.stands}
        asked = [job for job in planned if job.name not in taken]
        measured = await executor.run(asked, measure_one)
        found = taken | {job.name: result for job, result in zip(asked, measured, strict=True)}
        report = assemble(
            [found[job.name] for job in planned],
            fail_on=fail_on,
            commit=request.heads.head_sha or None,
            family_size=planned[0].plan.family_size,
            alpha=max(job.plan.spec.gate.alpha for job in planned),
            now=datetime.now(UTC),
        )
        write_report(outputs, report)
        if received:
            progress.interrupted([_kept(job.plan, outputs) for job in planned])
    return report


def _kept(plan: Plan, outputs: Outputs) -> Kept:
    """What an interrupted run leaves of a cell."""
    cell, journal = plan.spec.cell, _journal(plan, outputs)
    record = records.read(records.record_path(outputs.records, cell))
    cancelled = record.failure is not None and record.failure.kind == "cancelled"
    return Kept(
        cell, decided=not cancelled, samples=record.generated, journal=journal if journal.exists() else None
    )


async def _measure_cell(
    job: CellJob,
    place: Place,
    request: RunRequest,
    outputs: Outputs,
    progress: Progress,
    *,
    received: Sequence[signal.Signals],
) -> CellResult:
    """Measure and judge one cell; one that a cancelled run did not reach has a result all the same."""
    plan = job.plan
    progress.cell_started(
        plan.spec.cell, plan.max_repeats * len(plan.task.questions) if plan.comparable else 0
    )
    if job.earlier is not None:
        record = job.earlier
        progress.cell_taken()
    elif received:
        record = unmeasured(plan, Failure(kind="cancelled", message="cancelled before it started"))
    elif not plan.comparable:
        record = unmeasured(plan)
    else:
        record = await measure_plan(
            plan,
            job.launcher,
            outputs,
            progress,
            concurrency=request.concurrency,
            hang_seconds=request.hang_seconds,
            look=looks_of(plan, progress),
            place=place,
        )
    path = records.record_path(outputs.records, plan.spec.cell)
    try:
        records.write(path, record)
        outputs.share(path)
    except StorageError as error:  # what nobody can decide again was not measured
        record = unmeasured(plan, failure_of(error))
    # Not before the record is written. A commit's journal stays: a rerun replays it.
    if record.outcomes and record.failure is None and not plan.replays:
        _journal(plan, outputs).unlink(missing_ok=True)
    decide = _judge_of(plan, request)
    # The score alone: what the base build is asked again is about the score, not about the numerics.
    score = decide(record)
    if score.verdict is Verdict.REGRESSION and job.base is not None:
        ask = partial(
            measure_plan,
            progress=progress,
            concurrency=request.concurrency,
            hang_seconds=request.hang_seconds,
            look=to_the_end,
            place=place,
        )
        fresh = await confirm(job.base, ask, outputs, progress)
        confirmed = record.model_copy(update={"confirmation": fresh})
        try:
            records.write(path, confirmed)
            outputs.share(path)
            record = confirmed
        except StorageError as error:  # it takes nothing back: the record on the disk is a regression's
            progress.engine_line(f"gate: WARNING the confirmation is lost: {error.located}")
    stored = plan.probe.baseline if plan.probe else None
    result = decide(record, probe_baseline=stored)
    if job.earlier is not None:
        notes = (NOT_EXTENDED,) if result.verdict is Verdict.INCONCLUSIVE and record is job.earlier else ()
        date = job.earlier.provenance.get("date", UNKNOWN)
        result = result.model_copy(update={"notes": (*result.notes, *notes), "from_record": date})
    progress.cell_finished(result)
    return result


def to_the_end(outcomes: Sequence[str], seconds: float) -> NextStep:
    """Never stop early: fixed-size runs are not looked at before they are complete."""
    return NextStep(stop=False, lookahead=True, looks=())


def default_concurrency(spec: CellSpec, questions: int) -> int:
    """Requests in flight where the command line does not say: a pass at once, within the config's cap."""
    return min(questions, spec.max_concurrency or DEFAULT_CONCURRENCY, DEFAULT_CONCURRENCY)


async def measure_plan(
    plan: Plan,
    launcher: Launcher | RemoteServer,
    outputs: Outputs,
    progress: Progress,
    *,
    concurrency: int | None,
    hang_seconds: float | None,
    look: Look,
    place: Place = HERE,
) -> RunRecord:
    """Measure one planned cell with the real engine, client and clock."""
    cell = plan.spec.cell

    def start(restart: int) -> AbstractAsyncContextManager[Engine]:
        return place.serve(
            launcher,
            arch=cell.arch,
            log_path=outputs.log(cell, restart),
            startup_seconds=plan.spec.startup_max_wait_seconds,
            on_line=progress.engine_line,
        )

    def client(engine: Engine) -> AbstractAsyncContextManager[Client]:
        return place.client(engine, manner)

    manner = Manner(
        concurrency or default_concurrency(plan.spec, len(plan.task.questions)),
        plan.spec.request_timeout_seconds or REQUEST_SECONDS,
        hang_seconds or plan.spec.gate.hang_seconds,
    )
    try:
        journal = open_journal(_journal(plan, outputs), plan.sequence_key)
    except RecordError as error:  # the cells that are measured already keep their results
        return unmeasured(plan, failure_of(error))
    with journal:
        return await measure(
            plan,
            start=start,
            make_client=client,
            journal=journal,
            look=look,
            progress=progress,
            clock=time.monotonic,
            restarts=0 if isinstance(launcher, RemoteServer) else RESTARTS,
        )


def _journal(plan: Plan, outputs: Outputs) -> Path | Parts:
    return outputs.journal(plan.spec.cell, plan.stream if plan.replays else None)


def looks_of(plan: Plan, progress: Progress) -> Look:
    """Look at the outcomes after every block, as `decide_cell` will, show it, and mind `max_minutes`."""
    if plan.reference is None or plan.budget is None:
        raise UsageError(
            "nothing to compare with",
            where=str(plan.spec.cell),
            hint="report this as a bug of the gate: such a cell is not measured",
        )
    sequence = plan_sequence(plan.reference, plan.budget, question_order_seed=plan.stream)

    def look(outcomes: Sequence[str], seconds: float) -> NextStep:
        step = next_step(sequence, outcomes)
        progress.look(step.looks[-1])
        minutes = plan.spec.gate.max_minutes
        expired = minutes is not None and seconds >= 60 * minutes
        return step._replace(stop=step.stop or expired)

    return look
