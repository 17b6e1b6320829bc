"""`gate selftest`: serves healthy and sabotaged engines and lets both detectors look at each.

One engine tries all faults; healthy variants that take other server arguments have one of their own. Each
result is noted at once, so that an interrupted drill goes on where it was.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from gate.embedded import faults
from gate.engine import Running
from gate.errors import MeasurementError, UsageError
from gate.model.probe import Numerics, Probe
from gate.numerics.bench import Bench, Say
from gate.numerics.collect import values_of
from gate.numerics.compare import compare
from gate.numerics.cpu import machine_name
from gate.numerics.exercises import Done, Drill, Exercise, Notebook
from gate.numerics.plan import first_probe
from gate.numerics.selftest import Selftest, Trial
from gate.numerics.store import Healthy, ProbeBaseline
from gate.plan import Plan
from gate.request import RunRequest
from gate.serving.signals import cancelled_by_signals
from gate.stats.drift import SHIFT_FLOOR


def run_selftest(request: RunRequest, drill: Drill, say: Say) -> Selftest:
    """Serve every variant, break the engine in every way, and let both detectors look.

    Args:
        request: engine, model, question set, baselines and one config with the embedded engine's backends.
        drill: what to try.
        say: told what is being done.

    Raises:
        UsageError: the config is not the embedded engine's; the folder holds another drill.
        MeasurementError: an engine could not be started.
    """
    exercises = drill.exercises
    bench = Bench(request, drill.score_minutes, say)
    archs = {spec.cell.arch for spec in bench.specs.values()}
    if "emulation" not in bench.specs or archs != {"cpu"}:
        raise UsageError(
            "the drill needs the embedded engine's config", hint="configs/tiny-gpt-oss-w4a8.yaml --arch cpu"
        )
    engine = bench.found.engine_name()
    spec = bench.specs["emulation"]
    fingerprint = first_probe(spec, bench.plan(spec).fingerprint.model_revision).fingerprint
    notebook = Notebook(bench.outputs.root / "drill.jsonl", fingerprint, engine)
    asyncio.run(_run(bench, exercises, notebook))
    return assembled(exercises, notebook.done, engine)


async def _run(bench: Bench, exercises: Sequence[Exercise], notebook: Notebook) -> None:
    with cancelled_by_signals():
        try:
            for server, its in itertools.groupby(notebook.pending(exercises), lambda one: one.server):
                async with bench.serve(server.backend, without=server.without, more=server.more) as served:
                    for exercise in its:
                        await _do(bench, *served, exercise, notebook)
        except asyncio.CancelledError:
            bench.say("interrupted: the same command goes on from here")


async def _do(bench: Bench, plan: Plan, engine: Running, exercise: Exercise, notebook: Notebook) -> None:
    bench.set(exercise.sabotage)
    if exercise.part == "score":
        notebook.add(exercise, score=await bench.score(plan, engine, exercise.name))
    else:
        notebook.add(exercise, await bench.probe(plan, engine, exercise.name, exercise.concurrency))


def assembled(exercises: Sequence[Exercise], done: Mapping[str, Done], engine: str) -> Selftest:
    """What a drill found so far.

    Raises:
        MeasurementError: not even the baseline was probed.
    """
    probes = {one: found.probe for one in exercises if (found := done.get(one.key)) and found.probe}
    base = next((probe for one, probe in probes.items() if one.part == "base"), None)
    if base is None:
        raise MeasurementError(
            "the drill was interrupted before the baseline was probed",
            hint="start it again: it needs the baseline's probe first",
        )
    trials, declared = _trials(probes, base), _declared(probes, base)
    scores = {one.name: done[one.key].score for one in exercises if one.part == "score" and one.key in done}
    first = next((trial.name for trial in trials if trial.kind == "healthy"), "")
    scored = {first if name == "healthy" else name: score for name, score in scores.items()}
    timed = [probe.seconds for one, probe in probes.items() if one.concurrency == exercises[0].concurrency]
    return Selftest(
        created=datetime.now(UTC).date().isoformat(),
        machine=machine_name(base.fingerprint.instruction_set),
        engine=engine,
        healthy_shift=max((_mean_shift(one) for one in declared), default=0.0) or SHIFT_FLOOR,
        trials=tuple(trial.model_copy(update={"score": scored.get(trial.name)}) for trial in trials),
        pending=tuple(one.key for one in exercises if one.key not in done),
        probe_seconds=(float(np.median(timed)), max(timed)),
        load=max(found.load for found in done.values()),
    )


def _declared(probes: Mapping[Exercise, Probe], base: Probe) -> tuple[Healthy, ...]:
    """What the floor is made of."""
    return tuple(
        Healthy(name=one.name, kind=one.part, values=values_of(probe, base))
        for one, probe in probes.items()
        if one.part in ("rerun", "variant")
    )


def _trials(probes: Mapping[Exercise, Probe], base: Probe) -> list[Trial]:
    declared = _declared(probes, base)
    reruns = [one for one in declared if one.kind == "rerun"]
    variants = {one.name: probe for one, probe in probes.items() if one.part == "variant"}
    faulty = [
        Trial(
            name=one.name,
            what=faults.FAULTS[one.name],
            kind="fault",
            numerics=_compared(probe, base, declared),
            strict=_compared(probe, base, reruns),
        )
        for one, probe in probes.items()
        if one.part == "fault"
    ]
    healthy = [
        Trial(
            name=one.name,
            what="its own baseline" if one.part == "again" else "the baseline",
            kind="healthy",
            numerics=_compared(probe, variants.get(one.name, base), ()),
        )
        for one, probe in probes.items()
        if one.part in ("rerun", "again")
    ]
    return [*faulty, *healthy]


def _compared(probe: Probe, base: Probe, healthy: Sequence[Healthy]) -> Numerics:
    stored = ProbeBaseline(probe=base, healthy=tuple(healthy), provenance={})
    return compare(probe, stored, alpha=0.001)


def _mean_shift(one: Healthy) -> float:
    values = np.array([one.values[1], one.values[3]], np.float64)
    return float(np.nanmean(values))
