"""`gate selftest`: serves healthy and sabotaged engines and lets both detectors look at each.

One engine tries all faults: the plugin looks into a file before every layer for what is broken now. It is
served without prefix caching, so that no fault finds what another one computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import platform
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from gate.cells import CellSpec
from gate.check import judge
from gate.embedded import faults
from gate.engine import Running, engine_of, launcher_for
from gate.errors import MeasurementError, UsageError
from gate.evals.client import EngineClient
from gate.evals.journal import Journal
from gate.measure import measure
from gate.model import Numerics
from gate.numerics.collect import Taken, healthy_of
from gate.numerics.compare import compare
from gate.numerics.plan import first_probe
from gate.numerics.selftest import ScoreTest, Selftest, Trial
from gate.numerics.store import Healthy, ProbeBaseline
from gate.outputs import Outputs
from gate.plan import SERVED_MODEL, Heads, Plan, plan_gate
from gate.report.progress import SilentProgress
from gate.request import RunRequest, provenance_of, select
from gate.run import REQUEST_SECONDS, looks_of
from gate.serving.signals import cancelled_by_signals
from gate.stats.drift import SHIFT_FLOOR

CONCURRENCY: Final = 32
_NO_PREFIX_CACHE: Final = ("--no-enable-prefix-caching",)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Drill:
    """What to try. `score_minutes` 0 leaves out the score's test; `only` names faults, all where empty."""

    score_minutes: float = 2.0
    only: tuple[str, ...] = ()
    healthy: bool = True

    @property
    def faults(self) -> dict[str, str]:
        """The faults to try, with what they do.

        Raises:
            UsageError: a name is no fault.
        """
        unknown = sorted(set(self.only) - set(faults.FAULTS))
        if unknown:
            raise UsageError(f"no fault is named {unknown[0]!r}", hint=f"one of {', '.join(faults.FAULTS)}")
        return {name: what for name, what in faults.FAULTS.items() if not self.only or name in self.only}


