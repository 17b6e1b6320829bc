"""A Ray cluster: it finds each cell a node of its arch with GPUs free, and another one when that dies."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import socket
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

from gate.engine import EngineChoice
from gate.errors import EngineError, GateError, HostLost, UsageError
from gate.executors.local import first_done, gpus_words
from gate.executors.protocol import AnyJob, Job, Place, Result
from gate.executors.ray_host import EngineHost, Introduction
from gate.executors.ray_place import HostedPlace
from gate.fingerprint import gate_version
from gate.serving.launch import Launcher
from gate.serving.remote import RemoteServer

A_SHARE: Final = 0.001
"""Of a node's custom resource that names its arch: it says what the node is, not how much it has."""
WATCH_SECONDS: Final = 2.0
HEAD_SECONDS: Final = 20.0
"""Ray itself ends a driver whose head has been gone for a minute: before that the records are written."""
KNOCK_SECONDS: Final = 10.0
Answer = TypeVar("Answer")


class Cluster:
    """A cluster that this process is connected to; made by `connected`."""

    def __init__(self, ray: ModuleType, arch: str) -> None:
        self._ray = ray
        self._arch = arch
        self._silence: asyncio.Future[None] | None = None

    def there(self, function: Callable[..., Answer], *arguments: Any) -> Answer:  # noqa: ANN401
        """What a function returns on a node of the arch, in the folder where gate was started.

        Raises:
            GateError: what the function raised.
            UsageError: no node of this arch.
            EngineError: every node that Ray tried it on was lost.
        """
        self._need(0)
        task = self._ray.remote(_there).options(num_cpus=0, resources=self._label)
        try:
            answer: Answer | GateError = self._ray.get(task.remote(str(Path.cwd()), function, *arguments))
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            raise EngineError(
                f"no node of the Ray cluster stayed long enough to answer ({type(error).__name__})",
                hint="read on the nodes why their processes end, for example for want of memory",
            ) from error
        if isinstance(answer, GateError):
            raise answer
        return answer

    def check(self, jobs: Sequence[Job]) -> None:
        """See `Executor`: every job fits on some node of the arch, where its engines can be started."""
        for job in jobs:
            self._need(job.gpus, job.name)
        launchers = [launcher for job in jobs for launcher in job.launchers]
        self.there(_check, [one.started_from({}) for one in launchers if not isinstance(one, RemoteServer)])

    async def host(self, job: Job, vet: Callable[[RayHost], Awaitable[None]]) -> RayHost:
        """Wait for a node that has what the job needs; raises EngineError where it must not be used."""
        options = {"num_cpus": 0 if job.gpus else 1, "num_gpus": job.gpus, "resources": self._label}
        made = self._ray.remote(EngineHost).options(**options)
        self._refuse_silence()
        actor = await self._unless_silent(_in_a_thread(partial(made.remote, str(Path.cwd()))))
        host = RayHost(self._ray, self, actor)
        try:
            await host.meet()
            await vet(host)
        except BaseException:
            host.end()
            raise
        return host

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """For the length of the block, every call fails once the head has been silent for long."""
        # Before the first call: one that began without it would wait for ever.
        self._silence = asyncio.get_running_loop().create_future()
        watching = asyncio.create_task(self._watch(self._silence))
        try:
            yield
        finally:
            watching.cancel()
            await asyncio.wait([watching])

    async def _watch(self, silence: asyncio.Future[None]) -> None:
        """Ask the head again and again."""
        loop, answered = asyncio.get_running_loop(), time.monotonic()

        def note() -> None:
            nonlocal answered
            answered = time.monotonic()

        def ask() -> None:  # it blocks as long as the head is silent, so nobody may ever wait for it
            # A head that is gone raises, and a loop that is closed does: both end the asking.
            with contextlib.suppress(RuntimeError, self._ray.exceptions.RayError):
                while not silence.done():
                    self._ray.nodes()
                    loop.call_soon_threadsafe(note)
                    time.sleep(WATCH_SECONDS)

        threading.Thread(target=ask, daemon=True).start()
        try:
            while time.monotonic() - answered < HEAD_SECONDS:
                await asyncio.sleep(WATCH_SECONDS)
            silence.set_result(None)
        finally:
            silence.cancel()

    @property
    def gone(self) -> bool:
        """Whether its head has fallen silent."""
        return self._silence is not None and self._silence.done() and not self._silence.cancelled()

    async def answer(self, reference: Any) -> Any:  # noqa: ANN401 - whatever was called
        """What a call returns; raises EngineError once the head is silent."""
        return await self._unless_silent(asyncio.wrap_future(reference.future()))

    async def _unless_silent(self, answer: asyncio.Future[Answer]) -> Answer:
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        either: set[asyncio.Future[Any]] = {answer} | ({self._silence} if self._silence else set())
        await asyncio.wait(either, return_when="FIRST_COMPLETED")
        if not answer.done():
            self._refuse_silence()
        return await answer

    def _refuse_silence(self) -> None:
        if self.gone:
            raise EngineError(
                f"the head of the Ray cluster has not answered for {HEAD_SECONDS:.0f} s",
                hint="start the cluster again; the same command goes on from the journals",
            )

    @property
    def _label(self) -> dict[str, float]:
        return {self._arch: A_SHARE}

    def _need(self, gpus: int, name: str | None = None) -> None:
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        here = [node for node in nodes if self._arch in node]
        if not here:
            raise UsageError(
                f"no node of the Ray cluster says that it is {self._arch}",
                where=name,
                hint=f"""start its nodes with: ray start --resources '{{"{self._arch}": 1}}' ...""",
            )
        most = max(int(node.get("GPU", 0)) for node in here)
        if gpus > most:
            raise UsageError(
                f"needs {gpus_words(gpus)} of one node, and the largest {self._arch} node has {most}",
                where=name,
                hint="add a larger node, or lower its parallel sizes",
            )


