"""Timestamped lines for a log that people read later, and `grep` before them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, TextIO

from gate.decide.words import count
from gate.model.cell import Cell
from gate.model.result import CellResult, Look
from gate.model.sample import Sample
from gate.report import words
from gate.report.escape import printable
from gate.report.progress.protocol import Kept, Progress
from gate.report.progress.tally import STOPPING, TAKEN, Clock, Tally, kept_words, look_words

_SECONDS_BETWEEN_LINES: Final = 10.0
_ENGINE_LINES_A_SPELL: Final = 200
_ALARMING: Final = ("WARNING", "ERROR", "CRITICAL", "Traceback", "Error:")


class PlainProgress:
    """Timestamped lines for a log: what matters at once, running figures at most every ten seconds.

    Args:
        stream: where the lines go, flushed one by one.
        clock: seconds since 1970.
        github: fold each cell into a group of the Actions log, its verdict below it.
        apart: other cells write to the same stream: of the engine's log only warnings and errors, each with
            its cell, and no groups, which cannot overlap.
    """

    def __init__(self, stream: TextIO, clock: Clock, *, github: bool = False, apart: bool = False) -> None:
        self._stream = stream
        self._clock = clock
        self._github = github and not apart
        self._apart = apart
        self._tally: Tally | None = None
        self._last_line = 0.0
        self._group_open = False
        self._engine_ready = self._apart
        self._spell_began = 0.0
        self._spell_lines = 0

    def planned(self, cells: Sequence[Cell]) -> None:
        """Say how many cells there are."""
        if len(cells) > 1:
            self._say(f"measures {len(cells):,} cells")

    def cell_started(self, cell: Cell, budget: int) -> None:
        """Name the cell and open its group."""
        self._end_group()
        if self._github:
            self._command(f"::group::{cell}")
            self._group_open = True
        self._tally = Tally(cell, budget, self._clock)
        self._engine_ready = self._apart
        self._last_line = self._clock()
        self._say(f"started, budget {count(budget, 'sample')}" if budget else "started")

    def cell_taken(self) -> None:
        """Say so."""
        self._say(TAKEN)

    def engine_line(self, line: str) -> None:
        """Pass the engine's log on: all of it while it starts, then warnings and errors; bounded."""
        if self._engine_ready and not any(word in line for word in _ALARMING):
            return
        now = self._clock()
        if now - self._spell_began >= _SECONDS_BETWEEN_LINES:
            self._admit_gap()
            self._spell_began, self._spell_lines = now, 0
        self._spell_lines += 1
        if self._spell_lines <= _ENGINE_LINES_A_SPELL:
            self._write(f"{self._engine()} | {printable(line, 2000)}")

    def engine_ready(self, seconds: float) -> None:
        """Say so, and let only warnings and errors of its log through from here on."""
        self._admit_gap()
        self._engine_ready = True
        self._say(f"engine ready after {words.duration(seconds)}")

    def engine_lost(self, reason: str, samples: int) -> None:
        """Say why it is started again, and pass its log on once more."""
        self._engine_ready = self._apart
        self._say(
            f"engine lost, {count(samples, 'sample')} kept, starting it again: {printable(reason, 1000)}"
        )

    def probe_started(self, prompts: int) -> None:
        """Say that the probe is asked."""
        self._say(f"numerics probe: asking {count(prompts, 'prompt')}")

    def sample(self, sample: Sample) -> None:
        """Count it; say how it stands when ten seconds have passed since the last line."""
        if self._tally is None:
            return
        self._tally.add(sample)
        if self._clock() - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._say(str(self._tally))

    def look(self, look: Look) -> None:
        """Say what the look saw."""
        self._say(look_words(look))

    def cell_finished(self, result: CellResult) -> None:
        """Say the verdict and why, below the group."""
        self._end_group()
        self._say(f"{words.face(result.verdict).word}: {printable(words.reason(result), 1000)}")
        self._tally = None

    def stopping(self) -> None:
        """Say that the signal was heard."""
        self._say(STOPPING)

    def interrupted(self, kept: Sequence[Kept]) -> None:
        """Say what is kept, below the group."""
        self._end_group()
        for line in kept_words(kept):
            self._say(line)

    def close(self) -> None:
        """Close a group that an interruption left open."""
        self._end_group()

    def apart(self) -> Progress:
        """Lines that name their cell."""
        return PlainProgress(self._stream, self._clock, apart=True)

    def _say(self, text: str) -> None:
        self._last_line = self._clock()
        self._write(f"{self._tally.cell if self._tally else 'gate'} {text}")

    def _end_group(self) -> None:
        self._admit_gap()
        if self._group_open:
            self._group_open = False
            self._command("::endgroup::")

    def _admit_gap(self) -> None:
        left_out = self._spell_lines - _ENGINE_LINES_A_SPELL
        self._spell_lines = 0
        if left_out > 0:
            self._write(f"{self._engine()} | ({count(left_out, 'line')} left out; the log file has all)")

    def _engine(self) -> str:
        return f"{self._tally.cell} engine" if self._apart and self._tally else "engine"

    def _write(self, text: str) -> None:
        """A line with its time in front, so that nothing in it can be a workflow command."""
        stamp = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        self._command(f"{stamp} {text}")

    def _command(self, line: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        self._stream.flush()
