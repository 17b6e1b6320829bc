"""A place on a node of the cluster: this end of `EngineHost`."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final, Generic, Protocol, TypeVar

from gate.errors import EngineError, GateError, UsageError
from gate.evals.asking import Manner, Reply
from gate.evals.task import Request, Task
from gate.executors.ray_host import News
from gate.model.evidence import Evidence
from gate.model.sample import Sample
from gate.sequence import Block
from gate.serving.launch import Launcher
from gate.serving.log import LogFile
from gate.serving.remote import RemoteServer
from gate.serving.server import being_cancelled, unless_torn

STOP_SECONDS: Final = 75.0
"""Longer than an engine that obeys nothing can take to end."""


class Host(Protocol):
    """An `EngineHost` on some node."""

    @property
    def name(self) -> str:
        """The node, for people."""

    async def call(self, method: str, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        """Call a method; raises HostLost where nobody is there any more, EngineError without a cluster."""

    def end(self) -> None:
        """End its process, and by that whatever it still runs."""


AnyHost = TypeVar("AnyHost", bound=Host)


class HostedEngine:
    """An engine on a node, and the news of it."""

    def __init__(self, host: Host, log: LogFile, on_line: Callable[[str], None]) -> None:
        self.host = host
        self._log = log
        self._on_line = on_line
        self._death: asyncio.Future[EngineError] = asyncio.get_running_loop().create_future()
        self._blocks: dict[int, Asked] = {}
        self._numbers = itertools.count()
        self._lost: EngineError | None = None

    async def evidence(self) -> Evidence:
        """See `Engine`; a machine that is gone says nothing more."""
        found: Evidence = await self.host.call("evidence")
        return found

    async def died(self) -> EngineError:
        """See `Engine`."""
        return await asyncio.shield(self._death)

    async def follow(self) -> None:
        """Take the news until there is none: the engine was stopped, or its machine is gone."""
        news = News()
        while not news.over:
            try:
                news = await self.host.call("news")
            except EngineError as lost:
                self._lose(lost)
                return
            self._take(news)

    def begin(self, on_sample: Callable[[Sample], None]) -> Asked:
        """A block that is going to be asked."""
        asked = Asked(next(self._numbers), on_sample)
        self._blocks[asked.number] = asked
        if self._lost is not None:
            asked.end(self._lost)
        return asked

    def forget(self, asked: Asked) -> None:
        """Nobody waits for it any more; what still comes of it is dropped."""
        self._blocks.pop(asked.number, None)
        if not asked.ended.cancel():
            asked.ended.exception()  # it has been told, or explains nothing that is still of interest

    def _take(self, news: News) -> None:
        self._log.write(news.lines)
        for line in news.lines:
            self._on_line(line)
        for number, samples in news.samples.items():
            if asked := self._blocks.get(number):
                asked.take(samples)
        for number, error in news.ended.items():
            if asked := self._blocks.get(number):
                asked.end(error)
        if news.died is not None and not self._death.done():
            self._death.set_result(news.died)
        if news.bug is not None:
            raise news.bug

    def _lose(self, lost: EngineError) -> None:
        self._lost = lost
        if not self._death.done():
            self._death.set_result(lost)
        for asked in self._blocks.values():
            asked.end(lost)


class Asked:
    """A block that is being asked on a node."""

    def __init__(self, number: int, on_sample: Callable[[Sample], None]) -> None:
        self.number = number
        self.samples: dict[str, Sample] = {}
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._on_sample = on_sample

    def take(self, samples: list[Sample]) -> None:
        """Samples arrived; a journal that refuses one ends the block."""
        try:
            for sample in samples:
                self._on_sample(sample)
                self.samples[sample.question] = sample
        except GateError as error:
            self.end(error)

    def end(self, error: Exception | None) -> None:
        """Complete, or failed; what was said first counts."""
        if self.ended.done():
            return
        if error is None:
            self.ended.set_result(None)
        else:
            self.ended.set_exception(error)


class HostedClient:
    """Asks an engine through the client beside it."""

    def __init__(self, engine: HostedEngine) -> None:
        self._engine = engine
        self._taught: Task | None = None
        self._teaching = asyncio.Lock()

    async def fetch(self, request: Request, read: Callable[[Any], Reply]) -> Reply:
        """See `Client`."""
        reply: Reply | GateError = await self._engine.host.call("fetch", request, read)
        if isinstance(reply, GateError):
            raise reply
        return reply

    async def ask_block(
        self,
        task: Task,
        block: Block,
        stream: str,
        *,
        already: Mapping[tuple[str, int], Sample],
        on_sample: Callable[[Sample], None],
    ) -> tuple[Sample, ...]:
        """See `Client`."""
        known = {q: already[q, block.repeat] for q in block.questions if (q, block.repeat) in already}
        wanted = block._replace(questions=tuple(q for q in block.questions if q not in known))
        asked = self._engine.begin(on_sample)
        host = self._engine.host
        try:
            if wanted.questions:
                await self._teach(task)
                await host.call("ask", asked.number, wanted, stream)
                await asked.ended
        except BaseException:
            with contextlib.suppress(EngineError):
                await host.call("cancel", asked.number)
            raise
        finally:
            self._engine.forget(asked)
        known |= asked.samples
        return tuple(known[q] for q in block.questions)

    async def _teach(self, task: Task) -> None:
        """Send the questions, once: they can be megabytes."""
        async with self._teaching:
            if self._taught is not task:
                await self._engine.host.call("learn", task)
                self._taught = task


class HostedPlace(Generic[AnyHost]):
    """A place whose machine is found when it is needed, and another one when it is lost.

    Args:
        find: waits for a machine of the cluster that has what the job needs free.
    """

    def __init__(self, find: Callable[[], Awaitable[AnyHost]]) -> None:
        self._find = find
        self._host: AnyHost | None = None

    async def take(self) -> AnyHost:
        """The job's machine, found if need be."""
        if self._host is None:
            self._host = await self._find()
        return self._host

    def give(self) -> AnyHost | None:
        """The machine, for another job, where there is one; it is no longer this one's."""
        host, self._host = self._host, None
        return host

    def leave(self) -> None:
        """Give the machine back."""
        if (host := self.give()) is not None:
            host.end()

    @asynccontextmanager
    async def serve(
        self,
        launcher: Launcher | RemoteServer,
        *,
        arch: str,
        log_path: Path,
        startup_seconds: float,
        on_line: Callable[[str], None],
    ) -> AsyncIterator[HostedEngine]:
        """See `Place`."""
        if isinstance(launcher, RemoteServer):
            raise UsageError("a server that runs already needs no cluster", hint="leave out --executor ray")
        host = await self.take()
        on_line(f"gate: the engine starts on {host.name}")
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with closing(LogFile(log_path)) as log:
            engine = HostedEngine(host, log, on_line)
            begun = host.call("start", launcher.started_from({}), arch, log_path.name, startup_seconds)
            following: asyncio.Task[None] | None = None
            try:
                await begun
                following = asyncio.create_task(engine.follow())
                if error := await host.call("healthy"):
                    raise error
                yield engine
            finally:
                await unless_torn(self._ended(host, following, hurried=being_cancelled()))

    async def _ended(self, host: Host, following: asyncio.Task[None] | None, *, hurried: bool) -> None:
        """Stop the engine and take its last words; a machine that does not obey is let go."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await host.call("stop", hurried=hurried)
                if following is not None:
                    await following
        except (EngineError, TimeoutError):
            self.leave()
            if following is not None:
                following.cancel()
                await asyncio.wait([following])

    @asynccontextmanager
    async def client(self, engine: HostedEngine, manner: Manner) -> AsyncIterator[HostedClient]:
        """See `Place`."""
        await engine.host.call("connect", manner)
        yield HostedClient(engine)