class RayHost:
    """An `EngineHost` as a Ray actor."""

    def __init__(
        self,
        ray: ModuleType,
        cluster: Cluster,
        actor: Any,  # noqa: ANN401 - Ray's handle
    ) -> None:
        self._ray = ray
        self._cluster = cluster
        self._actor = actor
        self.met: Introduction | None = None

    @property
    def name(self) -> str:
        """The node, for people."""
        return f"{self.met.host} (node {self.met.node[:8]})" if self.met else "a node"

    async def meet(self) -> None:
        """Wait until it is placed; raises EngineError where it runs another gate than this one."""
        self.met = await self.call("introduce")
        if self.met is not None and self.met.version != gate_version():
            raise EngineError(
                f"{self.name} has version {self.met.version} of the gate, this is {gate_version()}",
                hint="install the same version on every node",
            )

    async def call(self, method: str, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        """See `Host`."""
        try:
            return await self._cluster.answer(getattr(self._actor, method).remote(*arguments, **named))
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            raise HostLost(
                f"{self.name} is gone ({type(error).__name__})", hint="the same command goes on elsewhere"
            ) from error

    def end(self) -> None:
        """See `Host`."""
        if not self._cluster.gone:
            self._ray.kill(self._actor)


class OnRay:
    """Every cell on a node of its own choosing; as many at once as the cluster has room for.

    A cell that is done leaves its process to the next one that takes as many GPUs: Ray takes seconds to end
    one and to start another.

    Args:
        cluster: where.
        choice: the engine under test, and
        identity: in one word which one it is: a node with another one is not used.
    """

    def __init__(self, cluster: Cluster, choice: EngineChoice, identity: str) -> None:
        self._cluster = cluster
        self._choice = choice
        self._identity = identity
        self._vetted: set[str] = set()
        self._waiting: defaultdict[int, list[asyncio.Future[RayHost]]] = defaultdict(list)

    def check(self, jobs: Sequence[Job]) -> None:
        """See `Executor`."""
        self._cluster.check(jobs)

    async def run(
        self, jobs: Sequence[AnyJob], measure: Callable[[AnyJob, Place], Awaitable[Result]]
    ) -> list[Result]:
        """See `Executor`."""
        results: dict[int, Result] = {}
        failed = False

        async def one(job: AnyJob) -> Result:
            place = HostedPlace(partial(self._find, job))
            try:
                try:
                    await place.take()
                except asyncio.CancelledError:
                    if failed:
                        raise
                except EngineError:
                    pass  # `measure` meets it again where it makes a record of it
                result = await measure(job, place)
                if (host := place.give()) is not None:
                    self._leave(host, job.gpus)
                return result
            finally:
                place.leave()

        async with self._cluster.watched():
            running: dict[asyncio.Future[Result], int] = {
                asyncio.ensure_future(one(job)): number for number, job in enumerate(jobs)
            }
            try:
                while running:
                    for task in await first_done(running):
                        results[running.pop(task)] = task.result()
            finally:
                failed = True
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)
        return [results[number] for number in range(len(jobs))]

    async def _find(self, job: Job) -> RayHost:
        """What Ray finds for the job, or what another one of its size leaves, whichever is there first."""
        left: asyncio.Future[RayHost] = asyncio.get_running_loop().create_future()
        self._waiting[job.gpus].append(left)
        placed = asyncio.ensure_future(self._cluster.host(job, self._vet))
        taken: asyncio.Future[RayHost] | None = None
        try:
            await asyncio.wait({left, placed}, return_when=asyncio.FIRST_COMPLETED)
            taken = left if left.done() else placed
            return taken.result()
        finally:
            if not left.done():
                self._waiting[job.gpus].remove(left)
            for other in {left, placed} - {taken}:
                other.cancel()
                await asyncio.wait([other])
                if not other.cancelled() and other.exception() is None:
                    self._leave(other.result(), job.gpus)

    def _leave(self, host: RayHost, gpus: int) -> None:
        """To who has waited longest for as many GPUs; its end where nobody does."""
        if waiting := self._waiting[gpus]:
            waiting.pop(0).set_result(host)
        else:
            host.end()

    async def _vet(self, host: RayHost) -> None:
        """Refuse a node whose engine is another one: its samples would be mixed with the others'."""
        if host.met is None or host.met.node in self._vetted:
            return
        found = await host.call("identity", self._choice)
        if isinstance(found, GateError):
            raise EngineError(found.message, where=host.name, hint=found.hint)
        if found != self._identity:
            raise EngineError(
                "has another engine, driver or version than the node that was asked first",
                where=host.name,
                hint="install the same on every node of this arch, or give the others another resource",
            )
        self._vetted.add(host.met.node)


