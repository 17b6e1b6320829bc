"""Executors: every job has its result, in order, whatever happens; no GPU belongs to two at once."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import ModuleType, SimpleNamespace
from typing import NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.engine import EngineChoice
from gate.errors import UsageError
from gate.executors import Executor, Here, Job, Jobs, Place, Sequential, executor_for
from gate.executors.ray import Cluster, OnRay
from gate.serving.launch import Launcher, LocalProcess
from tests.support.project import environment
from tests.support.waiting import PATIENCE

HIP, CUDA = "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"
EIGHT = [str(number) for number in range(8)]
EXECUTORS = [
    pytest.param(Sequential, id="sequential"),
    pytest.param(lambda: Jobs(2), id="jobs on CPUs"),
    pytest.param(lambda: Jobs(3, EIGHT), id="jobs on GPUs"),
    pytest.param(lambda: OnRay(SmallCluster(), EngineChoice(), "engine"), id="Ray"),
]
Make = Callable[[], Executor]


class Machine:
    """What a job was placed on."""

    def __init__(self, cluster: SmallCluster, gpus: int) -> None:
        self.cluster = cluster
        self.gpus = gpus

    def end(self) -> None:
        """Given back."""
        self.cluster.ended += 1
        self.cluster.room.release()


class SmallCluster:
    """A cluster with room for two jobs, in the place of a real one (tests/integration/test_executors.py)."""

    def __init__(self, room: int = 2) -> None:
        self.room = asyncio.Semaphore(room)
        self.begun = self.ended = 0

    async def host(self, job: Job, vet: object) -> Machine:
        """A machine, when there is one."""
        await self.room.acquire()
        self.begun += 1
        return Machine(self, job.gpus)

    def watched(self) -> contextlib.AbstractAsyncContextManager[None]:
        """The head is always there."""
        return contextlib.nullcontext()


async def test_a_call_that_outlasts_the_watching_has_its_answer() -> None:
    found: Future[int] = Future()
    errors = SimpleNamespace(RayError=RuntimeError)
    cluster = Cluster(cast("ModuleType", SimpleNamespace(nodes=list, exceptions=errors)), "cpu")
    async with cluster.watched():
        asking = asyncio.create_task(cluster.answer(SimpleNamespace(future=lambda: found)))
        await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    found.set_result(7)
    assert await asking == 7


class Cell(NamedTuple):
    """A job."""

    name: str
    gpus: int = 0
    launchers: tuple[Launcher, ...] = ()


CELLS = [Cell(name) for name in "abcd"]


async def yields() -> None:
    """Let everything that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize("make", EXECUTORS)
async def test_every_job_has_its_result_in_the_order_of_the_jobs(make: Make) -> None:
    async def measure(job: Cell, _: Place) -> str:
        for _ in range(len(CELLS) - CELLS.index(job)):  # the last one is done first
            await asyncio.sleep(0)
        return job.name

    assert await make().run(CELLS, measure) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("make", EXECUTORS)
async def test_cancelling_reaches_what_runs_once_and_the_rest_has_a_result_too(make: Make) -> None:
    """As in `gate run`: a job that runs answers with a record, one that did not start returns at once."""
    cancelled: list[str] = []

    async def measure(job: Cell, _: Place) -> str:
        if cancelled:
            return f"{job.name} not started"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(job.name)
            await yields()  # the engine is stopped
        return f"{job.name} cancelled"

    run = asyncio.ensure_future(make().run(CELLS, measure))
    await yields()
    run.cancel()
    results = await run
    assert results[: len(cancelled)] == [f"{name} cancelled" for name in cancelled]
    assert results[len(cancelled) :] == [f"{cell.name} not started" for cell in CELLS[len(cancelled) :]]
    assert cancelled


@pytest.mark.parametrize("make", EXECUTORS)
async def test_a_bug_is_raised_after_the_others_have_ended(make: Make) -> None:
    running: set[str] = set()

    async def measure(job: Cell, _: Place) -> None:
        running.add(job.name)
        try:
            await yields()
            if job.name == "b":
                raise ZeroDivisionError
            await yields()
        finally:
            running.discard(job.name)

    with pytest.raises(ZeroDivisionError):
        await make().run(CELLS, measure)
    assert not running


