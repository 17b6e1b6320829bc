"""The engine's output: bytes in, whole lines out, and a log file that cannot fill the disk."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path
from typing import IO, Final

from gate.serving.failure import crash_line, is_root_cause
from gate.serving.warden import ENDED

_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_PORT_TAKEN: Final = re.compile(r"(?i:address already in use)|port is already allocated")
_ENDED: Final = f"gate: {ENDED}"
# The body of a traceback: its last line, which is not indented, says what matters.
_INDENTED: Final = re.compile(r"(?:\([^)]*\) [A-Z]+ \S+ \S+ \[[^\]]*\] )?\s{2,}")
# Pydantic quotes the value that it refuses: a prompt, where a request is malformed.
_QUOTED_INPUT: Final = re.compile(r"(input_value=|'input': ).*")


class LineSplitter:
    r"""Joins pieces of a stream into lines; `\r` of a progress bar ends a line too.

    A line longer than `limit` bytes is cut there and the rest dropped, so that a stream without a line
    end needs no memory.
    """

    def __init__(self, limit: int = 64 * 1024) -> None:
        self._limit = limit
        self._pending = b""
        self._skipping = False

    def feed(self, piece: bytes) -> list[str]:
        """The lines that `piece` completes."""
        *whole, rest = (self._pending + piece).replace(b"\r", b"\n").split(b"\n")
        lines: list[str] = []
        for line in whole:
            if not self._skipping and line:
                lines.append(_text(line[: self._limit]))
            self._skipping = False
        if self._skipping:
            rest = b""
        elif len(rest) > self._limit:
            lines.append(_text(rest[: self._limit]))
            self._skipping, rest = True, b""
        self._pending = rest
        return lines

    def close(self) -> list[str]:
        """The last line, where the stream ended without a line end."""
        rest, self._pending = self._pending, b""
        return [_text(rest)] if rest else []


class LogFile:
    """A log on disk of bounded size: its first part for ever, then the last part in two rotating files.

    `path`, whose folder is made, holds the first `head` bytes (what ran is said at the start); beyond that
    `<path>.tail` and `<path>.tail.1` hold the last `head` to 2 x `head`. A full disk ends the file, never the
    measurement: `error` says why nothing is written.
    """

    def __init__(self, path: Path, *, head: int = 32 * 1024 * 1024) -> None:
        self._head = head
        self._tail = path.with_name(path.name + ".tail")
        self._written = 0
        self._file: IO[bytes] | None = None
        self.error: OSError | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb")
        except OSError as error:
            self.error = error

    def write(self, lines: list[str]) -> None:
        """Append `lines`; the first `OSError` is kept in `error` and ends writing."""
        if self._file is None or not lines:
            return
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            if self._written + len(data) > self._head:
                self._rotate()
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            self.error = error
            self._abandon()
        else:
            self._written += len(data)

    def close(self) -> None:
        """Close the file; harmless twice."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self.error = error
            self._file = None

    def _rotate(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._tail.exists():
            self._tail.replace(self._tail.with_name(self._tail.name + ".1"))
        self._file = self._tail.open("wb")
        self._written = 0

    def _abandon(self) -> None:
        first = self.error
        self.close()
        self.error = first


class LogMemory:
    """What an error message needs of a log: the last lines, the crash line and the root cause."""

    def __init__(self, lines: int = 20, width: int = 300) -> None:
        self._last: deque[str] = deque(maxlen=lines)
        self._width = width
        self.crash: str | None = None
        self.cause: str | None = None
        self.ended: str | None = None
        self.port_taken = False

    def feed(self, line: str) -> None:
        """Take one line."""
        short = line[: self._width]
        if not _INDENTED.match(line):
            self._last.append(short)
        if self.crash is None and crash_line(line):
            self.crash = short
        if self.cause is None and is_root_cause(line):
            self.cause = short
        if line.startswith(_ENDED):
            self.ended = line.removeprefix(_ENDED)
        if "already" in line and _PORT_TAKEN.search(line):
            self.port_taken = True

    def last(self) -> tuple[str, ...]:
        """The last lines, oldest first."""
        return tuple(self._last)


def _text(line: bytes) -> str:
    text = line.decode("utf-8", errors="replace")
    if not text.isprintable():
        text = _CONTROL.sub("", text)
    return _QUOTED_INPUT.sub(r"\1(not shown)", text) if "input" in text else text
