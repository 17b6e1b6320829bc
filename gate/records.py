"""Run records in files: written all at once, read with a size limit and a strict schema."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from gate.errors import RecordError, StorageError
from gate.files import invalid_field, parse_json, read_bytes, write_bytes
from gate.model.canonical import canonical_json, sha256_of
from gate.model.cell import Cell
from gate.model.record import RunRecord
from gate.model.sample import Finish, Outcome, Sample
from gate.objects import Objects, objects_at

SIZE_LIMIT: Final = 32_000_000
COUNT_LIMIT: Final = 1_000
KEPT: Final = "make the folder writable, or free some space, and run it again: the journal is kept"


def record_path(folder: Path, cell: Cell) -> Path:
    """Where the record of a cell lies in a folder of records."""
    return folder / f"{cell.file_stem}.json"


def write(path: Path, record: RunRecord) -> None:
    """Write the record as canonical JSON, all at once; raises StorageError."""
    text = canonical_json(record.model_dump(mode="json", by_alias=True)) + "\n"
    write_bytes(path, text.encode(), error=StorageError, hint=KEPT)


def read(path: Path) -> RunRecord:
    """The record in `path`; nothing in it is believed that can be checked.

    Raises:
        RecordError: missing, over 32 MB, not JSON, of another schema, or contradicting itself; names the file
            and the field.
    """
    return parse(read_bytes(path, limit=SIZE_LIMIT, error=RecordError), where=str(path))


def parse(data: bytes, *, where: str) -> RunRecord:
    """The record in these bytes; `where` names them in errors."""
    parse_json(data, where=where, error=RecordError)
    try:
        record = RunRecord.model_validate_json(data, strict=True)
    except ValidationError as problem:
        raise RecordError(
            invalid_field(problem), where=where, hint="measure again; a record is never mended by hand"
        ) from problem
    if contradiction := _contradiction(record):
        raise RecordError(
            f"contradicts itself: {contradiction}",
            where=where,
            hint="measure again; a record is never mended by hand",
        )
    return record


class Unread(NamedTuple):
    """A record where it lies: the name of its file, where that is, and what reads it as `read` does."""

    name: str
    where: str
    read: Callable[[], RunRecord]


def place_of(text: str) -> Path | Objects:
    """Where records lie: a path, or the URL that `gate run --store` was given; raises UsageError."""
    return objects_at(text) if "://" in text else Path(text)


def shown(place: Path | Objects) -> str:
    """A place for people."""
    return str(place) if isinstance(place, Path) else place.url


def files_of(*paths: Path) -> list[Unread]:
    """The records in these files."""
    return [Unread(path.name, str(path), partial(read, path)) for path in paths]


def stored_in(objects: Objects) -> list[Unread]:
    """The records that runs left in a store, ordered by name; raises StorageError."""
    names = [name for name in objects.names("records") if name.endswith(".json")]
    return [
        Unread(Path(name).name, f"{objects.url}/{name}", partial(_read_stored, objects, name))
        for name in names
    ]


def _read_stored(objects: Objects, name: str) -> RunRecord:
    where, data = f"{objects.url}/{name}", objects.read([name]).get(name)
    if data is None:
        raise RecordError(
            "was removed while the records were read",
            where=where,
            hint="run it again once nobody writes there",
        )
    if len(data) > SIZE_LIMIT:
        raise RecordError(
            f"{len(data):,} bytes, but at most {SIZE_LIMIT:,} are read",
            where=where,
            hint="that is no run record: give the URL that `gate run --store` was given",
        )
    return parse(data, where=where)


def read_all(place: Path | Objects) -> tuple[RunRecord, ...]:
    """Every record of a folder (*.json, ordered by name) or of a store, or the one of a file.

    Raises:
        RecordError: a record is wrong, two are of one cell, or there is none.
        StorageError: the store cannot be used.
    """
    if isinstance(place, Path):
        files = files_of(*(sorted(place.glob("*.json")) if place.is_dir() else [place]))
    else:
        files = stored_in(place)
    if not files:
        raise RecordError(
            "holds no run records (*.json)",
            where=shown(place),
            hint="`gate run --out DIR` writes DIR/records",
        )
    if len(files) > COUNT_LIMIT:
        raise RecordError(
            f"holds {len(files):,} files; at most {COUNT_LIMIT:,} are read",
            where=shown(place),
            hint="give a folder with the records of one run",
        )
    found: dict[Cell, Unread] = {}
    records = []
    for file in files:
        record = file.read()
        if (earlier := found.setdefault(record.cell, file)) is not file:
            raise RecordError(
                f"is of the cell {record.cell}, and so is {earlier.name}",
                where=file.where,
                hint="keep the one that counts in the folder, and move the other out",
            )
        records.append(record)
    return tuple(records)


def matrices(
    questions: Sequence[str], samples: Sequence[Sample], repeats: int | None = None
) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...], tuple[str, ...]]:
    """Outcomes, tokens and finish of a run record: one entry a repeat, each of length Q.

    Args:
        questions: Q ids in the record's order.
        samples: in any order, each (question, repeat) once; what is missing becomes `.` and 0 tokens.
        repeats: how many entries; by default up to the last repeat that has a sample.

    Raises:
        RecordError: a sample is there twice, or is of an unknown question or repeat.
    """
    answers = Answers(questions, repeats)
    answers.add(samples)
    return answers.outcomes, answers.tokens, answers.finish


class Answers:
    """Samples as a run record holds them; adding some costs what they are, not what is there already.

    Args:
        questions: Q ids in the record's order.
        repeats: how many entries; by default up to the last repeat that has a sample.
    """

    def __init__(self, questions: Sequence[str], repeats: int | None = None) -> None:
        self._column = {question: i for i, question in enumerate(questions)}
        self._declared = repeats
        self._outcomes: list[list[str]] = []
        self._tokens: list[list[int]] = []
        self._finish: list[list[str]] = []
        self._told: list[str] = []
        self._stale: set[int] = set()
        self._grow(repeats or 0)

    def add(self, samples: Iterable[Sample]) -> None:
        """Put each in its place.

        Raises:
            RecordError: a sample is there already, or is of an unknown question or repeat.
        """
        for sample in samples:
            repeat = sample.repeat
            column = self._column.get(sample.question)
            if column is None or repeat < 0 or (self._declared is not None and repeat >= self._declared):
                raise RecordError(
                    "a sample was not asked for",
                    where=_place(sample),
                    hint="measure again; a record is never mended by hand",
                )
            if repeat >= len(self._outcomes):
                self._grow(repeat + 1)
            row = self._outcomes[repeat]
            if row[column] != Outcome.NOT_ASKED:
                raise RecordError(
                    "a sample is there twice",
                    where=_place(sample),
                    hint="measure again; a record is never mended by hand",
                )
            row[column] = sample.outcome
            self._finish[repeat][column] = sample.finish
            self._tokens[repeat][column] = sample.tokens
            self._stale.add(repeat)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """One string of Q characters a repeat."""
        for repeat in self._stale:
            self._told[repeat] = "".join(self._outcomes[repeat])
        self._stale.clear()
        return tuple(self._told)

    @property
    def tokens(self) -> tuple[tuple[int, ...], ...]:
        """Q numbers a repeat."""
        return tuple(map(tuple, self._tokens))

    @property
    def finish(self) -> tuple[str, ...]:
        """One string of Q characters a repeat."""
        return tuple(map("".join, self._finish))

    def _grow(self, repeats: int) -> None:
        total = len(self._column)
        for _ in range(len(self._outcomes), repeats):
            self._outcomes.append([Outcome.NOT_ASKED] * total)
            self._tokens.append([0] * total)
            self._finish.append([Finish.NOT_ASKED] * total)
            self._told.append(Outcome.NOT_ASKED * total)


def _place(sample: Sample) -> str:
    return f"question {sample.question}, repeat {sample.repeat}"


def _contradiction(record: RunRecord) -> str | None:
    if record.cell != record.fingerprint.cell:
        return f"cell is {record.cell}, but the fingerprint's is {record.fingerprint.cell}"
    if sha256_of(list(record.questions)) != record.fingerprint.questions_sha256:
        return "questions do not hash to fingerprint.questions_sha256"
    if any(later <= earlier for earlier, later in itertools.pairwise((0, *record.look_at))):
        return "look_at must ascend"
    for repeat, rows in enumerate(zip(record.outcomes, record.tokens, record.finish, strict=True)):
        for index, (outcome, tokens, finish) in enumerate(zip(*rows, strict=True)):
            asked = outcome != Outcome.NOT_ASKED
            if asked != (finish != Finish.NOT_ASKED) or tokens < 0 or (tokens > 0 and not asked):
                return f"outcomes, tokens and finish disagree in repeat {repeat}, question {index}"
    return None