class Bench:
    """Engines of one config, and what was measured on them."""

    def __init__(self, request: RunRequest, drill: Drill, say: Say) -> None:
        self.request, self.drill, self.say = request, drill, say
        specs, self.found = select(replace(request, backends=()))
        self.specs = {spec.cell.backend: spec for spec in specs}
        self.outputs = Outputs(request.out)
        self.outputs.prepare()
        self.switch = request.out.absolute() / "sabotage"

    def plan(self, spec: CellSpec) -> Plan:
        """The plan of a cell as `gate run` would make it, without its own probe."""
        plan = plan_gate(
            spec,
            self.request.origins,
            Heads(),
            family_size=1,
            accept_wider_margin=True,
            engine=self.request.engine.identity(self.found),
            provenance=provenance_of(spec, self.request, self.found),
        )
        return replace(plan, probe=None)

    @contextlib.asynccontextmanager
    async def serve(
        self, backend: str, *, without: str = "", more: Sequence[str] = ()
    ) -> AsyncIterator[tuple[Plan, Running]]:
        """An engine whose sabotage can be switched.

        Args:
            backend: of the config.
            without: an option that is left out of its server arguments, with its value.
            more: server arguments that replace or add.
        """
        spec = self.specs[backend]
        args = [*_without(spec.server_args, without, *more[:1]), *more, *_NO_PREFIX_CACHE]
        gate = spec.gate.model_copy(update={"max_minutes": self.drill.score_minutes or None})
        plan = self.plan(replace(spec, gate=gate))
        served = replace(plan, spec=replace(plan.spec, server_args=tuple(args)))
        self.set("")
        launcher = launcher_for(served, self.request.engine, self.request.origins.hf_home)
        launcher = launcher.placed({faults.VARIABLE: str(self.switch)})
        launcher.check()
        began = time.monotonic()
        async with engine_of(
            launcher,
            log_path=self.outputs.log(spec.cell),
            startup_seconds=spec.startup_max_wait_seconds,
            on_line=lambda _line: None,
        ) as engine:
            changed = " ".join([*more, *(["without", without] if without else [])])
            self.say(f"{backend} {changed}: ready after {time.monotonic() - began:.0f} s")
            yield plan, engine

    def set(self, name: str) -> None:
        """Break the running engine in this way, or not at all."""
        self.switch.write_text(name, encoding="utf-8")

    async def probe(self, plan: Plan, engine: Running, name: str, concurrency: int = CONCURRENCY) -> Taken:
        """One probe of the engine as it is."""
        probing = first_probe(plan.spec, plan.fingerprint.model_revision)
        async with EngineClient(
            engine.base_url, headers=engine.headers, concurrency=concurrency, timeout_seconds=REQUEST_SECONDS
        ) as client:
            said, probe = await probing.take(client, SERVED_MODEL, time.monotonic)
        self.say(f"  probed {name} in {probe.seconds:.1f} s")
        return Taken(name, said, probe)

    async def score(self, plan: Plan, engine: Running, name: str) -> ScoreTest | None:
        """The sequential test of the score against the committed baseline."""
        if not self.drill.score_minutes or plan.reference is None:
            return None
        path = self.outputs.root / "journals" / f"{name}.jsonl"
        path.unlink(missing_ok=True)
        with Journal.open(path, plan.sequence_key) as journal:
            record = await measure(
                plan,
                start=lambda _restart: contextlib.nullcontext(engine),
                make_client=lambda served: EngineClient(
                    served.base_url, headers=served.headers, concurrency=64, timeout_seconds=REQUEST_SECONDS
                ),
                journal=journal,
                look=looks_of(plan, SilentProgress()),
                progress=SilentProgress(),
                clock=time.monotonic,
                restarts=0,
            )
        result = judge(plan.spec, record, plan.reference, 1, accept_wider_margin=True)
        self.say(f"  score of {name}: {result.verdict.value} after {result.samples_used} samples")
        return ScoreTest(
            verdict=result.verdict,
            difference=result.difference,
            samples=result.samples_used,
            seconds=round(record.seconds, 1),
        )


def run_selftest(request: RunRequest, drill: Drill, say: Say) -> Selftest:
    """Serve every variant, break the engine in every way, and let both detectors look.

    Args:
        request: engine, model, question set, baselines and one config with the embedded engine's backends.
        drill: what to try.
        say: told what is being done.

    Raises:
        UsageError: the config is not the embedded engine's.
        MeasurementError: an engine could not be started.
    """
    _ = drill.faults
    bench = Bench(request, drill, say)
    archs = {spec.cell.arch for spec in bench.specs.values()}
    if "emulation" not in bench.specs or archs != {"cpu"}:
        raise UsageError(
            "the drill needs the embedded engine's config", hint="configs/tiny-gpt-oss-w4a8.yaml --arch cpu"
        )
    return asyncio.run(_run(bench))


@dataclass
class Found:
    """What a drill has measured so far: an interrupted one tells what it has."""

    base: Taken | None = None
    reruns: list[Taken] = field(default_factory=list)
    variants: list[Taken] = field(default_factory=list)
    broken: dict[str, Taken] = field(default_factory=dict)
    scores: dict[str, ScoreTest | None] = field(default_factory=dict)
    healthy: list[Trial] = field(default_factory=list)

    def rerun(self, taken: Taken) -> None:
        """Another probe of the baseline's own engine."""
        if self.base is not None:
            self.reruns.append(taken)
            self.healthy.append(_healthy_trial(taken, "the baseline", self.base))


async def _run(bench: Bench) -> Selftest:
    drill, found = bench.drill, Found()
    with cancelled_by_signals():
        try:
            async with bench.serve("emulation") as (plan, engine):
                await _one_engine(bench, plan, engine, found)
            if drill.healthy:
                await _other_servers(bench, found)
        except asyncio.CancelledError:
            bench.say("interrupted: what follows is what was measured until now")
    return _assembled(bench, found)


