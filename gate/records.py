"""Run records in files: written all at once, read with a size limit and a strict schema."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from gate.errors import RecordError, StorageError
from gate.files import invalid_field, parse_json, read_bytes, write_bytes
from gate.model.canonical import canonical_json, sha256_of
from gate.model.cell import Cell
from gate.model.record import RunRecord
from gate.model.sample import Finish, Outcome, Sample

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


def read_all(path: Path) -> tuple[RunRecord, ...]:
    """Every record of a folder (*.json, ordered by name), or the one of a file.

    Raises:
        RecordError: a record is wrong, two are of one cell, or there is none.
    """
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise RecordError(
            "holds no run records (*.json)", where=str(path), hint="`gate run --out DIR` writes DIR/records"
        )
    if len(files) > COUNT_LIMIT:
        raise RecordError(
            f"holds {len(files):,} files; at most {COUNT_LIMIT:,} are read",
            where=str(path),
            hint="give a folder with the records of one run",
        )
    found: dict[Cell, Path] = {}
    records = []
    for file in files:
        record = read(file)
        if (earlier := found.setdefault(record.cell, file)) is not file:
            raise RecordError(
                f"is of the cell {record.cell}, and so is {earlier.name}",
                where=str(file),
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
    total = 1 + max((s.repeat for s in samples), default=-1) if repeats is None else repeats
    position = {question: i for i, question in enumerate(questions)}
    outcomes = [[Outcome.NOT_ASKED.value] * len(questions) for _ in range(total)]
    finish = [[Finish.NOT_ASKED.value] * len(questions) for _ in range(total)]
    tokens = [[0] * len(questions) for _ in range(total)]
    for sample in samples:
        column = position.get(sample.question)
        where = f"question {sample.question}, repeat {sample.repeat}"
        if column is None or not 0 <= sample.repeat < total:
            raise RecordError(
                "a sample was not asked for",
                where=where,
                hint="measure again; a record is never mended by hand",
            )
        if outcomes[sample.repeat][column] != Outcome.NOT_ASKED:
            raise RecordError(
                "a sample is there twice", where=where, hint="measure again; a record is never mended by hand"
            )
        outcomes[sample.repeat][column] = sample.outcome.value
        finish[sample.repeat][column] = sample.finish.value
        tokens[sample.repeat][column] = sample.tokens
    return tuple(map("".join, outcomes)), tuple(map(tuple, tokens)), tuple(map("".join, finish))


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
