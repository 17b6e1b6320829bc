"""The driver under a million samples: `python -m benchmarks.cluster million`."""

from __future__ import annotations

import asyncio
import pickle
import random
import resource
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gate.baseline import store
from gate.baseline.collect import add_run
from gate.cells import cells_of
from gate.decide import NextStep
from gate.evals.asking import Manner
from gate.evals.journal import Journal
from gate.executors.ray_host import News
from gate.executors.ray_place import HostedPlace
from gate.measure import measure
from gate.model.evidence import Evidence
from gate.model.sample import Finish, Outcome, Sample
from gate.plan import Heads, Origins, Plan, plan_collection, plan_gate
from gate.report.progress import SilentProgress
from gate.run import looks_of, to_the_end
from gate.sequence import Block
from gate.serving.launch import LocalProcess
from tests.support.project import Project

QUESTIONS = 14_042  # MMLU's
BATCH = 2_000
FACTS = {"moe": "EMULATION", "scheme": "w_mxfp4_a_fp8"}


class Player:
    """A worker in this process: what it hands in is pickled as Ray would, and answered as fast as taken."""

    name = "a player"

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)  # noqa: S311 - answers, not secrets
        self._waiting: list[tuple[int, Block]] = []
        self._asked = asyncio.Event()
        self.handed = (0.0, 0.0)

    async def call(self, method: str, *arguments: Any, **_: Any) -> Any:
        """What an `EngineHost` would answer."""
        await asyncio.sleep(0)
        if method == "ask":
            self._waiting.append((arguments[0], arguments[1]))
            self._asked.set()
        if method == "evidence":
            return Evidence(facts=FACTS, source="log")
        if method == "stop":
            self._waiting.append((-1, Block(0, 0, (), 0)))
            self._asked.set()
        if method == "news":
            return pickle.loads(pickle.dumps(await self._news()))  # noqa: S301 - our own
        return None

    async def _news(self) -> News:
        while not self._waiting:
            self._asked.clear()
            await self._asked.wait()
        number, block = self._waiting[0]
        if number < 0:
            return News(over=True)
        now, later = block.questions[:BATCH], block.questions[BATCH:]
        draw = self._draw.random
        samples = [
            Sample(q, block.repeat, Outcome.CORRECT if draw() < 0.6 else Outcome.WRONG, 231, Finish.STOP)
            for q in now
        ]
        if later:
            self._waiting[0] = (number, block._replace(questions=later))
            return News(samples={number: samples})
        self._waiting.pop(0)
        self.handed = (time.perf_counter(), time.process_time())
        return News(samples={number: samples}, ended={number: None})

    def end(self) -> None:
        """Nothing to end."""


async def drive(samples: int, workers: int) -> int:
    """Measure one cell a worker, so many samples together; print what it took."""
    repeats = -(-samples // workers // QUESTIONS)
    with tempfile.TemporaryDirectory(prefix="gate-million-") as name:
        folder = Path(name) / "project"
        folder.mkdir()
        plans = [await plan_of(folder, number, repeats) for number in range(workers)]
        before = resource.getrusage(resource.RUSAGE_SELF)
        began = time.perf_counter()
        slowest = await asyncio.gather(
            *(one(plan, folder / f"{number}.jsonl", Player(number)) for number, plan in enumerate(plans))
        )
        took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    total = workers * repeats * QUESTIONS
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{total:,} samples of {workers} cells in {took:.0f} s: {1000 * cpu / total:.3f} CPU s per 1,000")
    print(f"largest resident set {after.ru_maxrss / 1e6:.2f} GB")
    wall, busy = map(max, zip(*slowest, strict=True))
    print(
        f"from the last sample of a cell to its decision: {wall:.2f} s at most, {busy:.2f} s of this process"
    )
    return 0 if after.ru_maxrss < 1e6 and wall < 1 else 1


async def plan_of(folder: Path, number: int, repeats: int) -> Plan:
    """A cell with a baseline of MMLU's size; every number has the same config and another stream."""
    if number == 0:
        project = Project(folder, QUESTIONS)
        project.write_config(gate={"margin": 0.02})
    (spec,) = cells_of([folder / "configs/stub.yaml"], arch="cpu")
    origins = Origins(
        folder / "baselines", folder, model=str(folder / "model"), dataset_path=folder / "questions.csv"
    )
    path = store.baseline_path(origins.baselines, spec.cell)
    made_up = {"commit": "a" * 40, "date": "2026-11-24T00:00:00+00:00", "gate_version": "0.1.0"}
    if not path.exists():
        plan = plan_collection(spec, origins, repeats=max(2, repeats), engine="e", provenance=made_up)
        record = await measured(plan, folder / "collect.jsonl", Player(-1), to_the_end)
        run = add_run(None, record, accepted_by="x", reason="first", date="2026-11-24")
        store.save(path, run, replaces=None)
    plan = plan_gate(
        spec, origins, Heads(), family_size=8, accept_wider_margin=True, engine="e", provenance=made_up
    )
    assert plan.budget is not None
    return replace(plan, max_repeats=repeats, budget=plan.budget._replace(max_repeats=repeats))


async def one(plan: Plan, journal: Path, player: Player) -> tuple[float, float]:
    """Measure a cell to its last block; seconds from its last sample to the decision."""
    real, took = looks_of(plan, SilentProgress()), (0.0, 0.0)

    def look(outcomes: Sequence[str], seconds: float) -> NextStep:
        nonlocal took
        step = real(outcomes, seconds)
        took = (time.perf_counter() - player.handed[0], time.process_time() - player.handed[1])
        return step._replace(stop=False, lookahead=True)

    record = await measured(plan, journal, player, look)
    assert record.failure is None, record.failure
    return took


async def measured(plan: Plan, path: Path, player: Player, look: Any) -> Any:
    async def find() -> Player:
        return player

    place, launcher = HostedPlace(find), LocalProcess(["true"], plan.model, "m")
    with Journal.open(path, {}) as journal:
        return await measure(
            plan,
            start=lambda _: place.serve(
                launcher,
                arch="cpu",
                log_path=path.with_suffix(".log"),
                startup_seconds=1,
                on_line=lambda _line: None,
            ),
            make_client=lambda engine: place.client(engine, Manner(64, 60, 60)),
            journal=journal,
            look=look,
            progress=SilentProgress(),
            clock=time.monotonic,
        )
