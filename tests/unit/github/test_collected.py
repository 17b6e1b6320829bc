"""What a collection uploaded, held against what was ordered: nothing is accepted, and GitHub is not asked."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.errors import GitHubError, UsageError
from gate.github.accept import NewBaselines, accept
from gate.github.collected import Collected, accept_collected
from gate.github.dispatch import Order
from gate.model.cell import Cell
from tests.support.measured import CELL, fingerprint, question_ids
from tests.support.refreshing import Checkout

NOBODY: Any = None
"""In the place of GitHub: whatever is asked of it ends the test."""
HEAD = "a" * 40
ORDER = Order(1, HEAD, (CELL,), "mia", "a faster kernel")


def refused(tmp_path: Path, order: Order = ORDER, *, checkout: bool = True, **changes: Any) -> str:
    """What is said of a record with these changes; the record of none where `record` is False."""
    made = Checkout(tmp_path)
    origin = {"commit": HEAD, "dirty": "false", "engine_version": "0.32.0"}
    stream = "c" * 32
    given = {"provenance": origin, "stream": stream, "question_order_seed": stream} | changes
    made.measured(99, **given)
    if not checkout:
        shutil.rmtree(made.folder / ".git")
    with pytest.raises(GitHubError) as error:
        accept_collected(NOBODY, Collected(order, (made.records / "run-1/records",), made.folder))
    assert error.value.hint
    return str(error.value)


def test_a_cell_that_the_default_branch_does_not_define(tmp_path: Path) -> None:
    order = replace(ORDER, cells=(Cell(arch="gfx950", config="gpt-oss-20b", backend="new"),))
    assert "does not define this cell" in refused(tmp_path, order)


def test_a_cell_whose_job_left_no_record(tmp_path: Path) -> None:
    order = replace(ORDER, cells=(Cell(arch="gfx950", config="gpt-oss-20b", backend="triton"),))
    assert "no record of it arrived" in refused(tmp_path, order)


def test_a_record_of_another_commit(tmp_path: Path) -> None:
    order = replace(ORDER, head_sha="b" * 40)
    assert f"its record is not of the commit {'b' * 12}" in refused(tmp_path, order)


def test_a_record_that_was_refused(tmp_path: Path) -> None:
    assert "refused" in refused(tmp_path, seconds=1e9)


def test_a_fingerprint_that_cannot_be_shown(tmp_path: Path) -> None:
    hostile = fingerprint(question_ids(30), model_revision="@everyone [x](http://y)")
    assert "holds what cannot be shown" in refused(tmp_path, fingerprint=hostile)


def test_a_folder_that_is_no_checkout(tmp_path: Path) -> None:
    assert "is not a checkout of the default branch" in refused(tmp_path, checkout=False)


@pytest.mark.parametrize(
    ("order", "files"),
    [(replace(ORDER, reason=" "), {"a": "b"}), (replace(ORDER, cells=()), {"a": "b"}), (ORDER, {})],
)
def test_an_acceptance_is_of_something_and_says_why(order: Order, files: dict[str, str]) -> None:
    new = NewBaselines(files=files, based_on=HEAD, table="", tree="", provenance={}, to_branch=None)
    with pytest.raises(UsageError, match="needs a reason, cells and new baselines"):
        accept(NOBODY, order, new)
