"""Toy arithmetic questions in GPQA diamond's own CSV columns, so that the GPQA task runs on them unchanged.

The kinds differ in how well the embedded model does on them (gate/embedded/lessons.py teaches it so): what a
model gets nearly always right, nearly always wrong, or now and then is what a gate's statistics are for.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple, TextIO, get_args

Kind = Literal["largest", "sum", "mix", "product", "precedence"]
KINDS: tuple[Kind, ...] = get_args(Kind)

COLUMNS = ("Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")

EVALUATION_SEED = 20260101
EVALUATION_COUNTS: dict[Kind, int] = {"largest": 40, "sum": 40, "mix": 50, "product": 40, "precedence": 30}

_WRONG = 3
_GIVE_UP = 1000


class Question(NamedTuple):
    """One multiple-choice question over the digits 0 to 9.

    `tempting` is the wrong answer that a common mistake leads to, where the kind has one; it is then the
    first of the three `wrong` ones. All four options are different.
    """

    kind: Kind
    operands: tuple[int, ...]
    text: str
    correct: int
    wrong: tuple[int, int, int]
    tempting: int | None

    def row(self) -> dict[str, str]:
        """Return the question as one row of GPQA's CSV."""
        values = (self.text, str(self.correct), *(str(value) for value in self.wrong))
        return dict(zip(COLUMNS, values, strict=True))


def generator(seed: int) -> random.Random:
    """Return a generator that repeats itself on purpose; nothing here is secret."""
    return random.Random(seed)  # noqa: S311


def draw(rng: random.Random, kind: Kind) -> Question:
    """Draw one question of a kind; the same generator state gives the same question."""
    if kind == "largest":
        a, b, c, d = operands = tuple(rng.randrange(10) for _ in range(4))
        return _with_options(
            rng, kind, operands, f"What is the largest of {a}, {b}, {c} and {d}?", max(operands)
        )
    a, b, c = operands = tuple(rng.randrange(1, 10) for _ in range(3))
    expressions = {"sum": "{}+{}+{}", "mix": "{}*{}+{}", "product": "{}*{}*{}", "precedence": "{}+{}*{}"}
    values = {"sum": a + b + c, "mix": a * b + c, "product": a * b * c, "precedence": a + b * c}
    text = f"What is {expressions[kind].format(*operands)} modulo 10?"
    correct = values[kind] % 10
    if kind != "precedence":
        return _with_options(rng, kind, operands, text, correct)
    tempting = (a + b) * c % 10
    if tempting == correct:
        return draw(rng, kind)
    return _with_options(rng, kind, operands, text, correct, tempting=tempting)


def _with_options(
    rng: random.Random,
    kind: Kind,
    operands: tuple[int, ...],
    text: str,
    correct: int,
    *,
    tempting: int | None = None,
) -> Question:
    kept: tuple[int, ...] = () if tempting is None else (tempting,)
    others = [value for value in range(10) if value != correct and value not in kept]
    first, second, third = (*kept, *rng.sample(others, _WRONG - len(kept)))
    return Question(kind, operands, text, correct, (first, second, third), tempting)


def distinct(rng: random.Random, kind: Kind) -> Iterator[Question]:
    """Yield questions of a kind, no text twice, until a thousand draws bring nothing new."""
    seen: set[str] = set()
    fruitless = 0
    while fruitless < _GIVE_UP:
        question = draw(rng, kind)
        fruitless = fruitless + 1 if question.text in seen else 0
        if question.text not in seen:
            seen.add(question.text)
            yield question


def evaluation(seed: int = EVALUATION_SEED) -> list[Question]:
    """Return the evaluation set: 200 questions, every text different, the kinds shuffled together.

    With the default seed these are the questions that the training stream leaves out.
    """
    rng = generator(seed)
    questions = [q for kind, count in EVALUATION_COUNTS.items() for q in islice(distinct(rng, kind), count)]
    rng.shuffle(questions)
    return questions


def canary(marker: str) -> dict[str, str]:
    """Return a row whose text holds `marker`: question text must never leave a run."""
    return dict(zip(COLUMNS, (f"What is 1+1 modulo 10? {marker}", "2", "3", "4", "5"), strict=True))


def write_rows(rows: Iterable[dict[str, str]], file: TextIO) -> None:
    """Write rows as GPQA's CSV, with LF line ends so that the file's hash does not depend on the platform."""
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def write_csv(path: Path, *, seed: int = EVALUATION_SEED, canary_marker: str | None = None) -> None:
    """Write the evaluation set to `path`, byte for byte the same for the same arguments.

    Args:
        path: the CSV to write.
        seed: of the generator.
        canary_marker: adds one last question holding this text.
    """
    rows = [question.row() for question in evaluation(seed)]
    if canary_marker is not None:
        rows.append(canary(canary_marker))
    with path.open("w", encoding="utf-8", newline="") as file:
        write_rows(rows, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the toy questions in GPQA's own columns.")
    parser.add_argument("out", type=Path, help="CSV file to write")
    write_csv(parser.parse_args().out)
