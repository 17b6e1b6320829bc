"""Groups of questions (a subject, a domain): names from one column of the data set, never question text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from gate.errors import DatasetError
from gate.evals.dataset import Dataset, Row
from gate.model.record import GROUP_LETTERS, QuestionGroups

MOST_GROUPS: Final = len(GROUP_LETTERS)
_LONGEST: Final = 64
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9_.:+/-]+")


def groups_of(
    dataset: Dataset, rows: Sequence[Row], questions: Iterable[str], column: str | None
) -> dict[str, str]:
    """Question id -> name of its group; empty without a column.

    Args:
        dataset: where the rows are from.
        rows: of the data set.
        questions: their ids, in the same order.
        column: holds the names; what is neither a letter, a digit nor one of `_.:+/-` becomes `_`.

    Raises:
        DatasetError: the column names more groups than anybody compares, or holds text instead of names.
    """
    if column is None:
        return {}
    found: dict[str, str] = {}
    for question, row in zip(questions, rows, strict=True):
        name = _UNUSUAL.sub("_", str(row.cells[column] or "").strip())
        if len(name) > _LONGEST:
            raise DatasetError(
                f"the column {column!r} holds {len(name)} characters, which is no name of a group",
                where=f"{dataset.where}:{row.line}",
                hint="its names are shown in reports; name another column, or none",
            )
        if name.strip("_"):
            found[question] = name
    if (distinct := len(set(found.values()))) > MOST_GROUPS:
        raise DatasetError(
            f"the column {column!r} names {distinct} groups; at most {MOST_GROUPS} are compared",
            where=dataset.where,
            hint="name a coarser column, or none",
        )
    return found


def grouped(questions: Sequence[str], groups: Mapping[str, str]) -> QuestionGroups | None:
    """The groups as a run record holds them; None where no question has one."""
    names = tuple(sorted({groups[question] for question in questions if question in groups}))
    if not names:
        return None
    letters = dict(zip(names, GROUP_LETTERS, strict=False))
    return QuestionGroups(
        names=names, of="".join(letters[groups[q]] if q in groups else "." for q in questions)
    )
