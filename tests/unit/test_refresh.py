"""`gate refresh --from`: records that another job measured, held against configs, checkout and store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gate.baseline.collect import Terms, add_run
from gate.baseline.source import Policy
from gate.baseline.store import load, save
from gate.collect import Collection
from gate.errors import BaselineError, UsageError
from gate.model.evidence import Evidence
from gate.model.record import Failure
from gate.plan import Origins
from gate.refresh import Refresh, may_write, refresh
from gate.report.progress import SilentProgress
from gate.request import RunRequest
from tests.support.measured import CELL, PROVENANCE, fingerprint, question_ids, run_record
from tests.support.refreshing import TRITON, Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_a_record_becomes_a_run_with_who_accepted_it_and_why(checkout: Checkout) -> None:
    record = checkout.measured(7)
    (change,) = checkout.refresh()
    stored = load(checkout.path(CELL))
    assert stored.runs[-1].stream == record.stream
    assert (stored.history[-1].accepted_by, stored.history[-1].reason) == ("octocat", "meant")
    assert stored.history[-1].date == "2026-11-24"
    assert (change.before.runs, change.after.runs) == (2, 3)


def test_every_run_of_a_collection_is_added_in_order(checkout: Checkout) -> None:
    streams = [checkout.measured(seed, number).stream for number, seed in ((1, 7), (2, 8), (10, 9))]
    checkout.refresh()
    assert [run.stream for run in load(checkout.path(CELL)).runs[2:]] == streams


def test_a_second_refresh_from_the_same_records_changes_nothing(checkout: Checkout) -> None:
    checkout.measured(7)
    checkout.refresh()
    before = checkout.path(CELL).read_bytes()
    (change,) = checkout.refresh()
    assert change.comparison is None
    assert checkout.path(CELL).read_bytes() == before


def test_a_cell_without_a_baseline_gets_its_first(checkout: Checkout) -> None:
    checkout.measured_of(TRITON, 7)
    (change,) = checkout.refresh("triton")
    assert change.before is None
    assert len(load(checkout.path(TRITON)).runs) == 1


def test_patterns_choose_cells_and_one_that_fits_none_says_so(checkout: Checkout) -> None:
    checkout.measured(7)
    checkout.measured_of(TRITON, 8)
    assert [change.cell for change in checkout.refresh("gfx950/*/aiter", write=False)] == [str(CELL)]
    assert "no record is of a cell like sm90/*" in checkout.refusal("sm90/*")


def test_without_write_nothing_is_written(checkout: Checkout) -> None:
    checkout.measured(7)
    before = checkout.path(CELL).read_bytes()
    checkout.refresh(write=False)
    assert checkout.path(CELL).read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"purpose": "gate"}, "a sequential test decided when it stopped"),
        ({"max_repeats": 9}, "the run is incomplete: 8 of the 9 declared repeats"),
        ({"failure": Failure(kind="engine", message="died")}, "the run failed (engine): died"),
        ({"fingerprint": fingerprint(question_ids(30), temperature=0.5)}, "temperature: 1.0 in the baseline"),
        ({"evidence": Evidence(facts={"moe": "TRITON"}, source="log")}, "something else ran (moe: expected"),
        ({"evidence": Evidence()}, "the engine reported nothing"),
        ({"accuracy": 0.2}, "--new-epoch"),
        ({"doubt": "the checkout has changes"}, "baselines come from reviewed code only"),
        ({"provenance": PROVENANCE}, "git does not say which commit"),
    ],
)
def test_what_must_not_enter_is_refused_with_its_cell(
    checkout: Checkout, changes: dict[str, Any], said: str
) -> None:
    checkout.measured(7, **changes)
    refused = checkout.refusal()
    assert said in refused
    assert str(CELL) in refused


def test_all_cells_are_checked_before_the_first_is_written(checkout: Checkout) -> None:
    checkout.measured(7)
    checkout.measured_of(TRITON, 8, failure=Failure(kind="engine", message="died"))
    assert "the run failed" in checkout.refusal()


def test_a_drop_past_the_margin_needs_its_own_word(checkout: Checkout) -> None:
    checkout.measured(7, accuracy=0.3)
    said = checkout.refusal(terms=Terms(new_epoch=True))
    assert "lowers the score by" in said
    assert "--accept-drop" in said
    checkout.refresh(terms=Terms(new_epoch=True), accept_drop=True)
    stored = load(checkout.path(CELL))
    assert stored.epoch == stored.runs[-1].id


def test_a_new_fingerprint_is_an_act_of_its_own(checkout: Checkout) -> None:
    checkout.measured(7, fingerprint=fingerprint(question_ids(30), temperature=0.5))
    checkout.refresh(terms=Terms(new_fingerprint=True))
    assert len(load(checkout.path(CELL)).runs) == 1


def test_a_doubtful_run_that_is_let_in_cannot_be_all_there_is(checkout: Checkout) -> None:
    checkout.measured_of(TRITON, 7, doubt="a try")
    assert "no run of it would count" in checkout.refusal("triton", policy=Policy(allow_dirty=True))


def test_a_refresh_needs_a_reason(checkout: Checkout) -> None:
    checkout.measured(7)
    with pytest.raises(UsageError, match="needs a reason"):
        refresh(
            RunRequest(paths=(), origins=Origins(checkout.store, checkout.folder), out=checkout.folder),
            Refresh((), checkout.folder / "configs", checkout.records, False, True),
            Collection(None, reason=" "),
            SilentProgress(),
            git=checkout.git,
            today=date(2026, 11, 24),
        )


def test_a_cell_that_no_config_defines_is_named(checkout: Checkout) -> None:
    checkout.measured(7)
    (checkout.folder / "configs/gpt-oss-20b.yaml").unlink()
    assert "--configs" in checkout.refusal()


def test_a_file_that_somebody_else_wrote_meanwhile_is_left_alone(checkout: Checkout) -> None:
    checkout.measured(7)
    stored = load(checkout.path(CELL))
    other = add_run(stored, run_record(9, repeats=8), accepted_by="x", reason="y", date="2026-11-24")

    def git_while_another_writes(arguments: Sequence[str]) -> str | None:
        if load(checkout.path(CELL)) == stored:
            save(checkout.path(CELL), other, replaces=stored)
        return checkout.git(arguments)

    with pytest.raises(BaselineError, match="it has changed since it was read"):
        checkout.refresh(git=git_while_another_writes)
    assert load(checkout.path(CELL)) == other


@pytest.mark.parametrize(
    ("asked", "environ", "written"),
    [
        (None, {}, True),
        (None, {"CI": "true"}, False),
        (None, {"GITHUB_ACTIONS": "true"}, False),
        (None, {"CI": "false"}, True),
        (True, {"CI": "true"}, True),
        (False, {}, False),
    ],
)
def test_ci_writes_only_when_told_to(asked: bool | None, environ: dict[str, str], written: bool) -> None:
    assert may_write(asked, environ) is written
