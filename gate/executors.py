"""When and where cells are measured: one after the other, or several at once on GPUs of their own.

An executor knows nothing of engines: it is given jobs (what they need) and `measure` (what to do with one
where it is placed). `measure` always returns a result, also when it is cancelled; a job is data, so that an
executor on other hosts can send it there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from gate.errors import UsageError


class Job(Protocol):
    """One cell to be measured."""

    @property
    def name(self) -> str:
        """The cell."""

    @property
    def gpus(self) -> int:
        """How many GPUs its engine takes; 0 on a CPU."""


class Place(NamedTuple):
    """Where a job runs: the GPUs that are its own, or None for whatever the machine shows."""

    devices: tuple[str, ...] | None = None

    def environment(self, arch: str) -> dict[str, str]:
        """The variables that show an engine these GPUs and no other.

        On ROCm both are set: vLLM refuses to start where CUDA_VISIBLE_DEVICES names others than HIP's.
        """
        if not self.devices:
            return {}
        return dict.fromkeys(visibility_variables(arch), ",".join(self.devices))


AnyJob = TypeVar("AnyJob", bound=Job)
Result = TypeVar("Result")
Measure = Callable[[AnyJob, Place], Awaitable[Result]]


class Executor(Protocol):
    """Runs jobs."""

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse, before anything starts, jobs that could never run as asked; raises UsageError."""

    async def run(
        self, jobs: Sequence[AnyJob], measure: Callable[[AnyJob, Place], Awaitable[Result]]
    ) -> list[Result]:
        """Measure every job; the results in the order of the jobs.

        Cancelling this cancels what is running, once, and then goes on: `measure` is called for the rest
        too and returns at once, so that every job has a result. An exception of `measure` is a bug or a
        full disk: the others are cancelled and waited for before it is raised.
        """


class Sequential:
    """One job after the other, on whatever the machine shows."""

    def check(self, jobs: Sequence[Job]) -> None:
        """Nothing can be wrong: the engine finds its GPUs itself."""

    async def run(
        self, jobs: Sequence[AnyJob], measure: Callable[[AnyJob, Place], Awaitable[Result]]
    ) -> list[Result]:
        """See `Executor`."""
        return [await measure(job, Place()) for job in jobs]


class Jobs:
    """Several jobs at once on one host, each on GPUs that no other has; jobs without GPUs share the CPUs.

    Args:
        at_once: the most jobs at a time.
        devices: the host's GPUs as `visibility_variables` name them.
    """

    def __init__(self, at_once: int, devices: Sequence[str] = ()) -> None:
        self._at_once = at_once
        self._devices = tuple(devices)

    def check(self, jobs: Sequence[Job]) -> None:
        """See `Executor`: a job that needs more GPUs than there are, or more at once than GPUs allow."""
        here = len(self._devices)
        for job in jobs:
            if job.gpus > here:
                raise UsageError(
                    f"needs {_gpus(job.gpus)}, and this host has {here or 'none that any tool describes'}",
                    where=job.name,
                    hint="run it on a larger runner, or lower its parallel sizes",
                )
        fitting, left = 0, here
        for need in sorted(job.gpus for job in jobs):
            left -= need
            fitting += left >= 0
        if min(self._at_once, len(jobs)) > fitting:
            raise UsageError(
                f"--jobs {self._at_once}: {_gpus(here)} of this host hold at most "
                f"{fitting} of these {len(jobs)} cells at once",
                hint=f"give --jobs {fitting}; the others wait for their turn",
            )

    async def run(
        self, jobs: Sequence[AnyJob], measure: Callable[[AnyJob, Place], Awaitable[Result]]
    ) -> list[Result]:
        """See `Executor`."""
        results: dict[int, Result] = {}
        waiting = list(range(len(jobs)))
        free = list(self._devices)
        running: dict[asyncio.Future[Result], tuple[int, Place]] = {}
        try:
            while waiting or running:
                for number in tuple(waiting):
                    need = jobs[number].gpus
                    if len(running) < self._at_once and need <= len(free):
                        waiting.remove(number)
                        place, free = Place(tuple(free[:need])), free[need:]
                        running[asyncio.ensure_future(measure(jobs[number], place))] = (number, place)
                for task in await _first_done(running):
                    number, place = running.pop(task)
                    free = sorted([*free, *(place.devices or ())], key=self._devices.index)
                    results[number] = task.result()
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        return [results[number] for number in range(len(jobs))]


def executor_for(at_once: int, *, arch: str, gpu_count: int, environ: Mapping[str, str]) -> Executor:
    """The executor of `--jobs N`.

    Args:
        at_once: N.
        arch: of every job.
        gpu_count: GPUs of this host.
        environ: where a scheduler may have said which of them are ours.
    """
    if at_once == 1:
        return Sequential()
    if arch == "cpu":
        return Jobs(at_once)
    for variable in visibility_variables(arch):
        if given := environ.get(variable, "").strip():
            return Jobs(at_once, [device.strip() for device in given.split(",")])
    return Jobs(at_once, [str(number) for number in range(gpu_count)])


def visibility_variables(arch: str) -> tuple[str, ...]:
    """Which variables say what GPUs an engine sees, the one that counts first."""
    if arch == "cpu":
        return ()
    return (
        ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
        if arch.startswith("gfx")
        else ("CUDA_VISIBLE_DEVICES",)
    )


async def _first_done(running: Mapping[asyncio.Future[Result], object]) -> set[asyncio.Future[Result]]:
    """Those that are done, one at least; a cancellation of this task is passed on to all of them."""
    while True:
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for task in running:
                task.cancel()
        else:
            return done


def _gpus(number: int) -> str:
    return f"{number} GPU{'' if number == 1 else 's'}"
