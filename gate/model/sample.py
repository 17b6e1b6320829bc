"""One graded answer, and the characters that stand for it in a run record."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """What became of one sample, as one character of a run record."""

    CORRECT = "1"
    WRONG = "0"
    INVALID = "x"
    NOT_ASKED = "."


class Finish(StrEnum):
    """Why the engine stopped, as one character of a run record."""

    STOP = "s"
    LENGTH = "l"
    REPETITION = "r"
    TIMEOUT = "t"
    OTHER = "o"
    NOT_ASKED = "."


class Sample(NamedTuple):
    """One graded answer; never its text."""

    question: str
    repeat: int
    outcome: Outcome
    tokens: int
    finish: Finish
