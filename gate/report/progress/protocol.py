"""What is told of a measurement, and to whom; who says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from gate.evals.parts import Parts
from gate.model.cell import Cell
from gate.model.result import CellResult, Look
from gate.model.sample import Sample


class Kept(NamedTuple):
    """What an interrupted run leaves of one cell: a verdict, samples, and the journal that holds them."""

    cell: Cell
    decided: bool
    samples: int
    journal: Path | Parts | None


class Progress(Protocol):
    """Told what happens, in this order, for one cell after the other; `close` is always called."""

    def planned(self, cells: Sequence[Cell]) -> None:
        """These cells will be measured."""

    def cell_started(self, cell: Cell, budget: int) -> None:
        """A cell is next, with a budget of so many samples."""

    def cell_taken(self) -> None:
        """It is not asked: the record of an earlier run stands."""

    def engine_line(self, line: str) -> None:
        """The engine logged a line."""

    def engine_ready(self, seconds: float) -> None:
        """The engine answers, after so many seconds."""

    def engine_lost(self, reason: str, samples: int) -> None:
        """The engine died or hung and is started again; so many samples are kept."""

    def probe_started(self, prompts: int) -> None:
        """The numerics probe asks its prompts."""

    def sample(self, sample: Sample) -> None:
        """A sample was graded."""

    def look(self, look: Look) -> None:
        """A block was complete and was looked at."""

    def cell_finished(self, result: CellResult) -> None:
        """The cell has its verdict."""

    def stopping(self) -> None:
        """A signal came: the engines are ended, and what was answered is kept."""

    def interrupted(self, kept: Sequence[Kept]) -> None:
        """The run ended early: what is kept of each cell, and how to go on."""

    def close(self) -> None:
        """Nothing more will come: leave the stream or terminal as it was."""

    def apart(self) -> Progress:
        """Another one on the same stream, for a cell that is measured while others are."""


class SilentProgress:
    """Says nothing: for tests and for `--quiet`."""

    def planned(self, cells: Sequence[Cell]) -> None:
        """Say nothing."""

    def cell_started(self, cell: Cell, budget: int) -> None:
        """Say nothing."""

    def cell_taken(self) -> None:
        """Say nothing."""

    def engine_line(self, line: str) -> None:
        """Say nothing."""

    def engine_ready(self, seconds: float) -> None:
        """Say nothing."""

    def engine_lost(self, reason: str, samples: int) -> None:
        """Say nothing."""

    def probe_started(self, prompts: int) -> None:
        """Say nothing."""

    def sample(self, sample: Sample) -> None:
        """Say nothing."""

    def look(self, look: Look) -> None:
        """Say nothing."""

    def cell_finished(self, result: CellResult) -> None:
        """Say nothing."""

    def stopping(self) -> None:
        """Say nothing."""

    def interrupted(self, kept: Sequence[Kept]) -> None:
        """Say nothing: the report names the next step of each cell."""

    def close(self) -> None:
        """Say nothing."""

    def apart(self) -> Progress:
        """The same: there is nothing to tell apart."""
        return self
