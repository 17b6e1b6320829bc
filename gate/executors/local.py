"""Cells on this host: one after the other, or several at once on GPUs of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import NamedTuple

from gate.engine import Running, engine_of
from gate.errors import UsageError
from gate.evals.asking import Manner
from gate.evals.client import EngineClient
from gate.executors.protocol import AnyJob, Executor, Job, Place, Result
from gate.serving.launch import Launcher
from gate.serving.remote import RemoteServer


class Here(NamedTuple):
    """This host: the GPUs that are the job's own, or None for whatever the machine shows."""

    devices: tuple[str, ...] | None = None

    def environment(self, arch: str) -> dict[str, str]:
        """The variables that show an engine these GPUs and no other.

        On ROCm both are set: vLLM refuses to start where CUDA_VISIBLE_DEVICES names others than HIP's.
        """
        if not self.devices:
            return {}
        return dict.fromkeys(visibility_variables(arch), ",".join(self.devices))

    def serve(
        self,
        launcher: Launcher | RemoteServer,
        *,
        arch: str,
        log_path: Path,
        startup_seconds: float,
        on_line: Callable[[str], None],
    ) -> AbstractAsyncContextManager[Running]:
        """See `Place`."""
        return engine_of(
            launcher.placed(self.environment(arch)),
            log_path=log_path,
            startup_seconds=startup_seconds,
            on_line=on_line,
        )

    def client(self, engine: Running, manner: Manner) -> EngineClient:
        """See `Place`."""
        return EngineClient(engine.base_url, headers=engine.headers, socket=engine.socket, **manner._asdict())


class Sequential:
    """One job after the other, on whatever the machine shows."""

    def check(self, jobs: Sequence[Job]) -> None:
        """See `Executor`: the engines alone, which find their GPUs themselves."""
        check_launchers(jobs)

    async def run(
        self, jobs: Sequence[AnyJob], measure: Callable[[AnyJob, Place], Awaitable[Result]]
    ) -> list[Result]:
        """See `Executor`."""
        return [await measure(job, Here()) for job in jobs]


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
        check_launchers(jobs)
        here = len(self._devices)
        for job in jobs:
            if job.gpus > here:
                raise UsageError(
                    f"needs {gpus_words(job.gpus)}, and this host has "
                    f"{here or 'none that any tool describes'}",
                    where=job.name,
                    hint="run it on a larger runner, or lower its parallel sizes",
                )
        fitting, left = 0, here
        for need in sorted(job.gpus for job in jobs):
            left -= need
            fitting += left >= 0
        if min(self._at_once, len(jobs)) > fitting:
            raise UsageError(
                f"--jobs {self._at_once}: {gpus_words(here)} of this host hold at most "
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
        running: dict[asyncio.Future[Result], tuple[int, Here]] = {}
        try:
            while waiting or running:
                for number in tuple(waiting):
                    need = jobs[number].gpus
                    if len(running) < self._at_once and need <= len(free):
                        waiting.remove(number)
                        place, free = Here(tuple(free[:need])), free[need:]
                        running[asyncio.ensure_future(measure(jobs[number], place))] = (number, place)
                for task in await first_done(running):
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


def check_executor(name: str | None, jobs: int, *, remote: bool) -> None:
    """Refuse options that contradict each other.

    Args:
        name: of --executor, None where it is not given.
        jobs: of --jobs.
        remote: whether a server that runs already is measured.

    Raises:
        UsageError: says which.
    """
    if name == "ray" and remote:
        raise UsageError(
            "--base-url is a server that runs already: there is nothing for Ray to place",
            hint="leave out --executor ray",
        )
    if name == "ray" and jobs > 1:
        raise UsageError(
            "--jobs is for this host; with Ray as many cells run as the cluster has room for",
            hint="leave out --jobs",
        )
    if name == "sequential" and jobs > 1:
        raise UsageError(
            f"--jobs {jobs} measures several cells at once, --executor sequential one", hint="leave one out"
        )
    if name == "jobs" and jobs == 1:
        raise UsageError("how many at once?", where="--executor jobs", hint="give --jobs N")


def check_launchers(jobs: Sequence[Job]) -> None:
    """Check how every engine would be started on this machine; raises UsageError."""
    for job in jobs:
        for launcher in job.launchers:
            launcher.check()


def visibility_variables(arch: str) -> tuple[str, ...]:
    """Which variables say what GPUs an engine sees, the one that counts first."""
    if arch == "cpu":
        return ()
    return (
        ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")
        if arch.startswith("gfx")
        else ("CUDA_VISIBLE_DEVICES",)
    )


async def first_done(running: Mapping[asyncio.Future[Result], object]) -> set[asyncio.Future[Result]]:
    """Those that are done, one at least; a cancellation of this task is passed on to all of them."""
    while True:
        try:
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for task in running:
                task.cancel()
        else:
            return done


def gpus_words(number: int) -> str:
    """`1 GPU`, `8 GPUs`."""
    return f"{number} GPU{'' if number == 1 else 's'}"