@pytest.mark.parametrize("make", EXECUTORS[1:])
async def test_a_bug_cancels_what_runs_and_begins_nothing_more(make: Make) -> None:
    begun: list[str] = []
    cancelled: list[str] = []

    async def measure(job: Cell, _: Place) -> None:
        begun.append(job.name)
        if job.name == "b":
            raise ZeroDivisionError
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(job.name)
            raise

    async with asyncio.timeout(PATIENCE):
        with pytest.raises(ZeroDivisionError):
            await make().run(CELLS, measure)
    assert cancelled == [name for name in begun if name != "b"]
    assert "d" not in begun


async def test_no_process_is_left_after_a_bug() -> None:
    cluster = SmallCluster()

    async def measure(job: Cell, place: Place) -> None:
        await place.take()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await on(cluster).run(CELLS, measure)
    assert cluster.begun == cluster.ended


@given(
    needs=st.lists(st.integers(1, 4), min_size=1, max_size=9),
    at_once=st.integers(1, 9),
    pauses=st.lists(st.integers(0, 5), min_size=9, max_size=9),
)
async def test_no_gpu_belongs_to_two_jobs_and_no_more_run_than_asked(
    needs: list[int], at_once: int, pauses: list[int]
) -> None:
    taken: set[str] = set()
    running = most = 0

    async def measure(job: Cell, place: Place) -> int:
        nonlocal running, most
        mine = set(place.devices or ())
        assert len(mine) == job.gpus
        assert not mine & taken
        taken.update(mine)
        running, most = running + 1, max(most, running + 1)
        for _ in range(pauses[int(job.name)]):
            await asyncio.sleep(0)
        running -= 1
        taken.difference_update(mine)
        return job.gpus

    cells = [Cell(str(number), need) for number, need in enumerate(needs)]
    assert await Jobs(at_once, EIGHT[:4]).run(cells, measure) == needs
    assert most <= at_once


def on(cluster: SmallCluster) -> OnRay:
    """The executor of this cluster."""
    return OnRay(cluster, EngineChoice(), "engine")  # type: ignore[arg-type]


async def test_a_cell_that_is_done_leaves_its_process_to_the_one_that_waited_longest() -> None:
    cluster, order = SmallCluster(), list[str]()

    async def measure(job: Cell, place: Place) -> Machine:
        order.append(job.name)
        return await place.take()

    machines = await on(cluster).run(CELLS, measure)
    assert (len(set(machines)), cluster.begun, cluster.ended) == (2, 2, 2)
    assert order == ["a", "b", "c", "d"]


async def test_a_process_is_left_only_to_a_cell_with_as_many_gpus() -> None:
    cluster, cells = SmallCluster(room=1), [Cell("a", 1), Cell("b", 2), Cell("c", 1)]

    async def measure(job: Cell, place: Place) -> int:
        return (await place.take()).gpus

    assert await on(cluster).run(cells, measure) == [1, 2, 1]
    assert (cluster.begun, cluster.ended) == (2, 2)


async def test_a_process_of_a_cell_that_was_lost_is_left_to_nobody() -> None:
    cluster = SmallCluster(room=1)

    async def measure(job: Cell, place: Place) -> Machine:
        machine = await place.take()
        place.leave()
        return machine

    assert len(set(await on(cluster).run(CELLS, measure))) == 4
    assert (cluster.begun, cluster.ended) == (4, 4)


async def test_two_processes_for_one_cell_at_the_same_moment_and_one_of_them_ends() -> None:
    cluster = SmallCluster(room=1)

    async def measure(job: Cell, place: Place) -> Machine:
        machine = await place.take()
        if job.name == "a":
            cluster.room.release()  # a node joins while the cell ends
            await asyncio.sleep(0)
        return machine

    first, second = await on(cluster).run(CELLS[:2], measure)
    assert (cluster.begun, cluster.ended) == (2, 2)
    assert first is second


