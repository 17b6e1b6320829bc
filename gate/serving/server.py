"""The engine's life: started on a free port, healthy before it is used, gone afterwards whatever happens.

    async with serve(launcher, log_path=..., startup_seconds=1800, on_line=print) as server:
        asking = asyncio.create_task(ask(server.base_url))
        dying = asyncio.create_task(server.died())
        ...

Between gate and engine runs `warden.py`, which ends every process of the engine when gate ends, however
gate ends. Cancelling the block (Ctrl-C; SIGTERM through `gate.serving.signals`) stops the engine first.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, Final

from gate.errors import EngineError, EngineLost
from gate.model.evidence import Evidence
from gate.serving import warden
from gate.serving.confinement import client_environment
from gate.serving.engine_log import EvidenceReader, merged
from gate.serving.failure import tell
from gate.serving.gpu_memory import RELEASE_SECONDS, GpuMemory
from gate.serving.launch import Launcher
from gate.serving.log import LineSplitter, LogFile, LogMemory
from gate.serving.probe import HEALTHY, UNAVAILABLE, Endpoint, free_port, get_json, health
from gate.serving.processes import Remembered, Tree, end_orphans, state_folder
from gate.serving.server_info import read_server_info

OnLine = Callable[[str], None]

PORT_ATTEMPTS: Final = 3
POLL_SECONDS: Final = 0.25
WATCH_SECONDS: Final = 1.0
SETTLE_SECONDS: Final = 2.0
STOP_SECONDS: Final = 10.0
HURRIED_SECONDS: Final = 3.0
DRAIN_SECONDS: Final = 5.0
_PIECE: Final = 64 * 1024


class Server:
    """A running engine; made by `serve`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        endpoint: Endpoint,
        log: LogFile,
        on_line: OnLine,
        log_path: Path,
        *,
        cleanup: Sequence[Sequence[str]] = (),
    ) -> None:
        self.endpoint = endpoint
        self.log_path = log_path
        self.survivors: tuple[Remembered, ...] = ()
        self._process = process
        self._tree = Tree(
            process.pid,
            state_folder() / f"engine-{process.pid}.json",
            cleanup,
            endpoint.socket.parent if endpoint.socket else None,
        )
        self._log = log
        self._on_line = on_line
        self._memory = LogMemory()
        self._evidence = EvidenceReader()
        self._info: Evidence | None = None
        self._started = time.monotonic()
        self._suspicion: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._death: asyncio.Task[EngineLost] | None = None
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(self._suspect_unread)
        self._tasks = [self._spawn(self._await_exit()), self._spawn(self._follow_processes())]

    @property
    def base_url(self) -> str:
        """Where the engine answers, without a trailing slash."""
        return self.endpoint.base_url

    @property
    def port(self) -> int:
        """Its port on 127.0.0.1, where it does not listen on a socket."""
        return self.endpoint.port

    @property
    def socket(self) -> Path | None:
        """The Unix socket it listens on instead of a port."""
        return self.endpoint.socket

    @property
    def pid(self) -> int:
        """The warden's pid; the engine is its child."""
        return self._process.pid

    @property
    def headers(self) -> Mapping[str, str]:
        """Nothing: it serves this machine only."""
        return {}

    async def evidence(self) -> Evidence:
        """What the engine has said so far about what runs: in its log, and over HTTP where it does."""
        if self._info is None:
            document = await get_json(self.endpoint, "/server_info?config_format=json")
            info = read_server_info(document)
            self._info = info.evidence() if info else Evidence()
        return merged(self._evidence.evidence(), self._info)

    async def died(self) -> EngineLost:
        """Wait until the engine dies (process, worker or health gone, or crash lines); returns the error."""
        if self._death is None:
            self._death = asyncio.create_task(self._diagnose())
        return await asyncio.shield(self._death)

    async def wait_healthy(self, deadline: float, *, check_owner: bool) -> None:
        """Wait for /health; raises `EngineError` when the engine dies first or the deadline passes."""
        while time.monotonic() < deadline:
            if self._suspicion.done():
                raise await self.died()
            if await health(self.endpoint) == HEALTHY and (not check_owner or await self._is_ours()):
                self._tasks.append(self._spawn(self._watch_health()))
                return
            await asyncio.wait([self._suspicion], timeout=POLL_SECONDS)
        waited = time.monotonic() - self._started
        raise EngineError(
            self._told(f"the engine was not healthy {waited:.0f} s after its start"),
            where=str(self.log_path),
            hint="raise startup_max_wait_seconds in the config if the model needs longer to load",
        )

    @property
    def port_was_taken(self) -> bool:
        """Whether the engine complained that somebody else holds its port."""
        return self._memory.port_taken

    async def stop(self, grace: float) -> None:
        """End the engine and everything it started; returns when nothing is left or cannot be killed."""
        watchers = [*self._tasks, *([self._death] if self._death else [])]
        for task in watchers:
            task.cancel()
        outcomes = await asyncio.gather(*watchers, return_exceptions=True)
        await asyncio.to_thread(self._tree.update)
        if self._process.stdin is not None:
            self._process.stdin.write(f"{grace}".encode())
            self._process.stdin.close()
        bound = grace + warden.KILL_SECONDS + warden.CLEANUP_SECONDS + DRAIN_SECONDS
        try:
            await asyncio.wait_for(self._process.wait(), bound)
        except TimeoutError:
            self._process.kill()
        self.survivors = await asyncio.to_thread(self._tree.end)
        for left in self.survivors:
            self._on_line(f"gate: process {left.pid} ({left.name}) survived SIGKILL")
        await self._finish_reading()
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, EngineError):
                raise outcome

    def _suspect_unread(self, reading: asyncio.Task[None]) -> None:
        if not reading.cancelled() and reading.exception() and not self._suspicion.done():
            self._suspicion.set_result(f"reading its output failed: {reading.exception()!r}")

    def _spawn(self, work: Coroutine[Any, Any, str]) -> asyncio.Task[None]:
        async def suspect() -> None:
            reason = "the engine can no longer be watched"
            try:
                reason = await work
            finally:
                if not self._suspicion.done() and not being_cancelled():
                    self._suspicion.set_result(reason)

        return asyncio.create_task(suspect())

    async def _read(self) -> None:
        stream, splitter = self._process.stdout, LineSplitter()
        if stream is None:
            return
        while piece := await stream.read(_PIECE):
            self._take(splitter.feed(piece))
        self._take(splitter.close())

    def _take(self, lines: list[str]) -> None:
        complained = self._log.error
        self._log.write(lines)
        if self._log.error is not None and self._log.error is not complained:
            self._on_line(_tell_unwritten(self._log.error))
        for line in lines:
            self._evidence.feed(line)
            self._memory.feed(line)
            self._on_line(line)
        if (self._memory.ended or self._memory.crash) and not self._suspicion.done():
            self._suspicion.set_result("the engine reported that it failed")

    async def _finish_reading(self) -> None:
        """Take what is still in the pipe; a process that survived could hold it open for ever."""
        done, _ = await asyncio.wait([self._reading], timeout=DRAIN_SECONDS)
        self._reading.cancel()
        self._log.close()
        for task in done:
            task.result()

    async def _await_exit(self) -> str:
        await self._process.wait()
        return "the engine has ended"

    async def _follow_processes(self) -> str:
        unnoted = None
        while True:
            await asyncio.to_thread(self._tree.update)
            if self._tree.unnoted is not None and unnoted is None:
                unnoted = self._tree.unnoted
                self._on_line(f"gate: WARNING the engine's processes are not noted on disk: {unnoted}")
            if lost := self._tree.lost_workers():
                return _tell_lost(lost)
            await asyncio.sleep(WATCH_SECONDS)

    async def _watch_health(self) -> str:
        failures = 0
        while True:
            status = await health(self.endpoint)
            failures = failures + 1 if status in (None, UNAVAILABLE) else 0
            if failures > 1:
                return "the engine refuses connections" if status is None else "/health answers 503"
            await asyncio.sleep(POLL_SECONDS if failures else WATCH_SECONDS)

    async def _is_ours(self) -> bool:
        await asyncio.to_thread(self._tree.update)
        return await asyncio.to_thread(self._tree.listens_on, self.endpoint.port)

    async def _diagnose(self) -> EngineLost:
        reason = await asyncio.shield(self._suspicion)
        # The first sign is rarely the telling one: let the traceback and the exit status arrive.
        await asyncio.wait([self._reading], timeout=SETTLE_SECONDS)
        if self._memory.ended is not None:
            reason = f"the engine {self._memory.ended}"
        elif self._process.returncode is not None:
            reason = f"the engine's warden ended with status {self._process.returncode}"
        elif lost := self._tree.lost_workers():
            reason = _tell_lost(lost)
        return EngineLost(
            self._told(f"{reason}, {time.monotonic() - self._started:.0f} s after its start"),
            where=str(self.log_path),
            hint=f"read the engine's log, {self._log_name}, then run the cell again",
        )

    @property
    def _log_name(self) -> str:
        """The log below --out: nothing of this machine."""
        return f"{self.log_path.parent.name}/{self.log_path.name}"

    def _told(self, what: str) -> str:
        memory = self._memory
        return tell(what, crash=memory.crash, cause=memory.cause, last=memory.last())