async def _one_engine(bench: Bench, plan: Plan, engine: Running, found: Found) -> None:
    """Everything that the switch can do: first every probe, then the scores, which take longer."""
    drill = bench.drill
    found.base = await bench.probe(plan, engine, "baseline")
    found.rerun(await bench.probe(plan, engine, "concurrency 8", 8))
    for name in faults.HEALTHY if drill.healthy else ():
        bench.set(name)
        await _twice(bench, plan, engine, found, f"{name}: {faults.HEALTHY[name]}")
    for name in drill.faults:
        bench.set(name)
        found.broken[name] = await bench.probe(plan, engine, name)
    bench.set("")
    found.rerun(await bench.probe(plan, engine, "after every fault"))
    found.rerun(await bench.probe(plan, engine, "concurrency 1", 1))
    if not drill.score_minutes:
        return
    for name in (*drill.faults, *(("",) if drill.healthy else ())):
        bench.set(name)
        found.scores[name] = await bench.score(plan, engine, name or "healthy")


async def _other_servers(bench: Bench, found: Found) -> None:
    """Healthy variants that take a server of their own."""
    async with bench.serve("emulation", without="--kv-cache-dtype") as (plan, engine):
        await _twice(bench, plan, engine, found, "KV cache in BF16")
    async with bench.serve("emulation", more=("--max-num-seqs", "8")) as (plan, engine):
        found.rerun(await bench.probe(plan, engine, "another server, batches of at most 8"))


async def _twice(bench: Bench, plan: Plan, engine: Running, found: Found, name: str) -> None:
    """Healthy arithmetic of another kind: part of the floor, and compared with its own baseline."""
    first = await bench.probe(plan, engine, name)
    again = await bench.probe(plan, engine, name, 8)
    found.variants.append(first)
    found.healthy.append(_healthy_trial(again, "its own baseline", first))


def _assembled(bench: Bench, found: Found) -> Selftest:
    if found.base is None:
        raise MeasurementError(
            "the drill was interrupted before the baseline was probed",
            hint="start it again: it needs the baseline's probe first",
        )
    base = found.base
    reruns = [healthy_of(base, one) for one in found.reruns]
    declared = [*reruns, *(healthy_of(base, one) for one in found.variants)]
    trials = [
        Trial(
            name=name,
            what=faults.FAULTS[name],
            kind="fault",
            numerics=_compared(taken, base, declared),
            strict=_compared(taken, base, reruns),
            score=found.scores.get(name),
        )
        for name, taken in found.broken.items()
    ]
    healthy = [
        trial.model_copy(update={"score": found.scores.get("")}) if number == 0 else trial
        for number, trial in enumerate(found.healthy)
    ]
    return Selftest(
        created=datetime.now(UTC).date().isoformat(),
        machine=f"{platform.machine()}, {base.probe.fingerprint.instruction_set}",
        engine=f"vLLM {bench.found.provenance().get('engine_version', 'unknown')}",
        healthy_shift=max((_mean_shift(one) for one in declared), default=0.0) or SHIFT_FLOOR,
        trials=(*trials, *healthy),
    )


def _healthy_trial(taken: Taken, against: str, base: Taken) -> Trial:
    return Trial(name=taken.name, what=against, kind="healthy", numerics=_compared(taken, base, ()))


def _compared(taken: Taken, base: Taken, healthy: Sequence[Healthy]) -> Numerics:
    stored = ProbeBaseline(probe=base.probe, healthy=tuple(healthy), provenance={})
    return compare(taken.probe, stored, alpha=0.001)


def _mean_shift(one: Healthy) -> float:
    values = np.array([one.values[1], one.values[3]], np.float64)
    return float(np.nanmean(values))


def _without(arguments: Sequence[str], *options: str) -> list[str]:
    """Arguments without these options and their values."""
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in options:
            skip = True
        else:
            kept.append(argument)
    return kept
