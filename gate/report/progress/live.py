"""The table that a terminal shows while cells are measured, redrawn in place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text

from gate.decide.words import count
from gate.model.cell import Cell
from gate.model.result import CellResult, Look
from gate.model.sample import Sample
from gate.report import words
from gate.report.escape import printable
from gate.report.progress.protocol import Kept, Progress
from gate.report.progress.tally import STOPPING, TAKEN, Clock, Tally, kept_words, look_words

_REDRAWN_A_SECOND: Final = 4
_LINES_A_CELL: Final = 4
_BAR: Final = 30


_ROOM_FOR_COLUMNS: Final = 120
_Drawn = tuple[Text, str, RenderableType]


class Stage(IntEnum):
    """How far a cell is; the table shows the later ones first where there is no room for all."""

    WAITING = 0
    FINISHED = 1
    MEASURED = 2


class Row:
    """One cell of the table."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.stage = Stage.WAITING
        self.tally: Tally | None = None
        self.state = ""
        self.look = ""
        self.result: CellResult | None = None
        self.seconds = 0.0
        self.taken = False

    def start(self, tally: Tally) -> None:
        """The cell is measured from here on."""
        self.stage, self.tally, self.result = Stage.MEASURED, tally, None
        self.state, self.look = "the engine starts", ""

    def finish(self, result: CellResult, now: float) -> None:
        """The cell has its verdict."""
        self.stage, self.result = Stage.FINISHED, result
        self.seconds = now - self.tally.started if self.tally else 0.0

    def render(self, now: float) -> _Drawn:
        """Cell, time, and what happens."""
        name = Text(str(self.cell), style="bold" if self.stage is Stage.MEASURED else "")
        if self.result is not None:
            face = words.face(self.result.verdict)
            why = printable(words.reason(self.result), 1000)
            return (
                name,
                words.duration(self.seconds),
                Text.assemble((face.word, face.style), f": {why}", f" ({TAKEN})" if self.taken else ""),
            )
        if self.tally is None:
            return name, "", Text("waits", style="dim")
        return name, words.duration(now - self.tally.started), self._measured(self.tally)

    def _measured(self, tally: Tally) -> RenderableType:
        if not tally.done:
            return Text(self.state, overflow="ellipsis", no_wrap=True)
        bar = Table.grid()  # a bar alone ends no line
        bar.add_row(ProgressBar(total=tally.budget, completed=tally.done, width=_BAR))
        return Group(bar, Text(str(tally)), *([Text(self.look)] if self.look else []))


class Board:
    """The rows of every cell on one terminal."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self.console = console
        self.clock = clock
        self._rows: dict[Cell, Row] = {}
        self._live: Live | None = None

    def row(self, cell: Cell) -> Row:
        """The row of a cell, in the order in which they were named first."""
        return self._rows.setdefault(cell, Row(cell))

    def show(self) -> None:
        """Draw the table, and again until `hide`."""
        if self._live is None:
            self._live = Live(
                get_renderable=self.render, console=self.console, refresh_per_second=_REDRAWN_A_SECOND
            )
            self._live.start()

    def hide(self) -> None:
        """Leave the table as it stands, whole, and give the cursor back."""
        if self._live is not None:
            live, self._live = self._live, None
            live.stop()

    def render(self) -> Group:
        """The table as it stands: whole in the end, and what fits while it is redrawn."""
        rows = list(self._rows.values())
        room = max(1, (self.console.height - 3) // _LINES_A_CELL)
        shown, rest = rows, list[Row]()
        if self._live is not None and len(rows) > room:
            chosen = set(map(id, sorted(rows, key=lambda row: -row.stage)[:room]))
            shown = [row for row in rows if id(row) in chosen]
            rest = [row for row in rows if id(row) not in chosen]
        now = self.clock()
        drawn = [row.render(now) for row in shown]
        parts = [_wide(drawn)] if self.console.width >= _ROOM_FOR_COLUMNS else list(_narrow(drawn))
        if rest:
            counts = words.counted([row.result for row in rest if row.result is not None])
            waiting = sum(row.stage is Stage.WAITING for row in rest)
            said = ", ".join(filter(None, [counts, f"{waiting:,} waiting" if waiting else ""]))
            parts.append(Text(f"and {len(rest):,} more: {said}", style="dim"))
        return Group(*parts)


def _wide(rows: Iterable[_Drawn]) -> RenderableType:
    table = Table(
        Column("Cell", overflow="fold"),
        Column("Time", justify="right", no_wrap=True),
        Column("What happens", ratio=1, overflow="fold"),
        expand=True,
        box=None,
        pad_edge=False,
    )
    for row in rows:
        table.add_row(*row)
    return table


def _narrow(rows: Iterable[_Drawn]) -> Iterator[RenderableType]:
    for cell, time, what in rows:
        yield Text.assemble(cell, "  ", time)
        yield Padding(what, (0, 0, 0, 2))


class LiveProgress:
    """Writes into the table what happens to one cell after the other.

    Args:
        console: a terminal.
        clock: seconds since 1970.
        board: the table of another one, whose cells are measured at the same time.
    """

    def __init__(self, console: Console, clock: Clock, board: Board | None = None) -> None:
        self.board = board or Board(console, clock)
        self._row: Row | None = None

    def planned(self, cells: Sequence[Cell]) -> None:
        """Give every cell its row."""
        for cell in cells:
            self.board.row(cell)

    def cell_started(self, cell: Cell, budget: int) -> None:
        """Draw the table from here on."""
        self._row = self.board.row(cell)
        self._row.start(Tally(cell, budget, self.board.clock))
        self.board.show()

    def cell_taken(self) -> None:
        """Show so beside its verdict."""
        if self._row is not None:
            self._row.taken = True

    def engine_line(self, line: str) -> None:
        """Show the log's last line while the engine starts."""
        if self._row is not None and self._row.tally is not None and not self._row.tally.done:
            self._row.state = printable(line, 300) or self._row.state

    def engine_ready(self, seconds: float) -> None:
        """Show that the engine answers."""
        if self._row is not None:
            self._row.state = f"engine ready after {words.duration(seconds)}"

    def engine_lost(self, reason: str, samples: int) -> None:
        """Show why the samples stand still for a while."""
        if self._row is not None:
            kept = f"engine lost, {count(samples, 'sample')} kept, starting it again"
            self._row.state = self._row.look = f"{kept}: {printable(reason, 300)}"

    def probe_started(self, prompts: int) -> None:
        """Show that the probe is asked."""
        if self._row is not None:
            self._row.state = f"numerics probe: asking {count(prompts, 'prompt')}"

    def sample(self, sample: Sample) -> None:
        """Count it."""
        if self._row is not None and self._row.tally is not None:
            self._row.tally.add(sample)

    def look(self, look: Look) -> None:
        """Show the latest look."""
        if self._row is not None:
            self._row.look = look_words(look)

    def cell_finished(self, result: CellResult) -> None:
        """Show the verdict in place of the samples."""
        self.board.row(result.cell).finish(result, self.board.clock())
        self._row = None

    def stopping(self) -> None:
        """Say above the table that the signal was heard."""
        self.board.console.print(Text(STOPPING), highlight=False)

    def interrupted(self, kept: Sequence[Kept]) -> None:
        """Say below the table what is kept."""
        self.board.hide()
        for line in kept_words(kept):
            self.board.console.print(Text(line), highlight=False)

    def close(self) -> None:
        """Leave the table as it stands and give the cursor back."""
        self.board.hide()

    def apart(self) -> Progress:
        """Another row of the same table."""
        return LiveProgress(self.board.console, self.board.clock, self.board)
