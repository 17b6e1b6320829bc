"""What an executor is given, what it gives, and what it promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gate.evals.asking import Client, Manner
from gate.serving.launch import Launcher
from gate.serving.remote import RemoteServer

if TYPE_CHECKING:  # what runs on a node of a cluster measures nothing
    from gate.measure import Engine


class Job(Protocol):
    """One cell to be measured."""

    @property
    def name(self) -> str:
        """The cell."""

    @property
    def gpus(self) -> int:
        """How many GPUs its engine takes; 0 on a CPU."""

    @property
    def launchers(self) -> Sequence[Launcher | RemoteServer]:
        """How the engines that it may need are started."""


class Place(Protocol):
    """Where the engine of a job runs, and with it the client that asks it."""

    def serve(
        self,
        launcher: Launcher | RemoteServer,
        *,
        arch: str,
        log_path: Path,
        startup_seconds: float,
        on_line: Callable[[str], None],
    ) -> AbstractAsyncContextManager[Engine]:
        """The engine for the length of the block, on GPUs that are this job's own.

        Args:
            launcher: how it is started, or where it runs already.
            arch: decides which variables show it its GPUs.
            log_path: a file on this machine for what it prints.
            startup_seconds: how long it may take to become healthy.
            on_line: called with each line that it prints.

        Raises:
            EngineError: it did not start.
        """

    def client(self, engine: Any, manner: Manner) -> AbstractAsyncContextManager[Client]:  # noqa: ANN401
        """A client of an engine that `serve` of this place gave."""


AnyJob = TypeVar("AnyJob", bound=Job)
Result = TypeVar("Result")


class Executor(Protocol):
    """Runs jobs."""

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse, before anything starts, jobs and engines that could never run as asked.

        Raises:
            UsageError: says which and why.
        """

    async def run(
        self, jobs: Sequence[AnyJob], measure: Callable[[AnyJob, Place], Awaitable[Result]]
    ) -> list[Result]:
        """Measure every job; the results in the order of the jobs.

        Cancelling this cancels what is running, once, and then goes on: `measure` is called for the rest
        too and returns at once, so that every job has a result. An exception of `measure` is a bug or a
        full disk: the others are cancelled and waited for before it is raised.
        """
