"""A bounded number of requests in flight, handed out by priority."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class Slots:
    """A bounded number of requests in flight; those of an earlier block go first.

    With equal chances a block asked ahead would take half of the engine from the block that is decided
    next, and delay every look.
    """

    def __init__(self, number: int) -> None:
        self._free = number
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._turn = itertools.count()

    async def take(self, priority: int) -> None:
        """Wait for a slot; the smallest priority is served first, then who came first."""
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (priority, next(self._turn), turn))
        try:
            await turn
        except asyncio.CancelledError:
            # Cancelled after the slot was handed over: pass it on, or it is lost.
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Hand the slot to who is next."""
        while self._waiting:
            turn = heapq.heappop(self._waiting)[-1]
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
