"""Slash commands in a comment: what they say, nothing done yet. Pure.

    /gate status [@SHA]
    /gate rerun [CELL...] [@SHA]
    /gate refresh CELL... [@SHA] --reason "..."

A command begins a line. Quotes and code show commands without giving them. CELL is arch/config/backend with
* and ?, or one of these three names alone.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final, Literal, NamedTuple

from gate.model.cell import Cell

Name = Literal["status", "rerun", "refresh"]

MOST_COMMANDS: Final = 10
MOST_REASON: Final = 500
_NAMES: Final[tuple[Name, ...]] = ("status", "rerun", "refresh")
_COMMAND: Final = re.compile(r" {0,3}/gate(?=\s|$)(.*)")
_FENCE: Final = re.compile(r" {0,3}(`{3,}|~{3,})")
_CELL: Final = re.compile(r"[A-Za-z0-9_.+*?/-]{1,310}")
_SHA: Final = re.compile(r"@[0-9a-fA-F]{7,64}")
# What phones and word processors make of quotes and of two hyphens.
_TYPOGRAPHY: Final = str.maketrans({"“": '"', "”": '"', "„": '"', "—": "--", "\N{NO-BREAK SPACE}": " "})


class Command(NamedTuple):
    """One command. `sha` is in lower case, perhaps the first digits only; None where none was given."""

    name: Name
    cells: tuple[str, ...] = ()
    sha: str | None = None
    reason: str | None = None


class Mistake(NamedTuple):
    """A line that is no command: what is wrong with it, in words that quote nothing of it."""

    problem: str


def parse(body: str) -> tuple[Command | Mistake, ...]:
    """The commands of a comment in their order, at most `MOST_COMMANDS` and one mistake more."""
    found: list[Command | Mistake] = []
    for words in _lines(body):
        if len(found) == MOST_COMMANDS:
            return (*found, Mistake(f"only the first {MOST_COMMANDS} commands of a comment are read"))
        found.append(_command(words))
    return tuple(found)


def matching(patterns: Sequence[str], cells: Sequence[Cell]) -> tuple[Cell, ...]:
    """The cells that any of the patterns names, in the order of `cells`; all of them without a pattern."""
    return tuple(cell for cell in cells if not patterns or any(_names(p, cell) for p in patterns))


def unmatched(patterns: Sequence[str], cells: Sequence[Cell]) -> tuple[str, ...]:
    """The patterns that name no cell."""
    return tuple(p for p in patterns if not any(_names(p, cell) for cell in cells))


def _names(pattern: str, cell: Cell) -> bool:
    if "/" in pattern:
        return fnmatchcase(str(cell), pattern)
    return any(fnmatchcase(part, pattern) for part in (cell.arch, cell.config, cell.backend))


def _lines(body: str) -> Iterator[str]:
    """What follows /gate in the lines that are text: not in code, a quote or an HTML comment."""
    fence, hidden = None, False
    for line in body.splitlines():
        if hidden:
            hidden = "-->" not in line
        elif fence is not None:
            if line.strip().startswith(fence) and not line.strip().strip(fence[0]):
                fence = None
        elif opened := _FENCE.match(line):
            fence = opened[1]
        elif command := _COMMAND.fullmatch(line):
            yield command[1]
        elif "<!--" in line:
            hidden = "-->" not in line.rpartition("<!--")[2]


def _command(text: str) -> Command | Mistake:
    try:
        words = shlex.split(text.translate(_TYPOGRAPHY))
    except ValueError:
        return Mistake('a quote is not closed: write --reason "..." in one line')
    if not words or words[0] not in _NAMES:
        return Mistake(f"the commands are {', '.join(_NAMES[:-1])} and {_NAMES[-1]}")
    name = words.pop(0)
    cells: list[str] = []
    sha = reason = None
    while words:
        word = words.pop(0)
        if word == "--reason" and words:
            reason = words.pop(0)
        elif word.startswith("--reason="):
            reason = word.partition("=")[2]
        elif word.startswith("--"):
            return Mistake(f"{name} does not know one of its options; the only one there is is --reason")
        elif _SHA.fullmatch(word) and sha is None:
            sha = word[1:].lower()
        elif _CELL.fullmatch(word):
            cells.append(word)
        else:
            return Mistake(f"{name}: one of its words is neither a cell nor a commit (@ and its digits)")
    return _checked(name, cells, sha, reason)


def _checked(name: str, cells: Sequence[str], sha: str | None, reason: str | None) -> Command | Mistake:
    said = " ".join(reason.split()) if reason is not None else None
    if name == "refresh" and not cells:
        return Mistake("refresh: name the cells, as arch/config/backend, or one of these names")
    if name == "refresh" and not said:
        return Mistake('refresh: say why with --reason "..."; it stays in the baseline for good')
    if said is not None and len(said) > MOST_REASON:
        return Mistake(f"{name}: a reason has at most {MOST_REASON} characters")
    if name == "status" and cells:
        return Mistake("status: it tells of all cells; leave the names out")
    known: Name = next(n for n in _NAMES if n == name)
    return Command(known, tuple(cells), sha, said or None)
