"""What is asked of an engine, wherever its client runs: on this machine, or beside the engine on another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from gate.evals.task import Request, Task
from gate.model.sample import Sample
from gate.sequence import Block

Reply = TypeVar("Reply")


class Manner(NamedTuple):
    """How an engine is asked: requests in flight, seconds for one, seconds without a sign of life."""

    concurrency: int
    timeout_seconds: float
    hang_seconds: float


class Fetcher(Protocol):
    """Sends requests that ask no question."""

    async def fetch(self, request: Request, read: Callable[[Any], Reply]) -> Reply:
        """What `read` makes of the JSON reply; raises EngineError."""


class Client(Fetcher, Protocol):
    """Asks an engine."""

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

        Blocks may be asked concurrently; the earlier one goes first. When one request ends the cell, or the
        caller is cancelled, every other is cancelled before this returns.

        Args:
            task: makes requests and grades answers.
            block: which questions, as which repeat.
            stream: decides seeds and permutations.
            already: samples that are not asked again, by (question, repeat).
            on_sample: called with each new sample as it arrives.

        Raises:
            EngineError: the engine is lost, or refused a request.
        """
