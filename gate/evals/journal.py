"""The journal of a sequence: one line a sample, so that nothing is asked twice after a crash.

It holds no answer text. A line is one `write` to a file opened for appending: after a kill -9 at most the
last line is torn, and that sample is asked again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from gate.errors import RecordError, StorageError
from gate.model.canonical import canonical_json
from gate.model.sample import Finish, Outcome, Sample

JOURNAL_SCHEMA: Final = "vllm-eval-gate/journal/1"
_OUTCOMES: Final = {outcome.value: outcome for outcome in Outcome if outcome is not Outcome.NOT_ASKED}
_FINISHES: Final = {finish.value: finish for finish in Finish if finish is not Finish.NOT_ASKED}
_FIELDS: Final = frozenset({"q", "r", "o", "t", "f"})
_ID_DIGITS: Final = frozenset("0123456789abcdef")
_ID_LENGTH: Final = 12
_HEADER_LIMIT: Final = 100_000


class Journal:
    """An open journal; a context manager. Use `Journal.open`."""

    def __init__(self, path: Path, descriptor: int, samples: dict[tuple[str, int], Sample]) -> None:
        self.path = path
        self._descriptor = descriptor
        self._samples = samples

    @classmethod
    def open(cls, path: Path, key: Mapping[str, Any]) -> Journal:
        """The journal at `path`, made if need be, with the samples that it already holds.

        Args:
            path: a JSON Lines file; its folder is made.
            key: what identifies the sequence (head SHA, base SHA, cell, baseline hash, ...): JSON values.

        Raises:
            RecordError: it belongs to another sequence, contradicts itself, or another process writes it.
            StorageError: the file system refuses.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(
                f"cannot be written: {error.strerror}",
                where=str(path),
                hint="make the --out folder writable, free some space there, or give another one",
            ) from error
        try:
            _lock(descriptor, path)
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            os.ftruncate(descriptor, whole)
            samples = read_lines(content[:whole], str(path), key)
            journal = cls(path, descriptor, samples)
            if not whole:
                journal._write(header(key))
                journal.sync()
        except BaseException:
            os.close(descriptor)
            raise
        return journal

    @staticmethod
    def stored_key(path: Path) -> Mapping[str, Any] | None:
        """The key in the header of the journal at `path`; None where there is no whole header."""
        if not path.is_file():
            return None
        with path.open("rb") as lines:
            first = lines.readline(_HEADER_LIMIT)
        return header_key(first) if first.endswith(b"\n") else None

    @property
    def samples(self) -> Mapping[tuple[str, int], Sample]:
        """Every sample so far, by (question, repeat); a live view."""
        return MappingProxyType(self._samples)

    def append(self, sample: Sample) -> None:
        """Write one sample.

        Raises:
            RecordError: it is there already.
            StorageError: the file system refuses.
        """
        place = (sample.question, sample.repeat)
        if place in self._samples:
            raise RecordError(
                f"question {sample.question}, repeat {sample.repeat} twice",
                where=str(self.path),
                hint="report this as a bug of the gate, with the journal",
            )
        self._write(
            {
                "q": sample.question,
                "r": sample.repeat,
                "o": sample.outcome.value,
                "t": sample.tokens,
                "f": sample.finish.value,
            }
        )
        self._samples[place] = sample

    def sync(self) -> None:
        """Have the disk hold what was written; for the end of a block. Raises StorageError."""
        try:
            os.fsync(self._descriptor)
        except OSError as error:  # some file systems find no room only now
            raise StorageError(
                f"cannot be written: {error.strerror}",
                where=str(self.path),
                hint="free some space: the same command goes on from what is in it",
            ) from error

    def close(self) -> None:
        """Sync and close; more than once does no harm."""
        if self._descriptor >= 0:
            self.sync()
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, record: Mapping[str, Any]) -> None:
        line = canonical_json(record).encode() + b"\n"
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise StorageError(
                f"cannot be written: {error.strerror}",
                where=str(self.path),
                hint="free some space: the same command goes on from what is in it",
            ) from error
        if written != len(line):
            raise StorageError(
                "only a part of a line could be written",
                where=str(self.path),
                hint="free some space: the same command goes on from what is in it",
            )


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise RecordError(
            "another process is measuring this sequence", where=str(path), hint="wait for it, or end it"
        ) from error


def header(key: Mapping[str, Any]) -> dict[str, Any]:
    """The first line of a journal, as a record."""
    return {"key": dict(key), "schema": JOURNAL_SCHEMA}


def header_key(line: bytes) -> Mapping[str, Any] | None:
    """The key in a journal's first line; None where it is no such line."""
    key = _decoded(line.decode(errors="replace")).get("key")
    return key if isinstance(key, dict) else None


def read_lines(content: bytes, path: str, key: Mapping[str, Any]) -> dict[tuple[str, int], Sample]:
    """The samples of a journal's whole lines; `path` names it in errors.

    Raises:
        RecordError: it belongs to another sequence, or a line is no sample, or one that is there already.
    """
    if not content:
        return {}
    # Bytes that are no text are no sample either: one decoding of the whole is several times faster.
    first, *lines = content.decode(errors="replace").split("\n")[:-1]
    _check_header(_decoded(first), path, key)
    samples: dict[tuple[str, int], Sample] = {}
    for number, line in enumerate(lines, start=2):
        sample = _sample(_decoded(line))
        if sample is None:
            hint = "remove the file to ask anew"
            raise RecordError("not a sample", where=f"{path}:{number}", hint=hint)
        place = (sample.question, sample.repeat)
        if place in samples:
            raise RecordError(
                f"question {sample.question}, repeat {sample.repeat} twice",
                where=f"{path}:{number}",
                hint="remove the file to ask anew",
            )
        samples[place] = sample
    return samples


def _decoded(line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _check_header(header: dict[str, Any], path: str, key: Mapping[str, Any]) -> None:
    if header.get("schema") != JOURNAL_SCHEMA:
        raise RecordError(
            f"the schema is not {JOURNAL_SCHEMA}",
            where=f"{path}:1",
            hint="it was written by another version of the gate: remove the file to ask anew",
        )
    stored = header.get("key")
    stored = stored if isinstance(stored, dict) else {}
    wanted = json.loads(canonical_json(dict(key)))
    differing = sorted(name for name in stored.keys() | wanted if stored.get(name) != wanted.get(name))
    if differing:
        raise RecordError(
            f"the journal belongs to another sequence: {', '.join(differing)} differ",
            where=path,
            hint="give another --out, or remove the journal to start anew",
        )


def _sample(record: dict[str, Any]) -> Sample | None:
    question, repeat, tokens = record.get("q"), record.get("r"), record.get("t")
    outcome, finish = _OUTCOMES.get(str(record.get("o"))), _FINISHES.get(str(record.get("f")))
    if (
        record.keys() != _FIELDS
        or not isinstance(question, str)
        or len(question) != _ID_LENGTH
        or not _ID_DIGITS.issuperset(question)
        or type(repeat) is not int
        or type(tokens) is not int
        or min(repeat, tokens) < 0
        or outcome is None
        or finish is None
    ):
        return None
    return Sample(question, repeat, outcome, tokens, finish)
