"""Signs of life: whether an engine that has requests gets anywhere, or hangs.

A hung engine still answers /health. Taken for slow, it would turn every sample that runs out of time into a
wrong answer, and a dead engine into a low score. So what counts is work: tokens in /metrics (vLLM's
`generation_tokens_total` and `prompt_tokens_total`), or answers where nobody counts tokens.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from gate.errors import EngineLost

LONGEST_POLL: Final = 5.0
_SERIES: Final = re.compile(
    r"^vllm:(generation_tokens_total|prompt_tokens_total|num_requests_running|num_requests_waiting)"
    r"(?:\{[^}\n]*\})? (\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*$",
    re.MULTILINE,
)


class Activity(NamedTuple):
    """What /metrics says: tokens ever read and written, and requests running and waiting."""

    tokens: float
    running: float
    waiting: float


def read_activity(metrics: str) -> Activity | None:
    """The engine's counters, summed over its data-parallel ranks; None where it counts no tokens."""
    sums: dict[str, float] = {}
    for name, value in _SERIES.findall(metrics):
        sums[name] = sums.get(name, 0.0) + float(value)
    tokens = [sums[name] for name in ("generation_tokens_total", "prompt_tokens_total") if name in sums]
    if not tokens:
        return None
    return Activity(sum(tokens), sums.get("num_requests_running", 0.0), sums.get("num_requests_waiting", 0.0))


class Pulse:
    """Ends requests that run out of time, once the engine is known to work, and all of them when it hangs.

    A request that is out of time is cut off only after the engine was seen working *after* its time was
    over: until then nobody can tell a long answer from an engine that stopped in the middle of it.

    Args:
        read: asks the engine for its activity; None where it does not say.
        patience: seconds that one request may take.
        hang_seconds: without a sign of life for so long, while requests are in flight, the engine hangs.
    """

    def __init__(
        self, read: Callable[[], Awaitable[Activity | None]], *, patience: float, hang_seconds: float
    ) -> None:
        self.hung: EngineLost | None = None
        self._read = read
        self._patience = patience
        self._hang_seconds = hang_seconds
        self._poll = min(LONGEST_POLL, hang_seconds / 4)
        self._timers: dict[asyncio.Timeout, asyncio.TimerHandle] = {}
        self._overdue: set[asyncio.Timeout] = set()
        self._overdue_before: set[asyncio.Timeout] = set()
        self._answers = 0
        self._seen: tuple[int, float | None] = (0, None)
        self._still = 0.0

    def begin(self, limit: asyncio.Timeout) -> None:
        """A request is in flight; `limit` is the entered timeout that ends it."""
        if not self._timers:
            self._still = 0.0
        loop = asyncio.get_running_loop()
        self._timers[limit] = loop.call_later(self._patience, self._overdue.add, limit)

    def end(self, limit: asyncio.Timeout) -> bool:
        """The request is no longer in flight; whether it was over its time."""
        self._timers.pop(limit).cancel()
        late = limit in self._overdue
        self._overdue.discard(limit)
        return late

    def answered(self) -> None:
        """A request was answered, which is a sign of life."""
        self._answers += 1

    async def watch(self) -> None:
        """Look again and again until cancelled; only while requests are in flight is the engine asked."""
        loop = asyncio.get_running_loop()
        looked = loop.time()
        while True:
            await asyncio.sleep(self._poll)
            now = loop.time()
            # What this process itself slept through is not the engine's stillness.
            passed, looked = min(now - looked, 2 * self._poll), now
            if self._timers:
                await self._look(passed)

    async def _look(self, passed: float) -> None:
        overdue, answers = set(self._overdue), self._answers
        try:
            async with asyncio.timeout(self._poll):
                activity = await self._read()
        except TimeoutError:
            activity = None
        tokens = self._seen[1] if activity is None else activity.tokens
        seen = (answers, tokens)
        moved, self._seen = seen != self._seen, seen
        if moved:
            self._still = 0.0
            self._expire(self._overdue_before & self._overdue)
        else:
            self._still += passed
        self._overdue_before = overdue
        if self._still >= self._hang_seconds and self._timers:
            self.hung = self._tell(activity)
            self._expire(set(self._timers))

    def _expire(self, limits: set[asyncio.Timeout]) -> None:
        now = asyncio.get_running_loop().time()
        for limit in limits:
            if not limit.expired():
                limit.reschedule(now)

    def _tell(self, activity: Activity | None) -> EngineLost:
        number = len(self._timers)
        requests = "one request was" if number == 1 else f"{number} requests were"
        said = (
            "no request was answered, and /metrics counts no tokens"
            if activity is None
            else "no request was answered and no token was counted in /metrics, which says "
            f"{activity.running:g} running, {activity.waiting:g} waiting"
        )
        return EngineLost(
            f"the engine hangs: for {self._hang_seconds:g} s, while {requests} in flight, {said}",
            hint="raise --hang-seconds (gate.hang_seconds) if one step of this engine really takes longer",
        )