@asynccontextmanager
async def serve(
    launcher: Launcher,
    *,
    log_path: Path,
    startup_seconds: float,
    on_line: OnLine,
    stop_seconds: float = STOP_SECONDS,
) -> AsyncIterator[Server]:
    """Run the engine for the length of the block.

    Args:
        launcher: how it is started.
        log_path: where its output goes; the folder is made.
        startup_seconds: how long it may take to become healthy, over all attempts.
        on_line: called with each line of its output.
        stop_seconds: how long it may take to obey SIGTERM before SIGKILL.

    Raises:
        EngineError: it did not become healthy.
        UsageError: it cannot be started as asked.
    """
    launcher.check()
    for left in await asyncio.to_thread(end_orphans, state_folder(), client_environment(os.environ)):
        on_line(left)
    log = LogFile(log_path)
    if log.error is not None:
        on_line(_tell_unwritten(log.error))
    memory = GpuMemory(launcher.environment())
    for taken in await memory.look_before():
        on_line(f"gate: WARNING {taken}")
    with closing(log), launcher.socket() as socket:
        server = await _healthy_server(
            launcher,
            socket,
            log,
            log_path,
            seconds=startup_seconds,
            on_line=on_line,
            stop_seconds=stop_seconds,
        )
        try:
            yield server
        finally:
            # A cancelled job is killed 10 s after its first signal, and its record is still to be written.
            hurried = being_cancelled()
            await unless_torn(server.stop(min(stop_seconds, HURRIED_SECONDS) if hurried else stop_seconds))
            for leaked in await memory.look_after(0 if hurried else RELEASE_SECONDS):
                on_line(f"gate: WARNING {leaked}")


