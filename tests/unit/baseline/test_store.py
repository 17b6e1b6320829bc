from __future__ import annotations

import difflib
from pathlib import Path

import pytest

from gate.baseline.store import baseline_path, load, parse, render, save
from gate.errors import BaselineError
from tests.support.measured import CELL, baseline


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    path, stored = baseline_path(tmp_path, CELL), baseline()
    save(path, stored, replaces=None)
    assert load(path) == stored
    assert path.read_text() == render(stored)


def test_a_refresh_adds_one_line_for_the_run_and_one_for_its_acceptance() -> None:
    before, after = render(baseline(2)).splitlines(), render(baseline(3)).splitlines()
    changes = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert [line[:3] for line in changes] == ["+ ,", "+ ,"]


def test_a_file_that_is_cut_off_says_so_with_the_line() -> None:
    text = render(baseline())
    with pytest.raises(BaselineError, match=r"x\.json:10: ends in the middle: it is truncated"):
        parse(text[: text.index('"runs"') + 40].encode(), where="x.json")
