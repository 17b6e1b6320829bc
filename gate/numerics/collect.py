"""`gate baseline probe`: the probe of an accepted build, its noise floor, and how exactly it repeats itself.

Every engine start probes at several concurrencies. The first probe is stored; every other one is a healthy
comparison with it, and so is each probe of a backend that was declared healthy.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from gate.attest import checks_of
from gate.engine import engine_of, launcher_for
from gate.errors import MeasurementError, UsageError
from gate.evals.client import EngineClient
from gate.model.cell import Cell
from gate.model.probe import Probe
from gate.numerics.ask import Said
from gate.numerics.compare import distances
from gate.numerics.plan import ProbePlan, first_probe
from gate.numerics.store import Healthy, HealthyKind, ProbeBaseline, load, probe_path, save
from gate.outputs import Outputs
from gate.plan import Plan, plan_collection
from gate.report.progress import Progress
from gate.request import RunRequest, provenance_of, select
from gate.served import SERVED_MODEL
from gate.serving.signals import cancelled_by_signals
from gate.stats.drift import Rows

CONCURRENCIES: Final = (32, 1, 8, 16, 4)
STARTS: Final = 2
REQUEST_SECONDS: Final = 600.0


@dataclass(frozen=True)
class ProbeCollection:
    """How a floor is calibrated, and who answers for the probe.

    `healthy`: backends of the same config whose difference is declared to be noise.
    """

    starts: int = STARTS
    concurrencies: tuple[int, ...] = CONCURRENCIES
    healthy: tuple[str, ...] = ()
    accepted_by: str = ""
    reason: str = ""


class Taken(NamedTuple):
    """One probe: under which conditions, in full precision, and as it is stored."""

    name: str
    said: Said
    probe: Probe
    kind: HealthyKind = "rerun"


def collect_probes(request: RunRequest, collection: ProbeCollection, progress: Progress) -> tuple[Path, ...]:
    """Probe every cell and write each `<backend>.probe.json`.

    Returns:
        The files written.

    Raises:
        UsageError: a stored probe would be replaced without a reason; a healthy backend is not in the config.
        MeasurementError: an engine failed, did not run what the config says, or was cancelled.
    """
    specs, found = select(request)
    every = select(replace(request, backends=()))[0] if collection.healthy else specs
    jobs: list[tuple[Plan, tuple[Plan, ...]]] = []
    for spec in specs:
        path = probe_path(request.origins.baselines, spec.cell)
        if load(request.origins.baselines, spec.cell) is not None and not collection.reason.strip():
            raise UsageError(
                "there is a probe already: another one needs a reason",
                where=str(path),
                hint='add --reason "..."',
            )

        def plan_of(cell: Cell) -> Plan:
            wanted = next((other for other in every if other.cell == cell), None)
            if wanted is None:
                raise UsageError(f"no config here has the cell {cell}", hint="check --healthy")
            return plan_collection(
                wanted,
                request.origins,
                repeats=1,
                engine=request.engine.identity(found),
                provenance=provenance_of(wanted, request, found),
            )

        healthy = tuple(
            plan_of(spec.cell.model_copy(update={"backend": name}))
            for name in collection.healthy
            if name != spec.cell.backend
        )
        jobs.append((plan_of(spec.cell), healthy))
    outputs = Outputs(request.out)
    outputs.prepare()
    try:
        return asyncio.run(_collect(jobs, request, collection, outputs, progress))
    finally:
        progress.close()


async def _collect(
    jobs: Sequence[tuple[Plan, tuple[Plan, ...]]],
    request: RunRequest,
    collection: ProbeCollection,
    outputs: Outputs,
    progress: Progress,
) -> tuple[Path, ...]:
    written = []
    with cancelled_by_signals(), told_when_cancelled():
        for plan, healthy in jobs:
            taken: list[Taken] = []
            for start in range(collection.starts):
                name = f"start {start + 1}"
                concurrencies = collection.concurrencies
                taken += await take(plan, request, outputs, progress, concurrencies=concurrencies, name=name)
            for other in healthy:
                name = f"backend {other.spec.cell.backend}"
                concurrencies = collection.concurrencies[:1]
                more = await take(other, request, outputs, progress, concurrencies=concurrencies, name=name)
                taken += [one._replace(kind="variant") for one in more]
            stored = baseline_of(
                taken,
                {
                    **plan.provenance,
                    "accepted_by": collection.accepted_by or "unknown",
                    "reason": collection.reason or "first probe",
                },
            )
            path = probe_path(request.origins.baselines, plan.spec.cell)
            save(path, stored)
            written.append(path)
    return tuple(written)


@contextlib.contextmanager
def told_when_cancelled() -> Iterator[None]:
    """Turn a cancellation into an error that says what is left: nothing."""
    try:
        yield
    except asyncio.CancelledError as cancelled:
        raise MeasurementError(
            "cancelled", hint="start it again: probes are short and none is kept"
        ) from cancelled


async def take(
    plan: Plan,
    request: RunRequest,
    outputs: Outputs,
    progress: Progress,
    *,
    concurrencies: Sequence[int],
    name: str,
    engine_env: dict[str, str] | None = None,
) -> list[Taken]:
    """Start the engine of a cell once and probe it at each concurrency, one after the other.

    Raises:
        MeasurementError: the engine failed, or did not run what the config says.
    """
    spec = plan.spec
    launcher = launcher_for(plan, request.engine, request.origins.hf_home).placed(engine_env or {})
    launcher.check()
    probing = first_probe(spec, plan.fingerprint.model_revision)
    progress.cell_started(spec.cell, 0)
    engine = engine_of(
        launcher,
        log_path=outputs.log(spec.cell),
        startup_seconds=spec.startup_max_wait_seconds,
        on_line=progress.engine_line,
    )
    began, taken = time.monotonic(), []
    async with engine as server:
        progress.engine_ready(time.monotonic() - began)
        evidence = await server.evidence()
        failed = [check for check in checks_of(spec, evidence, plan.accept_unproven) if not check.ok]
        if failed:
            said = "; ".join(f"{c.fact}: expected {c.expected}, found {c.found or 'nothing'}" for c in failed)
            raise MeasurementError(
                f"the engine did not run what the config says: {said}",
                where=str(spec.cell),
                hint="read its log; nothing is stored of another backend than the config's",
            )
        for number in concurrencies:
            progress.probe_started(len(probing.prompts.prompts))
            client = EngineClient(
                server.base_url,
                headers=server.headers,
                concurrency=number,
                timeout_seconds=REQUEST_SECONDS,
            )
            taken.append(await _one(probing, client, f"{name}, concurrency {number}"))
    return taken


async def _one(probing: ProbePlan, client: EngineClient, name: str) -> Taken:
    clock: Callable[[], float] = time.monotonic
    async with client:
        said, probe = await probing.take(client, SERVED_MODEL, clock)
    return Taken(name, said, probe)


def baseline_of(taken: Sequence[Taken], provenance: dict[str, str]) -> ProbeBaseline:
    """The first probe, and every other one as a healthy comparison with it."""
    first, *others = taken
    healthy = tuple(healthy_of(first, other) for other in others)
    return ProbeBaseline(
        probe=first.probe,
        healthy=healthy,
        provenance={**provenance, "determinism": determinism(healthy)},
    )


def determinism(healthy: Sequence[Healthy]) -> str:
    """How exactly the engine repeats itself: it bounds what any probe can see."""
    return "; ".join(f"{h.name}: {h.equal} of {h.positions} positions bitwise equal" for h in healthy)


def healthy_of(first: Taken, other: Taken) -> Healthy:
    """One healthy comparison, with how many positions repeat bit for bit.

    Raises:
        RecordError: the two are not about the same prompts.
    """
    pairs = [*zip(first.said.prefill, other.said.prefill, strict=True)]
    pairs += zip(first.said.decode, other.said.decode, strict=True)
    return Healthy(
        name=other.name,
        kind=other.kind,
        values=values_of(other.probe, first.probe),
        equal=sum(equal_positions(*pair) for pair in pairs),
        positions=sum(len(mine.token) for mine, _ in pairs),
    )


def values_of(probe: Probe, other: Probe) -> tuple[tuple[float | None, ...], ...]:
    """`Distances.values` of two probes as they are stored: four digits, None for what is no number."""
    values = distances(probe, other).values
    return tuple(tuple(None if math.isnan(v) else _short(float(v)) for v in row) for row in values)


def equal_positions(mine: Rows, theirs: Rows) -> int:
    """At how many positions everything that HTTP shows is the same, bit for bit."""
    same = (mine.token == theirs.token) & (mine.logprob == theirs.logprob)
    same &= (mine.top_ids == theirs.top_ids).all(axis=1)
    same &= (mine.top_logprobs == theirs.top_logprobs).all(axis=1)
    return int(np.count_nonzero(same))


def _short(value: float) -> float:
    return float(f"{value:.4g}")
