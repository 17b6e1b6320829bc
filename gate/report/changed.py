"""The words and figures of what changed beside the score."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from gate.model.changes import Changes, Shift
from gate.report import words

_ENDINGS: Final = {
    "stop": "ended by themselves",
    "length": "cut off at the token limit",
    "repetition": "ended in repetition",
    "timeout": "ran out of time",
    "other": "ended otherwise",
}


class Row(NamedTuple):
    """One figure in the baseline and in this run; `p_value` a dash where nothing was tested."""

    what: str
    before: str
    after: str
    p_value: str


def shifts(changes: Changes) -> Iterator[Row]:
    """Length, invalid answers, and how answers ended."""
    if changes.tokens:
        yield _row("mean length in tokens", changes.tokens, "{:,.1f}".format)
    yield _row("invalid", changes.invalid, words.percent)
    for reason, shift in changes.finish.items():
        yield _row(_ENDINGS.get(reason, reason), shift, words.percent)


def flipped(changes: Changes) -> str:
    """`7 lost their majority of right answers, 6 gained one`."""
    lost = "1 lost its" if changes.lost == 1 else f"{changes.lost:,} lost their"
    return f"{lost} majority of right answers, {changes.gained:,} gained one"


def _row(what: str, shift: Shift, written: Callable[[float], str]) -> Row:
    p = "—" if shift.p_value is None else f"{shift.p_value:.2g}"
    return Row(what, written(shift.before), written(shift.after), p)