async def _healthy_server(
    launcher: Launcher,
    socket: Path | None,
    log: LogFile,
    log_path: Path,
    *,
    seconds: float,
    on_line: OnLine,
    stop_seconds: float,
) -> Server:
    deadline = time.monotonic() + seconds
    attempt = 1
    while True:
        endpoint = Endpoint(free_port(), socket)
        process = await _start(launcher, endpoint, stop_seconds)
        server = Server(process, endpoint, log, on_line, log_path, cleanup=launcher.cleanup())
        try:
            await server.wait_healthy(deadline, check_owner=launcher.listens_itself)
        except EngineError:
            await unless_torn(server.stop(stop_seconds))
            if not server.port_was_taken or attempt == PORT_ATTEMPTS:
                raise
            attempt += 1
            on_line(f"gate: port {endpoint.port} was taken by somebody else, trying another one")
        except BaseException:
            await unless_torn(server.stop(stop_seconds))
            raise
        else:
            return server


async def _start(launcher: Launcher, endpoint: Endpoint, stop_seconds: float) -> asyncio.subprocess.Process:
    spec = {"argv": launcher.argv(endpoint), "cleanup": launcher.cleanup(), "grace": stop_seconds}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(Path(warden.__file__)), json.dumps(spec)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=launcher.environment(),
        start_new_session=True,
    )


def being_cancelled() -> bool:
    """Whether the task that asks was cancelled: it is in a hurry then."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _tell_unwritten(error: OSError) -> str:
    return f"gate: WARNING the engine's log is not written: {error}"


def _tell_lost(workers: tuple[Remembered, ...]) -> str:
    names = ", ".join(f"{worker.name} (pid {worker.pid})" for worker in workers)
    return f"the engine's process {names} is gone"


async def unless_torn(work: Coroutine[Any, Any, None]) -> None:
    """Finish `work` even if this task is cancelled meanwhile, then let the cancellation through."""
    task = asyncio.create_task(work)
    torn: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as cancelled:
            torn = cancelled
    task.result()
    if torn is not None:
        raise torn
