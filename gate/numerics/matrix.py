"""`gate compare`: how far the backends of one config are apart in their numbers, pair by pair."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np

from gate.errors import UsageError
from gate.model.fields import Frozen
from gate.numerics.collect import Taken, equal_positions, take, told_when_cancelled
from gate.numerics.compare import KINDS, distances, largest, tests_of
from gate.numerics.cpu import machine_name
from gate.numerics.store import Healthy, load
from gate.outputs import Outputs
from gate.plan import plan_collection
from gate.report.progress import Progress
from gate.request import RunRequest, provenance_of, select
from gate.serving.signals import cancelled_by_signals
from gate.stats.drift import KL_FLOOR, SHIFT_FLOOR, level

CONCURRENCY = 32


class Pair(Frozen):
    """Two backends: for each path the divergence in nats a token and the shift, and what both agree on.

    `times` is the largest drift in units of the first backend's stored noise floor (`stored`), of the least
    one where none is; `equal` of all positions are the same bit for bit.
    """

    first: str
    second: str
    divergence: Mapping[str, float]
    shift: Mapping[str, float]
    times: float
    stored: bool
    flips: int
    positions: int
    agreement: float
    equal: int


class Comparison(Frozen):
    """All pairs of one config's backends on one arch, and when and where they were served."""

    created: str
    machine: str
    engine: str
    config: str
    arch: str
    prompts: str
    pairs: tuple[Pair, ...]


def compare_backends(request: RunRequest, progress: Progress) -> Comparison:
    """Serve each backend, probe it once, and compare every pair.

    Raises:
        UsageError: fewer than two backends, or more than one config.
        MeasurementError: an engine failed, or did not run what the config says.
    """
    if len(set(request.backends)) < 2:  # noqa: PLR2004 - a pair
        raise UsageError("two backends are needed", hint="gate compare BACKEND_A BACKEND_B --config FILE")
    specs, found = select(request)
    outputs = Outputs(request.out)
    outputs.prepare()
    plans = [
        plan_collection(
            spec,
            request.origins,
            repeats=1,
            engine=request.engine.identity(found),
            provenance=provenance_of(spec, request, found),
        )
        for spec in specs
    ]

    async def probe_all() -> list[Taken]:
        taken: list[Taken] = []
        with cancelled_by_signals(), told_when_cancelled():
            for plan in plans:
                name = plan.spec.cell.backend
                probed = await take(plan, request, outputs, progress, concurrencies=(CONCURRENCY,), name=name)
                taken += [one._replace(name=name) for one in probed]
        return taken

    try:
        taken = asyncio.run(probe_all())
    finally:
        progress.close()
    healthy = {
        spec.cell.backend: stored.healthy if (stored := load(request.origins.baselines, spec.cell)) else ()
        for spec in specs
    }
    return comparison(taken, healthy, datetime.now(UTC), found.engine_name())


def comparison(
    taken: Sequence[Taken], healthy: Mapping[str, Sequence[Healthy]], now: datetime, engine: str
) -> Comparison:
    """Every pair of probes of one config.

    Args:
        taken: one probe a backend, its name the backend's.
        healthy: what is stored for each backend's noise floor.
        now: the clock, with a time zone.
        engine: what served them, with its version.
    """
    marks = taken[0].probe.fingerprint
    return Comparison(
        created=now.astimezone(UTC).date().isoformat(),
        machine=machine_name(marks.instruction_set),
        engine=engine,
        config=marks.cell.config,
        arch=marks.cell.arch,
        prompts=marks.prompts,
        pairs=tuple(
            _pair(first, second, healthy.get(first.name, ()))
            for first, second in itertools.combinations(taken, 2)
        ),
    )


def table(found: Comparison) -> list[list[str]]:
    """Rows for a terminal, the first one the heading."""
    nats = [f"{measure} {path}" for measure in ("KL", "shift") for path in ("prefill", "decode")]
    return [["backends", *nats, "floors", "flips", "agree"], *(_row(pair) for pair in found.pairs)]


def markdown(found: Comparison) -> str:
    """The same as a page: a matrix of the pairs' drift, then the figures."""
    names = list(dict.fromkeys(name for pair in found.pairs for name in (pair.first, pair.second)))
    times = {frozenset((pair.first, pair.second)): pair.times for pair in found.pairs}
    rows = [
        f"| {one} | {' | '.join(_cell(times.get(frozenset((one, other)))) for other in names)} |"
        for one in names
    ]
    figures = table(found)
    return "\n".join(
        [
            f"# Numerics of {found.config} on {found.arch}, backend by backend",
            "",
            f"`gate compare {' '.join(names)}` on {found.created}, {found.machine}, {found.engine}, "
            f"prompts {found.prompts}. It writes this page.",
            "",
            "Drift in units of the noise floor of the pair's first backend:",
            "",
            f"| | {' | '.join(names)} |",
            f"| --- |{' --- |' * len(names)}",
            *rows,
            "",
            f"| {' | '.join(figures[0])} |",
            f"|{' --- |' * len(figures[0])}",
            *(f"| {' | '.join(row)} |" for row in figures[1:]),
            "",
            "- KL, shift: divergence and |difference of a log-probability| of a middle prompt, nats a token.",
            "- Floors: the largest drift in units of the noise floor, as above.",
            "- Flips: another token is the likeliest. Agree: share of the listed tokens that both list.",
            *_without_a_floor(found),
            "",
        ]
    )


def _without_a_floor(found: Comparison) -> list[str]:
    """What is to be said of backends whose noise nobody measured."""
    names = dict.fromkeys(pair.first for pair in found.pairs if not pair.stored)
    least = f"{KL_FLOOR:g} nat (KL) and {SHIFT_FLOOR:.3f} nat (shift)"
    return [f"- No noise floor is stored for {', '.join(names)}: {least} count as one."] if names else []


def _pair(first: Taken, second: Taken, healthy: Sequence[Healthy]) -> Pair:
    found = distances(second.probe, first.probe)
    levels = [level(values) for values in found.values]
    named = [(kind.measure, kind.path, value) for kind, value in zip(KINDS, levels, strict=True)]
    mine, theirs = ((*one.said.prefill, *one.said.decode) for one in (first, second))
    return Pair(
        first=first.name,
        second=second.name,
        divergence={path: value for measure, path, value in named if measure == "kl"},
        shift={path: value for measure, path, value in named if measure == "shift"},
        times=largest(tests_of(found, healthy)),
        stored=bool(healthy),
        flips=found.flips,
        positions=found.positions,
        agreement=float(np.nan_to_num(found.agreement)),
        equal=sum(equal_positions(*pair) for pair in zip(mine, theirs, strict=True)),
    )


def _row(pair: Pair) -> list[str]:
    nats = [
        f"{values[path]:.2g}" for values in (pair.divergence, pair.shift) for path in ("prefill", "decode")
    ]
    flips = f"{pair.flips} of {pair.positions:,}"
    return [f"{pair.first} / {pair.second}", *nats, _cell(pair.times), flips, f"{pair.agreement:.1%}"]


def _cell(times: float | None) -> str:
    if times is None:
        return ""
    return f"{times:,.0f}x" if times >= 10 else f"{times:.2g}x"  # noqa: PLR2004 - two digits
