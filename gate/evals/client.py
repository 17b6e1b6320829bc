"""Asking the engine: bounded requests in flight, bounded retries, blocks of samples.

What fails on the way is asked again and then ends the cell; what a healthy engine answers, however badly,
is a sample (statistics.md, pitfall 4). Engine error bodies can echo the prompt and are never quoted.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import aiohttp

from gate.errors import EngineError, EngineLost
from gate.evals.endpoints import ReplyError, read_answer
from gate.evals.pulse import Activity, Pulse, read_activity
from gate.evals.slots import Slots
from gate.evals.task import Answer, Request, Task
from gate.model.sample import Finish, Sample
from gate.sequence import Block
from gate.serving.probe import connector
from gate.settings import HANG_SECONDS

_CONNECT_SECONDS: Final = 10
_LONGEST_PAUSE: Final = 60.0
_SAFE_WORD: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# vLLM answers 400 or 500 when the tokens that the model chose are no harmony message. The request was
# good and the engine is well: that is an unreadable answer, and a broken kernel produces many. The first
# line is vLLM's own, the others are what openai-harmony 0.0.8 says of a message that it cannot parse.
_UNREADABLE_ANSWER: Final = re.compile(
    r"^Unknown channel: "
    r"|unexpected tokens remaining in message header"
    r"|^(?:Unexpected token \d+ while expecting start token \d+"
    r"|Unexpected EOS while waiting for message header to complete"
    r"|channel marker present but no channel value found in header"
    r"|message header did not contain a role"
    r"|could not decode header)$"
)
_READ_THE_LOG: Final = "read the end of the engine's log, then run the cell again"
_GC_THRESHOLD: Final = 50_000
Reply = TypeVar("Reply")

_HEADERS: Final = {"Content-Type": "application/json"}


class _Retry(Exception):
    """The exchange failed on the way; `pause` is the engine's own Retry-After, in seconds."""

    def __init__(self, reason: str, pause: float | None = None, *, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pause = pause
        self.unreachable = unreachable


class _Unanswered(Exception):
    """A healthy engine gave no answer that can be read: none in time, or none that it could parse itself."""

    def __init__(self, finish: Finish) -> None:
        super().__init__(finish.name)
        self.finish = finish


class EngineClient:
    """HTTP client of one engine; an async context manager.

    Args:
        base_url: like http://127.0.0.1:8000, without a path.
        concurrency: requests in flight, over all blocks together.
        timeout_seconds: of one request, from sending to the whole answer.
        headers: sent with every request: a key that the server asks for.
        socket: the Unix socket to ask instead of the URL's host.
        hang_seconds: without a sign of life for so long, while requests are in flight, the engine hangs.
        retries: how often a request that failed on the way is sent again.
        backoff_seconds: pause before the first retry; doubles each time.
    """

    def __init__(
        self,
        base_url: str,
        *,
        concurrency: int,
        timeout_seconds: float,
        headers: Mapping[str, str] = MappingProxyType({}),
        socket: Path | None = None,
        hang_seconds: float = HANG_SECONDS,
        retries: int = 3,
        backoff_seconds: float = 0.5,
    ) -> None:
        self.concurrency = concurrency
        self._headers = headers
        self._socket = socket
        self._base_url = base_url.rstrip("/")
        self._retries = retries
        self._backoff = backoff_seconds
        self._slots = Slots(concurrency)
        self._pulse = Pulse(self._activity, patience=timeout_seconds, hang_seconds=hang_seconds)
        self._watching: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None
        self._gc_threshold = gc.get_threshold()

    async def __aenter__(self) -> EngineClient:
        # A request allocates more than the collector's usual 700 objects, and 512 in flight are a lot to
        # scan each time: left alone it takes a quarter of the client's time.
        self._gc_threshold = gc.get_threshold()
        gc.set_threshold(_GC_THRESHOLD, *self._gc_threshold[1:])
        self._session = aiohttp.ClientSession(
            connector=connector(self._socket),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={**_HEADERS, **self._headers},
            # One timer a request, the pulse's, instead of aiohttp's several.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        )
        self._watching = asyncio.create_task(self._pulse.watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        gc.set_threshold(*self._gc_threshold)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._open_session.close()
        self._session = None

    async def ask(self, request: Request, *, priority: int = 0) -> Answer:
        """The engine's answer to one request.

        A request that a healthy engine does not finish in time is an answer with `Finish.TIMEOUT`; a
        reply that the engine itself could not parse one with `Finish.OTHER`. Both are without text.

        Raises:
            EngineLost: the engine hangs, or could not be reached more often than `retries`.
            EngineError: the request was refused, answered wrongly more often than `retries`, or answered by
                another model.
        """
        try:
            return await self._send(request, lambda reply: read_answer(request.path, reply), priority)
        except _Unanswered as failed:
            return Answer("", failed.finish, 0)

    async def fetch(self, request: Request, read: Callable[[Any], Reply]) -> Reply:
        """What `read` makes of the JSON reply to one request, for requests that ask no question.

        Args:
            request: what to send.
            read: raises ReplyError for a reply that is not one; it is then asked for again.

        Raises:
            EngineError: as `ask`, and where `ask` would have returned an empty answer.
        """
        try:
            return await self._send(request, read, 0)
        except _Unanswered as failed:
            raise self._error(request, f"no usable answer ({failed.finish.name.lower()})") from None

    async def ask_block(
        self,
        task: Task,
        block: Block,
        stream: str,
        *,
        already: Mapping[tuple[str, int], Sample],
        on_sample: Callable[[Sample], None],
    ) -> tuple[Sample, ...]:
        """Every sample of a block, in the order of its questions.

        See `gate.evals.asking.Client`; blocks share the slots, and errors are those of `ask`.
        """
        samples = {q: already[q, block.repeat] for q in block.questions if (q, block.repeat) in already}
        wanted = iter([q for q in block.questions if q not in samples])

        async def work() -> None:
            for question in wanted:  # one iterator, shared by all workers
                request = task.request(question, block.repeat, stream)
                answer = await self.ask(request, priority=block.number)
                outcome = task.grade(question, block.repeat, stream, answer)
                sample = Sample(question, block.repeat, outcome, answer.tokens, answer.finish)
                samples[question] = sample
                on_sample(sample)

        # Twice as many as can be in flight: whenever a slot falls free, one of this block waits for it, and
        # a later block gets none while this one has anything left to ask.
        workers = min(2 * self.concurrency, len(block.questions) - len(samples))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(work())
        except BaseExceptionGroup as failed:
            # One error ended the block; the others are its echoes.
            raise failed.exceptions[0] from None
        return tuple(samples[q] for q in block.questions)

    async def _send(self, request: Request, read: Callable[[Any], Reply], priority: int) -> Reply:
        body = json.dumps(request.body).encode()
        failures = 0
        while True:
            await self._slots.take(priority)
            try:
                return await self._answered_in_time(request, body, read)
            except _Retry as failed:
                failures += 1
                if failures > self._retries:
                    times = f"{failures} times" if failures > 1 else "once"
                    failure = self._lost if failed.unreachable else self._error
                    raise failure(request, f"{failed.reason} ({times})") from None
                pause = self._backoff * 2 ** (failures - 1) if failed.pause is None else failed.pause
            finally:
                self._slots.give_back()
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))

    async def _answered_in_time(self, request: Request, body: bytes, read: Callable[[Any], Reply]) -> Reply:
        try:
            async with asyncio.timeout(None) as limit:
                self._pulse.begin(limit)
                try:
                    reply = await self._exchange(request, body, read)
                finally:
                    late = self._pulse.end(limit)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _Retry(f"connection failed: {type(error).__name__}", unreachable=True) from None
        except TimeoutError:
            if (hung := self._pulse.hung) is not None:
                raise self._lost(request, hung.message, hung.hint) from None
            raise _Unanswered(Finish.TIMEOUT) from None
        except _Unanswered:
            self._pulse.answered()
            raise
        self._pulse.answered()
        if late:
            raise _Unanswered(Finish.TIMEOUT)
        return reply

    async def _activity(self) -> Activity | None:
        try:
            async with self._open_session.get(f"{self._base_url}/metrics") as reply:
                raw = await reply.read()
        except (aiohttp.ClientError, ConnectionError):
            return None
        return read_activity(raw.decode(errors="replace")) if reply.status == HTTPStatus.OK else None

    async def _exchange(self, request: Request, body: bytes, read: Callable[[Any], Reply]) -> Reply:
        async with self._open_session.post(self._base_url + request.path, data=body) as reply:
            raw = await reply.read()
            status, pause = reply.status, reply.headers.get("Retry-After")
        if status != HTTPStatus.OK:
            raise self._refused(request, status, raw, pause)
        try:
            content = json.loads(raw)
            answer = read(content)
        except ReplyError as error:
            raise _Retry(str(error)) from None
        except ValueError:
            raise _Retry("the reply is not JSON") from None
        served, asked = content.get("model"), request.body.get("model")
        if served is not None and served != asked:
            name = served if isinstance(served, str) and len(served) < 200 else "something else"  # noqa: PLR2004
            other = "this is another engine than the one meant: check --base-url and --served-model"
            raise self._error(request, f"the engine serves {name!r}, not {asked!r}", other)
        return answer

    def _refused(self, request: Request, status: int, raw: bytes, retry_after: str | None) -> Exception:
        error = _error_object(raw)
        if _UNREADABLE_ANSWER.search(str(error.get("message", ""))):
            return _Unanswered(Finish.OTHER)
        words = [str(error.get(key)) for key in ("type", "code", "param") if error.get(key) is not None]
        said = " ".join(word for word in words if _SAFE_WORD.fullmatch(word))
        reason = f"HTTP {status}" + (f" ({said})" if said else "")
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return _Retry(reason, _seconds(retry_after))
        refused = "the engine refuses the request: check `sampling`, `reasoning_effort` and the model's name"
        return self._error(request, reason, refused)

    def _error(self, request: Request, what: str, hint: str = _READ_THE_LOG) -> EngineError:
        return EngineError(what, where=self._base_url + request.path, hint=hint)

    def _lost(self, request: Request, what: str, hint: str = _READ_THE_LOG) -> EngineLost:
        return EngineLost(what, where=self._base_url + request.path, hint=hint)

    @property
    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use `async with EngineClient(...)`")
        return self._session


def _error_object(raw: bytes) -> Mapping[str, Any]:
    try:
        content = json.loads(raw)
    except ValueError:
        return {}
    error = content.get("error", content) if isinstance(content, dict) else {}
    return error if isinstance(error, dict) else {}


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After in seconds; a date counts from now."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    try:
        then = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, then.timestamp() - time.time())
