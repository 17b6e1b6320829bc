"""Measures one cell: engine, evidence, probe, blocks, looks, record.

What goes wrong here ends in a run record all the same: an engine that dies makes the cell `not_measured`,
never a low score.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol, TypeVar

from gate.attest import checks_of
from gate.decide import NextStep
from gate.errors import EngineError, EngineLost, HostLost, RecordError, StorageError
from gate.evals.asking import Client
from gate.evals.groups import grouped
from gate.evals.journal import Journal
from gate.model.evidence import Evidence
from gate.model.probe import Probe
from gate.model.record import Failure, Restart, RunRecord
from gate.model.sample import Sample
from gate.plan import Plan
from gate.records import Answers
from gate.report.progress import Progress
from gate.sequence import Block
from gate.served import SERVED_MODEL
from gate.serving.engine_log import merged

LOOKAHEAD: Final = 1
DEATH_NOTICE_SECONDS: Final = 3.0
RESTARTS: Final = 1
LOST_HOSTS: Final = 5


class Engine(Protocol):
    """A served model: what it says of itself, and whether it still lives."""

    async def evidence(self) -> Evidence:
        """What it has reported so far."""

    async def died(self) -> EngineError:
        """Return when it is dead, with the reason; wait as long as it lives."""


AnyEngine = TypeVar("AnyEngine", bound=Engine)
Look = Callable[[Sequence[str], float], NextStep]
"""Outcomes so far, one string a repeat as in a run record, and seconds since the start -> what to do next."""


@dataclass
class Asked:
    """What came of the cell so far.

    `answers` are those of complete blocks, `generated` counts all; `evidence` is what every engine of this
    cell said, the one before a restart included.
    """

    answers: Answers
    generated: int = 0
    evidence: Evidence = field(default_factory=Evidence)
    restarts: list[Restart] = field(default_factory=list)
    served: bool = False
    hosts_lost: int = 0
    probe: Probe | None = None

    def lose(self, error: EngineLost, restarts: int) -> None:
        """Count what was lost; raises it where it has been started again often enough.

        A machine that goes away is no fault of the engine, and takes it away while it starts, too.
        """
        if isinstance(error, HostLost):
            self.hosts_lost += 1
            if self.hosts_lost > LOST_HOSTS:
                raise error
        elif not self.served or len(self.restarts) - self.hosts_lost >= restarts:
            raise error


async def measure(
    plan: Plan,
    *,
    start: Callable[[int], AbstractAsyncContextManager[AnyEngine]],
    make_client: Callable[[AnyEngine], AbstractAsyncContextManager[Client]],
    journal: Journal,
    look: Look,
    progress: Progress,
    clock: Callable[[], float],
    restarts: int = RESTARTS,
) -> RunRecord:
    """Serve the cell's model, ask block after block until a look says stop, and return the run record.

    Never raises for what the engine does: a dead, hanging or wrong engine is a record with a `failure`. One
    that was healthy and then died or hung is started again, `restarts` times at most, and goes on from the
    journal: seeds belong to the sample, so the samples are those of an undisturbed run.
    Cancellation (Ctrl-C, SIGTERM) ends in a record too, with the failure `cancelled`: the caller, who
    cancelled, knows that it must not go on.

    Args:
        plan: what to measure.
        start: number of the restart -> starts the engine when entered, leaves nothing behind when left.
        make_client: engine -> client.
        journal: the samples of this sequence so far; nothing in it is asked again.
        look: taken after every complete block; says whether and how to go on.
        progress: told what happens.
        clock: seconds, monotonic.
        restarts: how many, after the engine was lost; those that followed a lost machine are not counted.
    """
    asked, began = Asked(Answers(plan.task.questions)), clock()

    def record(failure: Failure | None = None) -> RunRecord:
        return _record(plan, asked, failure=failure, seconds=clock() - began)

    async def ask(client: Client) -> None:
        """The probe, and then the questions, unless it shows that there is no sense in them."""
        if plan.probe is not None:
            progress.probe_started(len(plan.probe.prompts.prompts))
            _, asked.probe = await plan.probe.take(client, SERVED_MODEL, clock)
            if plan.probe.stop(asked.probe):
                return

        def taken() -> NextStep:
            return look(asked.answers.outcomes, clock() - began)

        await _ask_blocks(plan, client, journal, asked, look=taken, progress=progress)

    async def attempt() -> Failure | None:
        """One engine from its start to its end."""
        asked.served = False
        async with start(len(asked.restarts)) as server, make_client(server) as client:
            asked.served = True
            progress.engine_ready(clock() - began)
            if failure := _see(plan, asked, await server.evidence()):
                return failure
            try:
                await _while_alive(ask(client), server)
            finally:
                # A fallback can be reported late: by a kernel that is compiled at its first use.
                failure = _see(plan, asked, await server.evidence())
        return failure or (plan.probe.stop(asked.probe) if plan.probe and asked.probe else None)

    try:
        while True:
            try:
                return record(await attempt())
            except EngineLost as error:
                asked.lose(error, restarts)
                what = _tell(error, progress)
                asked.restarts.append(
                    Restart(samples=len(journal.samples), seconds=round(clock() - began, 3), reason=what)
                )
                progress.engine_lost(what, len(journal.samples))
    except asyncio.CancelledError:
        return record(Failure(kind="cancelled", message="cancelled before a verdict was reached"))
    except EngineError as error:
        return record(Failure(kind="engine", message=_tell(error, progress), hint=error.hint))
    except RecordError as error:
        return record(failure_of(error))


def failure_of(error: RecordError) -> Failure:
    """The failure of a cell whose samples cannot be kept, or do not belong to its sequence."""
    kind: Literal["storage", "resume"] = "storage" if isinstance(error, StorageError) else "resume"
    return Failure(kind=kind, message=error.located, hint=error.hint)


def _tell(error: EngineError, progress: Progress) -> str:
    """What happened, in one line; the later lines quote the engine's log, which stays on this machine."""
    what, *quoted = error.message.splitlines()
    for line in quoted:
        progress.engine_line(line)
    return what