async def test_no_process_is_left_when_a_run_is_cancelled() -> None:
    cluster = SmallCluster()

    async def measure(job: Cell, place: Place) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    run = asyncio.ensure_future(on(cluster).run(CELLS, measure))
    await yields()
    run.cancel()
    await yields()
    run.cancel()
    await run
    assert cluster.begun == cluster.ended


async def test_jobs_really_run_at_once() -> None:
    together = asyncio.Barrier(3)

    async def measure(_: Cell, __: Place) -> None:
        await together.wait()

    async with asyncio.timeout(30):
        await Jobs(3).run(CELLS[:3], measure)


def refusal(executor: Executor, *needs: int) -> str:
    with pytest.raises(UsageError) as caught:
        executor.check([Cell(f"gfx950/c{number}/aiter", need) for number, need in enumerate(needs)])
    return str(caught.value)


def test_more_jobs_than_the_gpus_hold_are_refused_with_the_number_that_fits() -> None:
    said = refusal(Jobs(8, EIGHT), *[2] * 8)
    assert "--jobs 8: 8 GPUs of this host hold at most 4 of these 8 cells at once" in said
    assert "--jobs 4" in said
    Jobs(4, EIGHT).check([Cell("c", 2)] * 8)
    Jobs(8, EIGHT).check([Cell("c", 2)] * 3)


def test_a_cell_that_no_number_of_jobs_makes_fit_is_named() -> None:
    said = refusal(Jobs(2, EIGHT[:4]), 1, 8)
    assert "gfx950/c1/aiter: needs 8 GPUs, and this host has 4" in said


@pytest.mark.parametrize("make", EXECUTORS[:3])
def test_an_engine_that_cannot_be_started_is_refused_before_anything_is(make: Make) -> None:
    nothing = LocalProcess(["/no/such/engine"], "some/model", "m")
    with pytest.raises(UsageError, match="engine command '/no/such/engine' not found"):
        make().check([Cell("cell", launchers=(nothing,))])


def test_gpus_that_nobody_describes_are_not_shared_out() -> None:
    assert "none that any tool describes" in refusal(Jobs(2), 1)


@pytest.mark.parametrize(
    ("arch", "environ", "shown"),
    [
        ("gfx950", {}, {HIP: "0,1", CUDA: "0,1"}),
        ("gfx950", {HIP: "4, 5,6"}, {HIP: "4,5", CUDA: "4,5"}),
        ("gfx950", {HIP: "4,5", CUDA: "6,7"}, {HIP: "4,5", CUDA: "4,5"}),
        ("gfx950", {CUDA: "6,7"}, {HIP: "6,7", CUDA: "6,7"}),
        ("sm90", {HIP: "4,5"}, {CUDA: "0,1"}),
        ("sm90", {CUDA: "GPU-a,GPU-b"}, {CUDA: "GPU-a,GPU-b"}),
        ("cpu", {CUDA: "0"}, {}),
    ],
)
async def test_an_engine_is_shown_its_gpus_and_only_those_a_scheduler_left(
    arch: str, environ: dict[str, str], shown: dict[str, str]
) -> None:
    async def measure(_: Cell, place: Place) -> dict[str, str]:
        return place.environment(arch)

    jobs: Sequence[Cell] = [Cell("c", 0 if arch == "cpu" else 2)]
    assert await executor_for(2, arch=arch, gpu_count=8, environ=environ).run(jobs, measure) == [shown]


def test_one_job_at_a_time_sees_what_the_machine_shows() -> None:
    assert isinstance(executor_for(1, arch="gfx950", gpu_count=8, environ={}), Sequential)
    assert Here().environment("gfx950") == {}


def test_a_node_needs_no_statistics_to_start_an_engine() -> None:
    """Importing them takes a second, in a process of its own for every cell."""
    loads = "import sys, gate.executors.ray_host; print(*sys.modules)"
    listed = subprocess.run(
        [sys.executable, "-c", loads], env=environment(), capture_output=True, text=True, check=True
    )
    loaded = set(listed.stdout.split())
    assert "gate.serving.server" in loaded
    assert not loaded & {"numpy", "scipy", "gate.plan", "gate.measure", "gate.decide", "gate.config"}
