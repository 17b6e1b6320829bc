from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gate.baseline.anchor import move_anchor, pinned
from gate.baseline.collect import Terms, add_run
from gate.baseline.pool import NOT_POOLED, anchor_of
from gate.baseline.store import baseline_path, load, parse, render, save
from gate.cli import app
from gate.errors import BaselineError, UsageError
from gate.model.baseline import Baseline
from gate.model.cell import Cell
from tests.support.measured import CELL, PROVENANCE, baseline, fingerprint, question_ids, run_record

SAID = {"accepted_by": "octocat", "reason": "the new kernel is meant", "date": "2026-11-24"}


def add(stored: Baseline, seed: int, *, new_epoch: bool = False, **settings: Any) -> Baseline:
    record = run_record(seed, **({"repeats": 8} | settings))
    return add_run(stored, record, **SAID, terms=Terms(new_epoch=new_epoch))


OLD = baseline(2, repeats=8)
LOWER = add(OLD, 7, new_epoch=True, accuracy=0.4)


def test_what_counts_today_is_pinned_where_nothing_is_named_and_what_nobody_needs_leaves() -> None:
    moved = pinned(LOWER, (), **SAID)
    assert moved.anchor == (LOWER.runs[2].id,)
    assert moved.runs == LOWER.runs[2:]
    assert moved.epoch is None
    assert anchor_of(moved) is None
    assert parse(render(moved).encode(), where="x.json") == moved


def test_who_moved_the_anchor_stands_in_the_history() -> None:
    line = pinned(OLD, (), **SAID).history[-1]
    assert (line.act, line.accepted_by, line.reason) == ("anchor", "octocat", "the new kernel is meant")
    assert line.run == "+".join(run.id for run in OLD.runs)


def test_a_run_is_named_by_the_beginning_of_its_id() -> None:
    moved = pinned(LOWER, (LOWER.runs[1].id[:6],), **SAID)
    assert moved.anchor == (LOWER.runs[1].id,)
    assert [run.id for run in moved.runs] == [run.id for run in LOWER.runs[1:]]


def test_fewer_than_four_digits_name_no_run_even_where_only_one_begins_so() -> None:
    name = LOWER.runs[1].id
    with pytest.raises(BaselineError, match="names no run of it"):
        pinned(LOWER, (name[:3],), **SAID)
    assert pinned(LOWER, (name[:4],), **SAID).anchor == (name,)


@pytest.mark.parametrize("name", ["", "xyz", "ffffffffffff"])
def test_a_run_that_is_not_there_is_refused_naming_those_that_are(name: str) -> None:
    with pytest.raises(BaselineError, match="names no run of it") as caught:
        pinned(OLD, (name,), **SAID)
    assert OLD.runs[0].id in str(caught.value)


def test_runs_that_differ_are_no_level() -> None:
    with pytest.raises(BaselineError, match="do not measure the same thing"):
        pinned(LOWER, (LOWER.runs[0].id, LOWER.runs[2].id), **SAID)


def test_an_anchor_that_is_pinned_already_is_refused() -> None:
    with pytest.raises(BaselineError, match="pinned already"):
        pinned(pinned(OLD, (), **SAID), (), **SAID)


def test_a_run_of_doubtful_origin_is_no_level() -> None:
    doubtful = run_record(7, provenance=PROVENANCE | {NOT_POOLED: "a try"})
    stored = add_run(OLD, doubtful, **SAID)
    with pytest.raises(BaselineError, match="may not count: a try"):
        pinned(stored, (stored.runs[2].id,), **SAID)
    with pytest.raises(BaselineError, match="no level to pin"):
        pinned(add_run(None, doubtful, **SAID), (), **SAID)


def test_moving_an_anchor_needs_a_reason() -> None:
    with pytest.raises(BaselineError, match="and why"):
        pinned(OLD, (), **(SAID | {"reason": " "}))


def test_the_file_of_one_cell_is_rewritten(tmp_path: Path) -> None:
    save(baseline_path(tmp_path, CELL), LOWER, replaces=None)
    path, after = move_anchor(tmp_path, "aiter", (), **SAID)
    assert path == baseline_path(tmp_path, CELL)
    assert load(path) == after == pinned(LOWER, (), **SAID)


def test_one_cell_at_a_time(tmp_path: Path) -> None:
    other = Cell(arch="gfx942", config="gpt-oss-20b", backend="aiter")
    mark = fingerprint(question_ids(30), cell=other)
    save(baseline_path(tmp_path, CELL), OLD, replaces=None)
    save(baseline_path(tmp_path, other), baseline(1, cell=other, fingerprint=mark), replaces=None)
    with pytest.raises(UsageError, match="'aiter' fits 2 cells"):
        move_anchor(tmp_path, "aiter", (), **SAID)
    with pytest.raises(BaselineError, match="holds no baseline of a cell like 'emulation'"):
        move_anchor(tmp_path, "emulation", (), **SAID)


def test_the_command_says_what_is_pinned_and_the_store_stays_sound(tmp_path: Path) -> None:
    save(baseline_path(tmp_path, CELL), LOWER, replaces=None)
    here = ["--baselines", str(tmp_path)]

    def told(*words: str) -> str:
        done = CliRunner().invoke(app, ["baseline", *words, *here])
        assert done.exit_code == 0, done.output
        return done.output

    said = told("anchor", "aiter", LOWER.runs[0].id, "--reason", "where we began", "--accepted-by", "alice")
    assert said == f"{baseline_path(tmp_path, CELL)}: anchor {LOWER.runs[0].id}\n"
    assert "1 file, 0 wrong" in told("verify")
    score = sum(LOWER.runs[0].correct) / 240
    assert f"  {score:.4f}  " in told("show", "aiter")
