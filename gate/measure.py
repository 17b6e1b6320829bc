"""Measures one cell: engine, evidence, blocks, looks, record.

What goes wrong here ends in a run record all the same: an engine that dies makes the cell `not_measured`,
never a low score.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol

from gate.attest import checks_of
from gate.cells import CellSpec
from gate.decide import NextStep
from gate.errors import EngineError, RecordError
from gate.evals.client import EngineClient, ask_block
from gate.evals.journal import Journal
from gate.model import Evidence, Failure, RunRecord, Sample
from gate.plan import Plan
from gate.records import matrices
from gate.report.progress import Progress
from gate.sequence import Block

LOOKAHEAD: Final = 1
DEATH_NOTICE_SECONDS: Final = 3.0


class Engine(Protocol):
    """A served model: where it listens, what it says of itself, and whether it still lives."""

    @property
    def base_url(self) -> str:
        """Where its HTTP API is."""

    def evidence(self) -> Evidence:
        """What it has reported so far."""

    async def died(self) -> EngineError:
        """Return when it is dead, with the reason; wait as long as it lives."""


@dataclass
class Asked:
    """What came of the questions so far: the samples of complete blocks, and how many were generated."""

    samples: list[Sample] = field(default_factory=list)
    generated: int = 0


async def measure(
    plan: Plan,
    *,
    engine: AbstractAsyncContextManager[Engine],
    make_client: Callable[[str], AbstractAsyncContextManager[EngineClient]],
    journal: Journal,
    look: Callable[[RunRecord], NextStep],
    progress: Progress,
    clock: Callable[[], float],
) -> RunRecord:
    """Serve the cell's model, ask block after block until a look says stop, and return the run record.

    Never raises for what the engine does: a dead, hanging or wrong engine is a record with a `failure`.
    Cancellation (Ctrl-C, SIGTERM) ends in a record too, with the failure `cancelled`: the caller, who
    cancelled, knows that it must not go on.

    Args:
        plan: what to measure.
        engine: starts the engine when entered, and leaves nothing behind when left.
        make_client: base URL -> client.
        journal: the samples of this sequence so far; nothing in it is asked again.
        look: taken after every complete block, at the record so far; says whether and how to go on.
        progress: told what happens.
        clock: seconds, monotonic.
    """
    asked, began = Asked(), clock()
    evidence, failure = Evidence(), None

    def record() -> RunRecord:
        return _record(plan, asked, evidence=evidence, failure=failure, seconds=clock() - began)

    try:
        async with engine as server, make_client(server.base_url) as client:
            progress.engine_ready(clock() - began)
            evidence = server.evidence()
            failure = _evidence_failure(plan.spec, evidence)
            if failure is None:
                await _while_alive(
                    _ask_blocks(plan, client, journal, asked, look=lambda: look(record()), progress=progress),
                    server,
                )
                # A fallback can be reported late: by a kernel that is compiled at its first use.
                evidence = server.evidence()
                failure = _evidence_failure(plan.spec, evidence)
    except asyncio.CancelledError:
        failure = Failure(kind="cancelled", message="cancelled before a verdict was reached")
    except EngineError as error:
        # Its later lines quote the engine's log, which belongs to this machine's own log only.
        what, *quoted = error.message.splitlines()
        failure = Failure(kind="engine", message=what)
        for line in quoted:
            progress.engine_line(line)
    except RecordError as error:
        failure = Failure(kind="resume", message=str(error))
    return record()


def unmeasured(plan: Plan, failure: Failure | None = None) -> RunRecord:
    """The record of a cell that no engine was started for."""
    return _record(plan, Asked(), evidence=Evidence(), failure=failure, seconds=0.0)


async def _ask_blocks(
    plan: Plan,
    client: EngineClient,
    journal: Journal,
    asked: Asked,
    *,
    look: Callable[[], NextStep],
    progress: Progress,
) -> None:
    """Ask block after block; the next one is in flight while a look waits for its whole block."""
    already = dict(journal.samples)
    asked.generated = len(already)

    def answered(sample: Sample) -> None:
        journal.append(sample)
        asked.generated += 1
        progress.sample(sample)

    def start(block: Block) -> asyncio.Task[tuple[Sample, ...]]:
        return asyncio.create_task(
            ask_block(client, plan.task, block, plan.stream, already=already, on_sample=answered)
        )

    waiting, flying = deque(plan.blocks), deque[asyncio.Task[tuple[Sample, ...]]]()
    wanted = 1 + LOOKAHEAD
    try:
        while waiting or flying:
            while waiting and len(flying) < wanted:
                flying.append(start(waiting.popleft()))
            asked.samples.extend(await flying[0])
            flying.popleft()
            journal.sync()
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


def _evidence_failure(spec: CellSpec, evidence: Evidence) -> Failure | None:
    failed = [c for c in checks_of(spec, evidence) if not c.ok]
    if not failed:
        return None
    said = "; ".join(f"{c.fact}: expected {c.expected}, found {c.found or 'nothing'}" for c in failed)
    return Failure(kind="evidence", message=f"the engine did not run what the config says: {said}")


def _record(
    plan: Plan,
    asked: Asked,
    *,
    evidence: Evidence,
    failure: Failure | None,
    seconds: float,
) -> RunRecord:
    gate, reference = plan.spec.gate, plan.reference
    outcomes, tokens, finish = matrices(plan.task.questions, asked.samples)
    return RunRecord(
        purpose=plan.purpose,
        cell=plan.spec.cell,
        family_size=plan.family_size,
        alpha=gate.alpha,
        alpha_pass=gate.alpha_pass,
        margin=plan.margin,
        tolerated_loss=gate.tolerated_loss,
        baseline_repeats=reference.repeats if reference else 0,
        max_repeats=plan.max_repeats,
        baseline_sha256=reference.sha256 if reference else None,
        question_order_seed=plan.stream,
        stream=plan.stream,
        fingerprint=plan.fingerprint,
        provenance=dict(plan.provenance),
        evidence=evidence,
        questions=plan.task.questions,
        look_at=tuple(block.samples_after for block in plan.blocks),
        outcomes=outcomes,
        tokens=tokens,
        finish=finish,
        generated=asked.generated,
        seconds=round(seconds, 3),
        gpus=0 if plan.spec.cell.arch == "cpu" else plan.spec.gpus,
        threshold=plan.spec.threshold,
        failure=failure,
    )
