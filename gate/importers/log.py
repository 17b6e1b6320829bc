"""What a harness's log says, whichever harness wrote it; never a question's or an answer's text.

Readers hash texts where they meet them and hand on nothing else. What a log does not hold is left out, so
that whoever builds a record from it asks the config, and invents nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from gate.errors import RecordError
from gate.files import invalid_field, parse_json, read_bytes
from gate.model.canonical import sha256_of
from gate.model.sample import Finish, Outcome
from gate.sequence import question_id
from gate.settings import ChoiceColumns

FILE_LIMIT: Final = 4_000_000_000
"""Bytes of one log file. A log of 14,042 questions with the reasoning of 8 answers to each has about 1 GB."""

LINE_LIMIT: Final = 64_000_000
_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")

Model = TypeVar("Model", bound=BaseModel)


class LogPart(BaseModel):
    """A piece of a foreign log: the fields that are read are checked, all others are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Question(NamedTuple):
    """A question as hashes: its id, and all that is known of it, in whatever order its options stood."""

    id: str
    content: str


class LoggedSample(NamedTuple):
    """One graded answer of a log.

    `answer` is the hash of its text, by which copies are recognised; `repeat` None where the log does not
    number them.
    """

    question: Question
    repeat: int | None
    outcome: Outcome
    answer: str
    tokens: int = 0
    finish: Finish = Finish.OTHER


class HarnessLog(NamedTuple):
    """One run of a harness.

    `settings` holds what the log says of sampling (fields of the fingerprint by name), `protocol` everything
    that makes two runs ask and grade alike, `lacks` what no sample of this log says. `repeats` is how often
    the log says that it asks, None where it does not. `notes` are for the provenance.
    """

    harness: str
    where: str
    version: str | None
    benchmark: str
    metric: str
    model: str | None
    settings: Mapping[str, Any]
    protocol: Any
    samples: tuple[LoggedSample, ...]
    repeats: int | None = None
    date: str | None = None
    seconds: float = 0.0
    lacks: tuple[str, ...] = ()
    notes: Mapping[str, str] = {}


class Wanted(NamedTuple):
    """What is asked of a log: which benchmark, which metric (None: the only one), which columns.

    `accept_empty` takes empty answers for answers where the log cannot tell them from refused requests.
    """

    benchmark: str
    metric: str | None
    columns: ChoiceColumns
    accept_empty: bool = False


Reader = Callable[[Sequence[Path], Wanted], HarnessLog]


def question(text: str, correct: str, others: Iterable[str] = ()) -> Question:
    """A question from its texts, which go no further."""
    return Question(question_id(text, correct), sha256_of([text.strip(), correct.strip(), sorted(others)]))


def outcome_of(*, correct: bool, readable: bool = True, finish: Finish = Finish.OTHER) -> Outcome:
    """Correct, wrong, or invalid: no answer could be read, or it was cut off before a right one."""
    if correct:
        return Outcome.CORRECT
    cut_off = finish in (Finish.LENGTH, Finish.REPETITION)
    return Outcome.WRONG if readable and not cut_off else Outcome.INVALID


def without_addresses(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """The value without the memory addresses that `repr` leaves in texts: they differ from run to run."""
    if isinstance(value, str):
        return _ADDRESS.sub("", value)
    if isinstance(value, dict):
        return {key: without_addresses(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_addresses(inner) for inner in value]
    return value


def one_path(paths: Sequence[Path], harness: str) -> Path:
    """The only path; raises RecordError where several are given to a harness whose log holds every repeat."""
    if len(paths) != 1:
        raise RecordError(
            f"{len(paths)} logs are named, but one of {harness} holds every repeat of a run",
            where=str(paths[1]) if len(paths) > 1 else None,
            hint="import one run at a time",
        )
    if not paths[0].exists():
        raise RecordError("is not there", where=str(paths[0]), hint="check the path of the log")
    return paths[0]


def the_file(path: Path, pattern: str, what: str, hint: str) -> Path:
    """`path` itself, or the one file below it that fits the pattern; raises RecordError."""
    if path.is_file():
        return path
    found = sorted(path.rglob(pattern))
    if len(found) > 1:
        raise RecordError(
            f"holds {len(found)} of {what}", where=str(path), hint=f"name one of them, such as {found[0]}"
        )
    if not found:
        raise RecordError(f"holds no {what}", where=str(path), hint=hint)
    return found[0]


def read_json(path: Path, model: type[Model]) -> Model:
    """A whole JSON file; raises RecordError with file and field, never with what the field holds."""
    return parse(read_bytes(path, limit=FILE_LIMIT, error=RecordError), model, where=str(path))


def read_lines(path: Path, model: type[Model]) -> Iterable[tuple[str, Model]]:
    """Every line of a JSON Lines file with its `file:line`; one line at a time is held.

    Raises:
        RecordError: the file cannot be read, or a line is truncated, not JSON or lacks a field.
    """
    try:
        with path.open("rb") as file:
            for number, line in enumerate(iter(lambda: file.readline(LINE_LIMIT), b""), start=1):
                if line.strip():
                    where = f"{path}:{number}"
                    yield where, parse(line, model, where=where, located=True)
    except OSError as problem:
        raise RecordError(
            f"cannot be read: {problem.strerror}",
            where=str(path),
            hint="check the path, and whether this user may read it",
        ) from problem


def parse(data: bytes, model: type[Model], *, where: str, located: bool = False) -> Model:
    """JSON bytes as a `model`; raises RecordError with the field.

    Args:
        data: the bytes.
        model: what they should be.
        where: names them in errors.
        located: `where` says the line already.
    """
    try:
        value = parse_json(data, where=where, error=RecordError)
    except RecordError as problem:
        if located and problem.where:
            problem.where = where
        raise
    try:
        # Not `strict` from Python values: JSON knows no tuple.
        return model.model_validate(value)
    except ValidationError as problem:
        raise RecordError(
            f"is not what this harness writes: {invalid_field(problem)}",
            where=where,
            hint="check the format that you named; docs/importing.md lists the versions that were tried",
        ) from None
