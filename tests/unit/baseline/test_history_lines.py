"""The lines of a baseline's history: what of them is checked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gate.baseline.anchor import pinned
from gate.baseline.collect import acceptance
from gate.baseline.store import baseline_path, render, save
from gate.baseline.verify import verify
from gate.errors import BaselineError
from gate.model.baseline import Baseline
from tests.support.measured import CELL, baseline

TWO = baseline(2)
STORED = pinned(TWO, (TWO.runs[0].id,), accepted_by="octocat", reason="the level", date="2026-11-24")
PINNED, ADDED = (run.id for run in TWO.runs)


def problem_of(folder: Path, *, before: str, after: str, line: int) -> str | None:
    """What verify says of the baseline with this change in one line of its file."""
    path = baseline_path(folder, CELL)
    save(path, STORED, replaces=None)
    lines = path.read_text().split("\n")
    assert before in lines[line]
    lines[line] = lines[line].replace(before, after, 1)
    path.write_text("\n".join(lines))
    (found,) = verify(folder)
    return found.problem


def other(digits: str) -> str:
    """The same with another last digit."""
    return digits[:-1] + ("0" if digits[-1] != "0" else "1")


FIRST_LINE = next(n for n, line in enumerate(render(STORED).split("\n")) if line.startswith('"history"')) + 1


@pytest.mark.parametrize(
    ("line", "change", "said"),
    [
        (FIRST_LINE + 1, (ADDED, other(ADDED)), f"history: no line says who accepted run {ADDED}"),
        (FIRST_LINE, ("2026-11-23", "2026-13-23"), "history[0]: '2026-13-23' is not a date"),
        (FIRST_LINE, ("2026-11-23", "20261123"), "history[0]: '20261123' is not a date"),
        (FIRST_LINE + 2, (PINNED, other(PINNED)), "which no line before it accepted"),
    ],
)
def test_a_line_that_was_edited_no_longer_fits_the_runs(
    tmp_path: Path, line: int, change: tuple[str, str], said: str
) -> None:
    before, after = change
    assert said in (problem_of(tmp_path, before=before, after=after, line=line) or "")


def test_what_people_said_is_git_s_to_vouch_for(tmp_path: Path) -> None:
    assert problem_of(tmp_path, before="run 0", after="run 9", line=FIRST_LINE) is None


def test_a_date_that_is_none_is_not_accepted() -> None:
    words: Mapping[str, str] = {"accepted_by": "octocat", "reason": "why", "where": str(CELL)}
    with pytest.raises(BaselineError, match="is not a date"):
        acceptance(ADDED, date="2026-02-30", **words)


def test_lines_of_runs_that_are_gone_may_stay(tmp_path: Path) -> None:
    rest: Baseline = STORED.model_copy(update={"runs": STORED.runs[1:], "anchor": (ADDED,)})
    save(baseline_path(tmp_path, CELL), rest, replaces=None)
    (found,) = verify(tmp_path)
    assert (found.problem, len(rest.history)) == (None, 3)
