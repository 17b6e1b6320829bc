"""What a look costs: the block that was just completed, however much was asked before and may still be."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import gate
from gate.cells import cells_of
from gate.decide import NextStep
from gate.evals.journal import Journal
from gate.measure import measure
from gate.model.evidence import Evidence
from gate.model.record import RunRecord
from gate.model.sample import Finish, Outcome, Sample
from gate.plan import Origins, Plan, plan_collection
from gate.report.progress import SilentProgress
from gate.sequence import Block
from tests.support.project import Project

OURS = str(Path(gate.__file__).parent)
GO_ON = NextStep(stop=False, lookahead=False, looks=())
"""One block at a time: nothing is asked while a look is taken."""


class Work:
    """Counts the calls that the gate's own code makes and takes; a clock would count the machine's load."""

    def __init__(self) -> None:
        self.calls = 0
        self.looks: list[int] = []

    def begin(self) -> None:
        self.calls = 0
        sys.setprofile(self._note)

    def end(self) -> None:
        sys.setprofile(None)
        self.looks.append(self.calls)

    def _note(self, frame: FrameType, event: str, _argument: object) -> None:
        self.calls += event in {"call", "c_call"} and frame.f_code.co_filename.startswith(OURS)


class Counting:
    """A client that is right about everything at once; what follows until the look counts."""

    def __init__(self, work: Work) -> None:
        self.work = work

    async def ask_block(
        self, task: Any, block: Block, stream: str, *, already: Mapping[Any, Any], on_sample: Any
    ) -> tuple[Sample, ...]:
        samples = [Sample(q, block.repeat, Outcome.CORRECT, 7, Finish.STOP) for q in block.questions]
        for sample in samples:
            on_sample(sample)
        self.work.begin()
        return tuple(samples)


class Quiet:
    """An engine that lives as long as it is needed."""

    async def evidence(self) -> Evidence:
        return Evidence(facts={"moe": "EMULATION", "scheme": "w_mxfp4_a_fp8"}, source="log")

    async def died(self) -> Any:
        await asyncio.Event().wait()


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A cell of 60 questions."""
    (folder := tmp_path / "project").mkdir()
    project = Project(folder, 60)
    (spec,) = cells_of([project.config], arch="cpu")
    origins = Origins(tmp_path, tmp_path, model=str(project.model), dataset_path=project.dataset)
    return plan_collection(spec, origins, repeats=12, engine="e", provenance={})


async def measured(plan: Plan, journal: Path) -> tuple[RunRecord, list[int]]:
    """The record of the whole budget, and the calls at each of its looks."""
    work = Work()

    def look(outcomes: Sequence[str], seconds: float) -> NextStep:
        work.end()
        return GO_ON

    @contextlib.asynccontextmanager
    async def client(_engine: Quiet) -> AsyncIterator[Any]:
        yield Counting(work)

    try:
        with Journal.open(journal, {}) as opened:
            record = await measure(
                plan,
                start=lambda _restart: contextlib.nullcontext(Quiet()),
                make_client=client,
                journal=opened,
                look=look,
                progress=SilentProgress(),
                clock=lambda: 0.0,
            )
    finally:
        sys.setprofile(None)
    return record, work.looks


async def test_a_look_costs_its_own_block_whatever_came_before_and_may_still_come(plan: Plan, tmp_path: Path):
    """Seen at a million samples: sorting every question anew at each look took seconds of the decision."""
    record, few = await measured(plan, tmp_path / "few.jsonl")
    _, many = await measured(replace(plan, max_repeats=48), tmp_path / "many.jsonl")
    assert (record.outcomes, record.tokens) == (("1" * 60,) * 12, ((7,) * 60,) * 12)
    # The first pass is three blocks, of which two are asked at once.
    assert (len(few), len(many)) == (14, 50)
    assert {*few[3:], *many[3:]} == {few[3]}
    assert few[3] > 60
