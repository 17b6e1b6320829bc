"""On a node of the cluster: one engine, its client, and news of both for whoever asks.

A Ray actor, though nothing in here needs Ray. It decides nothing: it is told which samples to ask and hands
back what arrived since it was last asked for news, so that blocks, looks and the journal stay where the run
is. When its process ends, however it ends, the warden ends the engine.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from gate.engine import EngineChoice, Running, find_out
from gate.errors import EngineError, GateError
from gate.evals.asking import Manner
from gate.evals.client import EngineClient
from gate.evals.task import Request, Task
from gate.executors.local import Here
from gate.fingerprint import gate_version
from gate.model.evidence import Evidence
from gate.model.sample import Sample
from gate.sequence import Block
from gate.serving.launch import Launcher

LINGER_SECONDS: Final = 0.1
"""How long news waits for more of it; the end of a block waits for nothing."""

_AGAIN: Final = "run the cell again"


class Introduction(NamedTuple):
    """Who this is: Ray's id of the node, its name, the gate it runs, and the job's GPUs there."""

    node: str
    host: str
    version: str
    devices: tuple[str, ...]


@dataclass
class News:
    """What happened since the last: `ended` holds a block's error, or None where it is complete."""

    lines: list[str] = field(default_factory=list)
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    ended: dict[int, Exception | None] = field(default_factory=dict)
    died: EngineError | None = None
    bug: Exception | None = None
    over: bool = False

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for it."""
        return bool(self.ended or self.died or self.over)


class EngineHost:
    """The engine of one cell at a time; `start`, `connect`, `ask` ..., `stop`, and from the start again.

    Args:
        folder: where gate was started; relative paths mean the same here where it exists here too.
    """

    def __init__(self, folder: str) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)
        self._news = News()
        self._something = asyncio.Event()
        self._urgent = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._engine: Running | None = None
        self._client: EngineClient | None = None
        self._up = asyncio.Event()
        self._task: Task | None = None
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._devices: tuple[str, ...] = ()

    async def introduce(self) -> Introduction:
        """Who this is."""
        node, self._devices = _placed_by_ray()
        return Introduction(node, socket.gethostname(), gate_version(), self._devices)

    async def identity(self, choice: EngineChoice) -> str | GateError:
        """Which engine this node has, in one word."""
        try:
            return choice.identity(await asyncio.to_thread(find_out, choice))
        except GateError as error:
            return error

    async def start(self, launcher: Launcher, arch: str, log_name: str, startup_seconds: float) -> None:
        """Begin to start the engine; `healthy` waits for it."""
        self._news, self._stopping, self._up = News(), asyncio.Event(), asyncio.Event()
        self._something, self._urgent = asyncio.Event(), asyncio.Event()
        here = launcher.started_from(dict(os.environ))
        self._life = asyncio.create_task(self._live(here, arch, log_name, startup_seconds))

    async def healthy(self) -> GateError | None:
        """Wait until the engine answers; what went wrong, or None."""
        if self._life is None:
            return EngineError("stopped before it had started", hint=_AGAIN)
        up = asyncio.create_task(self._up.wait())
        await asyncio.wait({self._life, up}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if not self._life.done():
            return None
        try:
            await self._life
        except GateError as error:
            return error
        return EngineError("stopped while it started", hint=_AGAIN)

    async def learn(self, task: Task) -> None:
        """Whose questions are asked from now on."""
        self._task = task

    async def connect(self, manner: Manner) -> None:
        """Make the client."""
        engine = self._running()
        self._client = EngineClient(
            engine.base_url, headers=engine.headers, socket=engine.socket, **manner._asdict()
        )
        await self._client.__aenter__()

    async def disconnect(self) -> None:
        """End what is being asked, and the client."""
        client, self._client = self._client, None
        for number in tuple(self._asking):
            await self.cancel(number)
        if client is not None:
            await client.__aexit__()

    async def ask(self, number: int, block: Block, stream: str) -> None:
        """Begin to ask for a block's samples; they come as news, and then its end does."""
        self._asking[number] = asyncio.create_task(self._ask(number, block, stream))

    async def cancel(self, number: int) -> None:
        """Ask for no more of a block."""
        if task := self._asking.pop(number, None):
            task.cancel()
            await asyncio.wait([task])

    async def fetch(self, request: Request, read: Callable[[Any], Any]) -> Any:  # noqa: ANN401
        """See `EngineClient.fetch`; an error is returned."""
        try:
            return await self._connected().fetch(request, read)
        except GateError as error:
            return error

    async def evidence(self) -> Evidence:
        """What the engine has said so far."""
        return await self._running().evidence()

    async def news(self) -> News:
        """Everything since the last call, at once where somebody waits for it, else a moment later."""
        await self._something.wait()
        if not self._news.urgent:
            waiting = asyncio.create_task(self._urgent.wait())
            await asyncio.wait([waiting], timeout=LINGER_SECONDS)
            waiting.cancel()
        told, self._news = self._news, News()
        self._something.clear()
        self._urgent.clear()
        return told

    async def stop(self, *, hurried: bool) -> None:
        """End the engine; in a hurry it gets less time to obey. The last news says that it is over."""
        await self.disconnect()
        if self._life is not None:
            self._stopping.set()
            if hurried:
                self._life.cancel()
            ended, self._life, self._engine = self._life, None, None
            await asyncio.wait([ended])
            if not ended.cancelled() and isinstance(bug := ended.exception(), Exception):
                self._news.bug = None if isinstance(bug, GateError) else bug
        self._news.over = True
        self._tell()

    async def _live(self, launcher: Launcher, arch: str, log_name: str, startup_seconds: float) -> None:
        """The engine from its start to its end, in one task, whose cancellation is a hurry to stop it."""
        place = Here(self._devices or None)
        with tempfile.TemporaryDirectory(prefix="gate-") as folder:
            serving = place.serve(
                launcher,
                arch=arch,
                log_path=Path(folder) / log_name,
                startup_seconds=startup_seconds,
                on_line=self._line,
            )
            async with serving as engine:
                self._engine = engine
                self._up.set()
                death = asyncio.create_task(self._tell_death(engine))
                try:
                    await self._stopping.wait()
                finally:
                    death.cancel()
                    await asyncio.wait([death])

    async def _tell_death(self, engine: Running) -> None:
        self._news.died = await engine.died()
        self._tell()

    async def _ask(self, number: int, block: Block, stream: str) -> None:
        def answered(sample: Sample) -> None:
            self._news.samples.setdefault(number, []).append(sample)
            self._tell()

        failed: Exception | None = None
        try:
            await self._connected().ask_block(self._learned(), block, stream, already={}, on_sample=answered)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - it is raised where the block was asked for
            failed = error
        self._asking.pop(number, None)
        self._news.ended[number] = failed
        self._tell()

    def _line(self, line: str) -> None:
        self._news.lines.append(line)
        self._tell()

    def _tell(self) -> None:
        self._something.set()
        if self._news.urgent:
            self._urgent.set()

    def _running(self) -> Running:
        if self._engine is None:
            raise RuntimeError("no engine runs")
        return self._engine

    def _learned(self) -> Task:
        if self._task is None:
            raise RuntimeError("nobody said whose questions")
        return self._task

    def _connected(self) -> EngineClient:
        if self._client is None:
            raise RuntimeError("connect first")
        return self._client


def _placed_by_ray() -> tuple[str, tuple[str, ...]]:
    """The node's id and the GPUs that Ray gave this actor, as the node names them."""
    import ray  # noqa: PLC0415 - the extra `ray`, which is what runs this

    context = ray.get_runtime_context()
    return context.get_node_id(), tuple(map(str, context.get_accelerator_ids().get("GPU", ())))
