"""Multiple choice: options in a random order, an answer read as a letter; any CSV or JSONL file of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gate.errors import DatasetError
from gate.evals.answers import read_letter
from gate.evals.dataset import Dataset, Fetch, Row, download, load_dataset, read_csv, read_jsonl
from gate.evals.endpoints import Asker
from gate.evals.groups import groups_of
from gate.evals.task import Answer, Endpoint, Request
from gate.model.canonical import sha256_of
from gate.model.sample import Finish, Outcome
from gate.sequence import option_permutation, question_id, sample_seed

if TYPE_CHECKING:
    from gate.settings import ChoiceColumns, TaskSettings

_LETTERS: Final = "ABCDEFGHIJ"
_MAX_OPTIONS: Final = len(_LETTERS)

Order = Callable[[str, str, int, int], Sequence[int]]
"""(stream, question id, repeat, number of options) -> which option stands in each place."""


class Item(NamedTuple):
    """A question, its options, and the index of the right one; its repr hides the text."""

    question: str
    options: tuple[str, ...]
    correct: int

    def __repr__(self) -> str:
        return f"Item({len(self.options)} options)"


class Remembering:
    """`option_permutation` with a memory, which stays behind where a task is sent to another process."""

    def __init__(self) -> None:
        self._drawn = lru_cache(4096)(option_permutation)

    def __call__(self, stream: str, question: str, repeat: int, options: int) -> tuple[int, ...]:
        """See `Order`."""
        return self._drawn(stream, question, repeat, options)

    def __reduce__(self) -> tuple[type[Remembering], tuple[()]]:
        return Remembering, ()


@dataclass(frozen=True, kw_only=True)
class ChoiceTask:
    """A multiple-choice task (see `gate.evals.task.Task`).

    Attributes:
        read: the letter that a text settles on, or None.
        groups: question id -> name of its group, where the data set has groups.
        as_gpt_oss: grade what there is of a truncated answer, and of two options with the right text only
            the first is right, as in gpt_oss.evals.
    """

    name: str
    protocol: str
    grader: str
    dataset_sha256: str
    asker: Asker = field(repr=False)
    items: Mapping[str, Item] = field(repr=False)
    # Asked for twice a sample, by `request` and by `grade`; what is in flight fits several times.
    order: Order = field(repr=False, default_factory=Remembering)
    read: Callable[[str, str], str | None] = field(repr=False, default=read_letter)
    as_gpt_oss: bool = False
    groups: Mapping[str, str] = field(default_factory=dict)

    @property
    def endpoint(self) -> Endpoint:
        """Which of the engine's endpoints is asked."""
        return self.asker.endpoint

    @property
    def max_tokens(self) -> int | None:
        """The token limit that is sent, if any."""
        return self.asker.sampling.max_tokens

    @property
    def prompt_sha256(self) -> str:
        """SHA-256 of the prompt around a question."""
        return sha256_of(render("{question}", ["{A}", "{B}", "{C}", "{D}"]))

    @property
    def questions(self) -> tuple[str, ...]:
        """Question ids, ascending."""
        return tuple(sorted(self.items))

    @property
    def chance(self) -> float:
        """Accuracy of guessing: the mean of 1 / number of options."""
        return sum(1 / len(item.options) for item in self.items.values()) / len(self.items)

    def request(self, question_id: str, repeat: int, stream: str) -> Request:
        """The request of one sample."""
        options = self._ordered(question_id, repeat, stream)
        prompt = render(self.items[question_id].question, options)
        return self.asker.request(prompt, sample_seed(stream, question_id, repeat))

    def grade(self, question_id: str, repeat: int, stream: str, answer: Answer) -> Outcome:
        """Correct if the letter read stands before the right option's text; invalid if none is read.

        A truncated answer is invalid whatever it says so far; with `as_gpt_oss` it is correct if what
        there is of it is.
        """
        whole = answer.finish is Finish.STOP
        if not whole and not self.as_gpt_oss:
            return Outcome.INVALID
        item, options = self.items[question_id], self._ordered(question_id, repeat, stream)
        letters = _LETTERS[: len(options)]
        right = item.options[item.correct]
        accepted = [letter for letter, text in zip(letters, options, strict=True) if text == right]
        letter = self.read(answer.text, letters)
        if letter in (accepted[:1] if self.as_gpt_oss else accepted):
            return Outcome.CORRECT
        return Outcome.WRONG if letter and whole else Outcome.INVALID

    def _ordered(self, question: str, repeat: int, stream: str) -> tuple[str, ...]:
        options = self.items[question].options
        return tuple(options[i] for i in self.order(stream, question, repeat, len(options)))