@contextmanager
def connected(address: str, arch: str) -> Iterator[Cluster]:
    """A connection to the cluster at `address`, for cells of one arch, for the length of the block.

    Raises:
        UsageError: Ray is not installed, there is no cluster, or the arch is not said.
    """
    if arch == "auto":
        raise UsageError(
            "--executor ray must be told which nodes to use", hint="pass --arch, for example --arch gfx950"
        )
    try:
        import ray  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as missing:
        raise UsageError(
            "Ray is not installed", hint="pip install 'vllm-eval-gate[ray]', here and on every node"
        ) from missing
    try:
        _knock(address)
        ray.init(
            address=address, namespace="vllm-eval-gate", log_to_driver=False, logging_level=logging.ERROR
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(
            f"no Ray cluster answers at {address!r}",
            hint="start one with `ray start --head`, or name its head with --address HOST:6379",
        ) from error
    cluster = Cluster(ray, arch)
    try:
        yield cluster
    finally:
        if cluster.gone:  # it would wait for the head, now or at the end of this process
            atexit.unregister(ray.shutdown)
        else:
            ray.shutdown()


def _knock(address: str) -> None:
    """Raise OSError where nobody listens: Ray would try for minutes, and then end this process."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


def _in_a_thread(function: Callable[[], Answer]) -> asyncio.Future[Answer]:
    """What a function returns that asks the head: it may never return, and nobody waits for its thread."""
    found: Future[Answer] = Future()
    found.set_running_or_notify_cancel()  # from now on it cannot be cancelled, only left alone

    def work() -> None:
        try:
            found.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            found.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return asyncio.wrap_future(found)


def _check(launchers: Sequence[Launcher]) -> None:
    for launcher in launchers:
        launcher.started_from(dict(os.environ)).check()


def _there(folder: str, function: Callable[..., Answer], *arguments: Any) -> Answer | GateError:  # noqa: ANN401
    if Path(folder).is_dir():
        os.chdir(folder)
    try:
        return function(*arguments)
    except GateError as error:
        return error
