"""The drill's bench: engines of one config whose sabotage can be switched while they run.

The plugin looks into a file before every layer for what is broken now. Engines are served without prefix
caching, so that no fault finds what another one computed.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Final

from gate.cells import CellSpec
from gate.check import judge
from gate.decide.words import count
from gate.embedded import faults
from gate.engine import Running, engine_of, launcher_for
from gate.evals.client import EngineClient
from gate.evals.journal import Journal
from gate.measure import measure
from gate.model.probe import Probe
from gate.numerics.plan import first_probe
from gate.numerics.selftest import ScoreTest
from gate.outputs import Outputs
from gate.plan import Heads, Plan, plan_gate
from gate.report.progress import SilentProgress
from gate.request import RunRequest, provenance_of, select
from gate.run import REQUEST_SECONDS, looks_of
from gate.served import SERVED_MODEL

_NO_PREFIX_CACHE: Final = ("--no-enable-prefix-caching",)
Say = Callable[[str], None]


class Bench:
    """Engines of one config, and what was measured on them."""

    def __init__(self, request: RunRequest, score_minutes: float, say: Say) -> None:
        self.request, self.score_minutes, self.say = request, score_minutes, say
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
        args = [*without_options(spec.server_args, without, *more[:1]), *more, *_NO_PREFIX_CACHE]
        gate = spec.gate.model_copy(update={"max_minutes": self.score_minutes or None})
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

    async def probe(self, plan: Plan, engine: Running, name: str, concurrency: int) -> Probe:
        """One probe of the engine as it is."""
        probing = first_probe(plan.spec, plan.fingerprint.model_revision)
        async with EngineClient(
            engine.base_url, headers=engine.headers, concurrency=concurrency, timeout_seconds=REQUEST_SECONDS
        ) as client:
            _, probe = await probing.take(client, SERVED_MODEL, time.monotonic)
        self.say(f"  probed {name} in {probe.seconds:.1f} s")
        return probe

    async def score(self, plan: Plan, engine: Running, name: str) -> ScoreTest | None:
        """The sequential test of the score against the committed baseline."""
        if not self.score_minutes or plan.reference is None:
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
        if record.failure is not None and record.failure.kind == "cancelled":
            raise asyncio.CancelledError  # what `measure` made a record of says nothing of the fault
        result = judge(plan.spec, record, plan.reference, 1, accept_wider_margin=True)
        self.say(f"  score of {name}: {result.verdict.value} after {count(result.samples_used, 'sample')}")
        return ScoreTest(
            verdict=result.verdict,
            difference=result.difference,
            samples=result.samples_used,
            seconds=round(record.seconds, 1),
        )


def without_options(arguments: Sequence[str], *options: str) -> list[str]:
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