def _see(plan: Plan, asked: Asked, evidence: Evidence) -> Failure | None:
    """Note what the engine says; a failure if it contradicts the config, or what was said before.

    A fact may grow (`A`, then `A|B`: a kernel chosen late); another value means another engine, after a
    restart or behind a URL.
    """
    before, now = asked.evidence.facts, evidence.facts
    changed = [
        f"{fact}: {before[fact]}, then {now[fact]}"
        for fact in before.keys() & now.keys()
        if not (_values(before[fact]) <= _values(now[fact]) or _values(now[fact]) <= _values(before[fact]))
    ]
    asked.evidence = merged(asked.evidence, evidence)
    if changed:
        said, when = "; ".join(sorted(changed)), "after its restart" if asked.restarts else "on the way"
        return Failure(kind="evidence", message=f"{when} the engine ran something else: {said}")
    return _evidence_failure(plan, asked.evidence)


def _values(fact: str) -> frozenset[str]:
    return frozenset(fact.split("|"))


def unmeasured(plan: Plan, failure: Failure | None = None) -> RunRecord:
    """The record of a cell that no engine was started for."""
    return _record(plan, Asked(Answers(plan.task.questions)), failure=failure, seconds=0.0)


async def _ask_blocks(
    plan: Plan,
    client: Client,
    journal: Journal,
    asked: Asked,
    *,
    look: Callable[[], NextStep],
    progress: Progress,
) -> None:
    """Ask block after block; the next one is in flight while a look waits for its whole block."""
    already = dict(journal.samples)
    asked.answers, asked.generated = Answers(plan.task.questions), len(already)

    def answered(sample: Sample) -> None:
        journal.append(sample)
        asked.generated += 1
        progress.sample(sample)

    def start(block: Block) -> asyncio.Task[tuple[Sample, ...]]:
        return asyncio.create_task(
            client.ask_block(plan.task, block, plan.stream, already=already, on_sample=answered)
        )

    waiting, flying = deque(plan.blocks), deque[asyncio.Task[tuple[Sample, ...]]]()
    wanted = 1 + LOOKAHEAD
    try:
        while waiting or flying:
            while waiting and len(flying) < wanted:
                flying.append(start(waiting.popleft()))
            asked.answers.add(await flying[0])
            flying.popleft()
            await asyncio.to_thread(journal.sync)  # a store can be far away
            step = look()
            if step.stop:
                return
            wanted = 1 + LOOKAHEAD if step.lookahead else 1
    finally:
        for task in flying:
            task.cancel()
        await asyncio.gather(*flying, return_exceptions=True)


