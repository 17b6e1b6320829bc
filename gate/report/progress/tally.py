"""How one cell stands, in words: its samples and its latest look."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gate.decide.words import count
from gate.model.cell import Cell
from gate.model.result import Look
from gate.model.sample import Outcome, Sample
from gate.report import words
from gate.report.progress.protocol import Kept

Clock = Callable[[], float]  # seconds since 1970
TAKEN: Final = "taken from the record of an earlier run: no engine is started for it"
STOPPING: Final = "interrupted: ending the engine; every answer so far is kept"

_RATE_WINDOW: Final = 60.0


class Tally:
    """Samples of one cell so far: how many, how good, how fast (over the last minute)."""

    def __init__(self, cell: Cell, budget: int, clock: Clock) -> None:
        self.cell = cell
        self.budget = budget
        self.started = clock()
        self.done = 0
        self._clock = clock
        self._correct = 0
        self._invalid = 0
        self._recent: deque[tuple[float, int]] = deque()

    def add(self, sample: Sample) -> None:
        """Count one graded sample."""
        self.done += 1
        self._correct += sample.outcome is Outcome.CORRECT
        self._invalid += sample.outcome is Outcome.INVALID
        now = self._clock()
        if self._recent and self._recent[-1][0] == int(now):
            self._recent[-1] = (int(now), self._recent[-1][1] + 1)
        else:
            self._recent.append((int(now), 1))
        while self._recent[0][0] < now - _RATE_WINDOW:
            self._recent.popleft()

    def __str__(self) -> str:
        """`120/4,158 samples, 14.2/s, at most 4 min 44 s left, score so far 58.3 %, 1 invalid`."""
        parts = [f"{self.done:,}/{self.budget:,} samples"]
        if rate := self._rate():
            left = max(0, self.budget - self.done) / rate
            parts += [f"{rate:.1f}/s", f"at most {words.duration(left)} left"]
        if self.done:
            parts.append(f"score so far {words.percent(self._correct / self.done)}")
        if self._invalid:
            parts.append(f"{self._invalid:,} invalid")
        return ", ".join(parts)

    def _rate(self) -> float:
        if not self._recent:
            return 0.0
        seconds = max(1.0, self._clock() - self._recent[0][0])
        return sum(number for _, number in self._recent) / seconds


def look_words(look: Look) -> str:
    """`look at 594 samples: difference -4 points; to fail: 2.79 / 3.58; to pass: -0.72 / 3.10`."""
    return (
        f"look at {count(look.samples, 'sample')}: difference {words.points(look.difference, signed=True)}; "
        f"to fail: {words.held_against(look.z_regression, look.boundary_regression)}; "
        f"to pass: {words.held_against(look.z_pass, look.boundary_pass)}"
    )


def kept_words(kept: Sequence[Kept]) -> Iterator[str]:
    """What an interrupted run leaves, a line a cell, and how to go on."""
    yield "interrupted; what is kept:"
    for cell, decided, samples, journal in kept:
        if decided:
            yield f"  {cell}: its verdict, in the report"
        elif samples and journal:
            yield f"  {cell}: {count(samples, 'sample')}, in {journal}"
        else:
            yield f"  {cell}: nothing, no sample was complete"
    if any(one.samples and one.journal for one in kept if not one.decided):
        yield "Run the same command again to go on: what a journal holds is not asked again."
    else:
        yield "Run the same command again: nothing is lost but the time."
    if any(one.decided and one.journal is None for one in kept):
        yield "It measures decided cells anew: to keep their verdicts, name the others and another --out."