def render(question: str, options: Sequence[str]) -> str:
    """The prompt: question, options as (A), (B), ..., and what to answer; for four options GPQA's."""
    letters = _LETTERS[: len(options)]
    lines = "\n".join(f"({letter}) {option}" for letter, option in zip(letters, options, strict=True))
    listed = ", ".join(f"'{letter}'" for letter in letters[:-1])
    last = f"or '{letters[-1]}'"
    return f"{question}\n\n{lines}\n\nExpress your final answer as the corresponding option {listed}, {last}."


def load_choices(
    settings: TaskSettings,
    asker: Asker,
    *,
    dataset_path: Path | None,
    cache_dir: Path,
    fetch: Fetch = download,
) -> ChoiceTask:
    """A multiple-choice task from any CSV or JSONL file; its columns' names come from the settings.

    Raises:
        DatasetError: the file is missing, altered or malformed.
    """
    dataset = load_dataset(
        path=dataset_path,
        dataset=settings.dataset,
        sha256=settings.dataset_sha256,
        published=None,
        cache_dir=cache_dir,
        fetch=fetch,
    )
    columns = settings.columns
    options = (columns.correct, *(() if columns.choices else columns.incorrect))
    names = (columns.question, *options, *filter(None, (columns.choices, columns.group)))
    jsonl = Path(dataset.where).suffix in {".jsonl", ".json", ".ndjson"}
    rows = read_jsonl(dataset, names) if jsonl else read_csv(dataset, names)
    items = by_id(dataset, rows, [_item(f"{dataset.where}:{row.line}", row, columns) for row in rows])
    return ChoiceTask(
        name=settings.name,
        protocol=settings.protocol,
        grader="gate-letter/1",
        dataset_sha256=dataset.sha256,
        asker=asker.limited(None),
        items=first_ids(items, settings.num_questions),
        groups=groups_of(dataset, rows, items, columns.group),
    )


def by_id(dataset: Dataset, rows: Sequence[Row], items: Sequence[Item]) -> dict[str, Item]:
    """Items by question id, in the file's order.

    Raises:
        DatasetError: the same question, with the same answer, twice.
    """
    result: dict[str, Item] = {}
    lines: dict[str, int] = {}
    for row, item in zip(rows, items, strict=True):
        name = question_id(item.question, item.options[item.correct])
        if name in result:
            raise DatasetError(
                f"the question is the same as that of line {lines[name]}",
                where=f"{dataset.where}:{row.line}",
                hint="remove one of the two rows: each question counts once",
            )
        result[name], lines[name] = item, row.line
    return result


def first_ids(items: Mapping[str, Item], number: int | None) -> dict[str, Item]:
    """The `number` items with the smallest ids: ids are hashes, so this is a random but fixed subset."""
    return {name: items[name] for name in sorted(items)[:number]}


def _item(where: str, row: Row, columns: ChoiceColumns) -> Item:
    question = row.cells[columns.question]
    if not isinstance(question, str) or not question.strip():
        raise DatasetError(
            f"the column {columns.question!r} holds no text",
            where=where,
            hint="correct the row, or name another column under `task: {columns: ...}`",
        )
    if columns.choices is None:
        options = tuple(str(row.cells[name]) for name in (columns.correct, *columns.incorrect))
        correct: int | None = 0
    else:
        options = _listed(row.cells[columns.choices], columns.choices, where)
        correct = _correct(row.cells[columns.correct], options)
    if correct is None:
        raise DatasetError(
            f"the column {columns.correct!r} names none of the {len(options)} options",
            where=where,
            hint="it holds an option's letter, its index from 0, or its text",
        )
    if not 2 <= len(options) <= _MAX_OPTIONS:  # noqa: PLR2004 - one option is no choice
        raise DatasetError(
            f"{len(options)} options; 2 to {_MAX_OPTIONS} can be asked",
            where=where,
            hint="give the row between two options and that many",
        )
    if len(set(options)) != len(options):
        raise DatasetError(
            "two options are the same", where=where, hint="make the options differ, or remove the row"
        )
    return Item(question, options, correct)


def _listed(cell: Any, column: str, where: str) -> tuple[str, ...]:  # noqa: ANN401 - any JSON value
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except ValueError:
            cell = None
    if not isinstance(cell, list):
        raise DatasetError(
            f"the column {column!r} holds no JSON list",
            where=where,
            hint="write the options as a JSON list of texts, or as columns of their own",
        )
    return tuple(str(option) for option in cell)


def _correct(cell: Any, options: Sequence[str]) -> int | None:  # noqa: ANN401 - any JSON value
    """Index of the right option: an exact text first, since options may themselves be letters or digits."""
    text = str(cell).strip()
    texts = [option.strip() for option in options]
    if not isinstance(cell, int) and text in texts:
        return texts.index(text)
    letters = _LETTERS[: len(options)]
    if len(text) == 1 and text.upper() in letters:
        return letters.index(text.upper())
    if text.isascii() and text.isdigit() and int(text) < len(options):
        return int(text)
    return None