async def _while_alive(work: Coroutine[None, None, None], engine: Engine) -> None:
    """Run `work` as long as the engine lives; its death explains a failed request better than the request."""
    job, death = asyncio.ensure_future(work), asyncio.ensure_future(engine.died())
    try:
        await asyncio.wait({job, death}, return_when=asyncio.FIRST_COMPLETED)
        if job.done() and job.exception() is not None:
            await asyncio.wait({death}, timeout=DEATH_NOTICE_SECONDS)
        if death.done() and not (job.done() and job.exception() is None):
            raise death.result()
        job.result()
    finally:
        job.cancel()
        death.cancel()
        await asyncio.gather(job, death, return_exceptions=True)


def _evidence_failure(plan: Plan, evidence: Evidence) -> Failure | None:
    failed = [c for c in checks_of(plan.spec, evidence, plan.accept_unproven) if not c.ok]
    if not failed:
        return None
    said = "; ".join(f"{c.fact}: expected {c.expected}, found {c.found or 'nothing'}" for c in failed)
    if any(check.found is not None for check in failed) or "log" in evidence.source:
        message = f"the engine did not run what the config says: {said}"
        return Failure(kind="evidence", message=message)
    options = " ".join(f"--accept-unproven {check.fact}" for check in failed)
    return Failure(
        kind="evidence",
        message=f"nothing proves that the engine runs what the config says: {said}",
        hint=f"name the server's log with --engine-log, or go without proof, visibly: {options}",
    )


def _record(
    plan: Plan,
    asked: Asked,
    *,
    failure: Failure | None,
    seconds: float,
) -> RunRecord:
    gate, reference = plan.spec.gate, plan.reference
    restarted = {"engine_restarts": str(len(asked.restarts))} if asked.restarts else {}
    return RunRecord(
        purpose=plan.purpose,
        cell=plan.spec.cell,
        family_size=plan.family_size,
        alpha=gate.alpha,
        alpha_pass=gate.alpha_pass,
        margin=plan.margin,
        tolerated_loss=plan.tolerated_loss,
        baseline_repeats=reference.repeats if reference else 0,
        max_repeats=plan.max_repeats,
        baseline_sha256=reference.sha256 if reference else None,
        anchor=reference.anchor.runs if reference and reference.anchor else (),
        question_order_seed=plan.stream,
        stream=plan.stream,
        sequence=plan.sequence,
        fingerprint=plan.fingerprint,
        provenance={**plan.provenance, **restarted},
        evidence=asked.evidence,
        questions=plan.task.questions,
        groups=grouped(plan.task.questions, plan.task.groups),
        look_at=tuple(block.samples_after for block in plan.blocks),
        outcomes=asked.answers.outcomes,
        tokens=asked.answers.tokens,
        finish=asked.answers.finish,
        generated=asked.generated,
        seconds=round(seconds, 3),
        gpus=0 if plan.spec.cell.arch == "cpu" else plan.spec.gpus,
        threshold=plan.spec.threshold,
        probe=asked.probe,
        failure=failure,
        restarts=tuple(asked.restarts),
    )
