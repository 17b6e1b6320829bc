"""What a person or a log sees while cells are measured.

The running score only describes: it is never a look. Looks happen at complete blocks and are made elsewhere;
short answers arrive first and are more often right, so the score drifts down within a block.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol, TextIO, cast

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gate.model import Cell, CellResult, Look, Outcome, Sample
from gate.report import words
from gate.report.escape import printable

Clock = Callable[[], float]  # seconds since 1970

_RATE_WINDOW: Final = 60.0
_SECONDS_BETWEEN_LINES: Final = 10.0
_ENGINE_LINES_A_SPELL: Final = 200
_ALARMING: Final = ("WARNING", "ERROR", "CRITICAL", "Traceback", "Error:")


class Progress(Protocol):
    """Told what happens, in this order, for one cell after the other; `close` is always called."""

    def cell_started(self, cell: Cell, budget: int) -> None:
        """A cell is next, with a budget of so many samples."""

    def engine_line(self, line: str) -> None:
        """The engine logged a line."""

    def engine_ready(self, seconds: float) -> None:
        """The engine answers, after so many seconds."""

    def engine_lost(self, reason: str, samples: int) -> None:
        """The engine died or hung and is started again; so many samples are kept."""

    def sample(self, sample: Sample) -> None:
        """A sample was graded."""

    def look(self, look: Look) -> None:
        """A block was complete and was looked at."""

    def cell_finished(self, result: CellResult) -> None:
        """The cell has its verdict."""

    def close(self) -> None:
        """Nothing more will come: leave the stream or terminal as it was."""

    def apart(self) -> Progress:
        """Another one on the same stream, for a cell that is measured while others are."""


class SilentProgress:
    """Says nothing: for tests and for `--quiet`."""

    def cell_started(self, cell: Cell, budget: int) -> None:
        """Say nothing."""

    def engine_line(self, line: str) -> None:
        """Say nothing."""

    def engine_ready(self, seconds: float) -> None:
        """Say nothing."""

    def engine_lost(self, reason: str, samples: int) -> None:
        """Say nothing."""

    def sample(self, sample: Sample) -> None:
        """Say nothing."""

    def look(self, look: Look) -> None:
        """Say nothing."""

    def cell_finished(self, result: CellResult) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""

    def apart(self) -> Progress:
        """The same: there is nothing to tell apart."""
        return self


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


class PlainProgress:
    """Timestamped lines for a log: what matters at once, running figures at most every ten seconds.

    Args:
        stream: where the lines go, flushed one by one.
        clock: seconds since 1970.
        github: fold the engine's log into a group of the Actions log.
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

    def cell_started(self, cell: Cell, budget: int) -> None:
        """Name the cell and open the group for its engine's log."""
        self._tally = Tally(cell, budget, self._clock)
        self._engine_ready = self._apart
        self._last_line = self._clock()
        self._say(f"started, budget {budget:,} samples")
        if self._github:
            self._write(f"::group::engine log of {cell}")
            self._group_open = True

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
        """Close the group."""
        self._end_group()
        self._engine_ready = True
        self._say(f"engine ready after {words.duration(seconds)}")

    def engine_lost(self, reason: str, samples: int) -> None:
        """Say why it is started again, and pass its log on once more."""
        self._engine_ready = self._apart
        self._say(f"engine lost, {samples:,} samples are kept, starting it again: {printable(reason, 1000)}")

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
        """Say the verdict and why."""
        self._end_group()
        self._say(f"{words.face(result.verdict).word}: {printable(words.reason(result), 1000)}")
        self._tally = None

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
            self._write("::endgroup::")

    def _admit_gap(self) -> None:
        left_out = self._spell_lines - _ENGINE_LINES_A_SPELL
        self._spell_lines = 0
        if left_out > 0:
            self._write(f"{self._engine()} | ({left_out:,} lines left out; the log file has them)")

    def _engine(self) -> str:
        return f"{self._tally.cell} engine" if self._apart and self._tally else "engine"

    def _write(self, text: str) -> None:
        command = text.startswith("::")
        stamp = datetime.fromtimestamp(self._clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        line = text if command else f"{stamp} {text}"
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        self._stream.flush()


class LiveProgress:
    """A block of lines on a terminal that is redrawn in place while a cell is measured.

    Args:
        console: a terminal.
        clock: seconds since 1970.
    """

    def __init__(self, console: Console, clock: Clock) -> None:
        self._console = console
        self._clock = clock
        self._live: Live | None = None
        self._tally: Tally | None = None
        self._state = ""
        self._look = ""

    def cell_started(self, cell: Cell, budget: int) -> None:
        """Draw the block for this cell."""
        self.close()
        self._tally = Tally(cell, budget, self._clock)
        self._state, self._look = "the engine starts", ""
        self._live = Live(
            get_renderable=self.render, console=self._console, refresh_per_second=4, transient=True
        )
        self._live.start()

    def engine_line(self, line: str) -> None:
        """Show the log's last line while the engine starts."""
        if self._tally is not None and not self._tally.done:
            self._state = printable(line, 300) or self._state

    def engine_ready(self, seconds: float) -> None:
        """Show that the engine answers."""
        self._state = f"engine ready after {words.duration(seconds)}"

    def engine_lost(self, reason: str, samples: int) -> None:
        """Show why the samples stand still for a while."""
        self._look = f"engine lost, {samples:,} samples are kept, starting it again: {printable(reason, 300)}"

    def sample(self, sample: Sample) -> None:
        """Count it."""
        if self._tally is not None:
            self._tally.add(sample)

    def look(self, look: Look) -> None:
        """Show the latest look."""
        self._look = look_words(look)

    def cell_finished(self, result: CellResult) -> None:
        """Replace the block by one line with the verdict."""
        self.close()
        face = words.face(result.verdict)
        line = Text.assemble(
            (face.word, face.style), f" {result.cell}: {printable(words.reason(result), 1000)}"
        )
        self._console.print(line, highlight=False)

    def close(self) -> None:
        """Take the block off the screen and give the cursor back."""
        if self._live is not None:
            self._live.stop()
        self._live = self._tally = None

    def apart(self) -> Progress:
        """Plain lines: one block cannot show several cells."""
        return PlainProgress(cast(TextIO, self._console.file), self._clock, apart=True)

    def render(self) -> Group:
        """The block as it stands."""
        tally = self._tally
        if tally is None:
            return Group()
        elapsed = words.duration(self._clock() - tally.started)
        title = Text(f"{tally.cell}  {elapsed}", style="bold")
        if not tally.done:
            return Group(title, Text(self._state, overflow="ellipsis", no_wrap=True))
        bar = Table.grid()  # a bar alone ends no line
        bar.add_row(ProgressBar(total=tally.budget, completed=tally.done, width=40))
        return Group(title, bar, Text(str(tally)), *([Text(self._look)] if self._look else []))


def look_words(look: Look) -> str:
    """`look at 594 samples: difference -4 points; to fail: 2.79 / 3.58; to pass: -0.72 / 3.10`."""
    return (
        f"look at {look.samples:,} samples: difference {words.points(look.difference, signed=True)}; "
        f"to fail: {words.held_against(look.z_regression, look.boundary_regression)}; "
        f"to pass: {words.held_against(look.z_pass, look.boundary_pass)}"
    )


def progress_for(
    environ: Mapping[str, str],
    console: Console | None = None,
    stream: TextIO | None = None,
    clock: Clock = time.time,
) -> Progress:
    """Live on a terminal outside CI, plain lines elsewhere, with groups where GITHUB_ACTIONS is set.

    Both go to standard error unless told otherwise, so that standard output stays for results.
    """
    in_actions = environ.get("GITHUB_ACTIONS") == "true"
    stream = stream or sys.stderr
    console = console or Console(file=stream)
    if console.is_terminal and not in_actions and not environ.get("CI"):
        return LiveProgress(console, clock)
    return PlainProgress(stream, clock, github=in_actions)
