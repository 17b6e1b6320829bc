"""What became of a report after it was posted: a note below the comment's first line. Pure.

An acceptance is recorded when nobody has the report at hand any more; the next report says it as its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from gate.model.cell import Cell
from gate.report import escape
from gate.report.context import Accepted

NOTE_CHARACTERS: Final = 1_000
"""The longest note, with what marks it: a comment leaves so much room for one."""

_START: Final = "<!-- vllm-eval-gate note -->"
_END: Final = "<!-- vllm-eval-gate end of note -->"
_NOTE: Final = re.compile(rf"{_START}\n.*?\n{_END}\n\n", re.DOTALL)
_MOST_CELLS: Final = 3


def with_note(comment: str, note: str) -> str:
    """The comment with this note below its first line, in place of the one that may be there."""
    first, _, rest = _NOTE.sub("", comment).partition("\n\n")
    return f"{first}\n\n{_START}\n{note}\n{_END}\n\n{rest}"


def has_note(comment: str) -> bool:
    """Whether something was noted since the report was posted."""
    return _NOTE.search(comment) is not None


def accepted_note(accepted: Mapping[Cell, Accepted], head_sha: str) -> str:
    """Who accepted which regressions of a commit, and why; without the reasons where they are too long."""
    groups: dict[Accepted, list[Cell]] = {}
    for cell, said in accepted.items():
        groups.setdefault(said, []).append(cell)
    void = f"For {escape.code(head_sha[:12])} only: a push makes it void."
    whole = "\n".join(
        [
            f"> **Accepted by {_person(said)}:** {_named(cells)}: {escape.prose(said.reason)}  "
            for said, cells in groups.items()
        ]
        + [f"> {void}"]
    )
    if len(with_note("", whole)) <= NOTE_CHARACTERS:
        return whole
    people = list(dict.fromkeys(_person(said) for said in groups))[:_MOST_CELLS]
    more = " and others" if len({said.by for said in groups}) > len(people) else ""
    return (
        f"> **{len(accepted)} accepted by {', '.join(people)}{more}:** "
        f"comments below say which regressions, and why. {void}"
    )


def void_note(head_sha: str) -> str:
    """What was noted does not hold any more: there is another head."""
    return (
        f"> **What was accepted here is void:** {escape.code(head_sha[:12])} was pushed, and is measured now."
    )


def _named(cells: Sequence[Cell]) -> str:
    names = ", ".join(escape.code(str(cell)) for cell in cells[:_MOST_CELLS])
    return f"{names} and {len(cells) - _MOST_CELLS} more" if len(cells) > _MOST_CELLS else names


def _person(said: Accepted) -> str:
    return escape.code(f"@{said.by}")
