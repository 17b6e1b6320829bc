"""A journal as numbered objects: any node goes on with any cell, and no two write the same one.

The journal's lines are the same as in a file. A part is created, never changed, and only where there is none
of its number: who comes second with a number learns at that moment that somebody else writes, and stops.
That alone keeps two writers from ever mixing samples; it needs no clock. The object `owner.json` only saves
work: while it is fresh (LEASE_SECONDS by this machine's clock) nobody else begins.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from gate.errors import RecordError, StorageError
from gate.evals.journal import Journal, header, header_key, read_lines
from gate.model.canonical import canonical_json
from gate.model.sample import Sample
from gate.objects import Objects
from gate.serving.processes import Remembered, find, remember

LEASE_SECONDS: Final = 60.0
REFRESH_SECONDS: Final = 15.0
FLUSH_SECONDS: Final = 5.0
"""What a killed process loses at most: samples that are asked again."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


class Parts(NamedTuple):
    """Where the parts of one journal are; used as a path is."""

    objects: Objects
    folder: str

    def __str__(self) -> str:
        return f"{self.objects.url}/{self.folder}"

    @property
    def owner(self) -> str:
        """The object that says who writes."""
        return f"{self.folder}/owner.json"

    def part(self, number: int) -> str:
        """The name of a part; they count from 1."""
        return f"{self.folder}/{number:06}.jsonl"

    def numbers(self) -> list[str]:
        """The names of the parts, in their order."""
        return [name for name in self.objects.names(self.folder) if name != self.owner]

    def exists(self) -> bool:
        """Whether there is a part."""
        return bool(self.numbers())

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove the journal, the first part last: without it there is none."""
        names = self.numbers()
        if not names and not missing_ok:
            raise FileNotFoundError(str(self))
        self.objects.remove(names[1:])
        self.objects.remove([*names[:1], self.owner])


def open_journal(where: Path | Parts, key: Mapping[str, Any]) -> Journal:
    """The journal there, made if need be; see `Journal.open`."""
    return PartsJournal.take(where, key) if isinstance(where, Parts) else Journal.open(where, key)


def stored_key(where: Path | Parts) -> Mapping[str, Any] | None:
    """The key of the journal there; None where there is no whole header."""
    if isinstance(where, Path):
        return Journal.stored_key(where)
    first = where.part(1)
    data = where.objects.read([first]).get(first)
    return None if data is None else header_key(data.partition(b"\n")[2].partition(b"\n")[0])


def stored_samples(where: Path | Parts, key: Mapping[str, Any]) -> Mapping[tuple[str, int], Sample]:
    """The samples of the journal there, by (question, repeat), without becoming its writer.

    Raises:
        RecordError: it belongs to another sequence, or contradicts itself.
        StorageError: the store cannot be used.
    """
    content = where.read_bytes() if isinstance(where, Path) else _content(where, where.numbers())
    return read_lines(content[: content.rfind(b"\n") + 1], str(where), key)


class PartsJournal(Journal):
    """An open journal whose lines are collected and written as parts, by a thread of its own."""

    def __init__(
        self, parts: Parts, samples: dict[tuple[str, int], Sample], number: int, writer: str
    ) -> None:
        super().__init__(Path(str(parts)), -1, samples)
        self._parts = parts
        self._number = number
        self._writer = writer
        self._lines: list[bytes] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ending = False
        self._failed: RecordError | None = None
        self._thread = threading.Thread(target=self._write_on, daemon=True)

    @classmethod
    def take(cls, parts: Parts, key: Mapping[str, Any]) -> PartsJournal:
        """Become the writer: read what is there, and make the next part, which ends every other writer.

        Raises:
            RecordError: it belongs to another sequence, contradicts itself, or somebody else writes it.
            StorageError: the store cannot be used.
        """
        _refuse_while_owned(parts)
        names = parts.numbers()
        samples = read_lines(_content(parts, names), str(parts), key)
        journal = cls(parts, samples, len(names), uuid.uuid4().hex)
        journal._create(b"" if names else canonical_json(header(key)).encode() + b"\n")
        journal._thread.start()
        return journal

    def sync(self) -> None:
        """Have the store hold what was appended; raises RecordError where somebody else writes it now."""
        with self._lock:
            self._flush()
        self._raise()

    def close(self) -> None:
        """Write what is left and let the next one begin; more than once does no harm."""
        if self._ending:
            return
        self._ending = True
        self._wake.set()
        self._thread.join()
        try:
            self.sync()
        finally:
            if self._failed is None:
                self._parts.objects.remove([self._parts.owner])

    def _write(self, record: Mapping[str, Any]) -> None:
        self._raise()
        self._lines.append(canonical_json(record).encode() + b"\n")

    def _write_on(self) -> None:
        """Until the end: a part every few seconds, where there are lines, and a sign of life."""
        signed = time.monotonic()
        while not self._wake.wait(FLUSH_SECONDS):
            with self._lock:
                self._flush()
            if self._failed is None and time.monotonic() - signed > REFRESH_SECONDS:
                signed = time.monotonic()
                self._sign()

    def _flush(self) -> None:
        lines, self._lines = self._lines, []
        if not lines or self._failed is not None:
            return
        try:
            self._create(b"".join(lines))
        except RecordError as error:
            self._failed = error

    def _create(self, lines: bytes) -> None:
        number = self._number + 1
        name = self._parts.part(number)
        data = canonical_json({"part": number, "writer": self._writer}).encode() + b"\n" + lines
        # An answer that got lost looks like another writer; its content tells.
        if not self._parts.objects.create(name, data) and self._parts.objects.read([name]).get(name) != data:
            raise RecordError(
                "another process is measuring this sequence now",
                where=str(self._parts),
                hint="nothing is lost: it goes on from the same samples; wait for it",
            )
        self._number = number
        self._sign()

    def _sign(self) -> None:
        try:
            self._parts.objects.put(self._parts.owner, canonical_json(_owner(self._writer)).encode())
        except StorageError as error:
            self._failed = error

    def _raise(self) -> None:
        if self._failed is not None:
            raise self._failed


def _content(parts: Parts, names: Sequence[str]) -> bytes:
    """The journal's lines; raises RecordError where a part is missing."""
    found = parts.objects.read(names)
    if names != [parts.part(number) for number in range(1, len(names) + 1)] or len(found) < len(names):
        raise RecordError("parts are missing", where=str(parts), hint="remove them all to ask the cell anew")
    return b"".join(found[name].partition(b"\n")[2] for name in names)


def _owner(writer: str) -> dict[str, Any]:
    me = remember(os.getpid())
    return {"writer": writer, "machine": _machine(), "process": me, "seen": time.time()}


def _machine() -> str:
    boot = _BOOT.read_text().strip() if _BOOT.exists() else ""
    return f"{socket.gethostname()} {boot}"


def _refuse_while_owned(parts: Parts, clock: Callable[[], float] = time.time) -> None:
    """Raise RecordError while the last writer may still be at work; a dead one on this machine is not."""
    data = parts.objects.read([parts.owner]).get(parts.owner)
    if data is None:
        return
    try:
        owner = json.loads(data)
        left = LEASE_SECONDS - (clock() - owner["seen"])
        process = Remembered(*owner["process"])
        machine = str(owner["machine"])
    except (ValueError, KeyError, TypeError) as torn:
        raise RecordError(
            "says nothing of its writer", where=f"{parts}/owner.json", hint="remove it"
        ) from torn
    if left <= 0 or (machine == _machine() and find(process) is None):
        return
    raise RecordError(
        "another process is measuring this sequence",
        where=str(parts),
        hint=f"wait for it, or, where {machine.split(maxsplit=1)[0]} is gone, {left:.0f} s longer",
    )
