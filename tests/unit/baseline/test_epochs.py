"""What counts, what is pinned, and what leaves the file when a run is added."""

from __future__ import annotations

from typing import Any

import pytest

from gate.baseline.collect import Terms, add_run, run_of
from gate.baseline.pool import NOT_POOLED, anchor_of, current_runs, pool, reference_of
from gate.baseline.show import row_of
from gate.baseline.store import baseline_path, parse, render, save
from gate.errors import BaselineError
from gate.model.baseline import Baseline
from gate.model.record import RunRecord
from tests.support.measured import CELL, PROVENANCE, baseline, fingerprint, question_ids, run_record

LOWER = {"repeats": 8, "accuracy": 0.3}


def add(stored: Baseline, record: RunRecord, **terms: Any) -> Baseline:
    grown = add_run(
        stored, record, accepted_by="octocat", reason="meant", date="2026-11-23", terms=Terms(**terms)
    )
    assert parse(render(grown).encode(), where="x.json") == grown
    return grown


def ids(runs: Any) -> list[str]:
    return [run.id for run in runs]


def measured_on(seed: int, day: str) -> RunRecord:
    return run_record(seed, provenance=PROVENANCE | {"date": f"{day}T10:00:00+00:00"})


def doubtful(seed: int, **settings: Any) -> RunRecord:
    return run_record(seed, provenance=PROVENANCE | {NOT_POOLED: "files were changed"}, **settings)


def test_every_run_counts_where_no_epoch_was_begun() -> None:
    stored = baseline(2)
    assert current_runs(stored) == stored.runs
    assert anchor_of(stored) is None


def test_a_run_that_does_not_fit_names_the_act_that_would_take_it() -> None:
    with pytest.raises(BaselineError, match="--new-epoch"):
        add(baseline(2, repeats=8), run_record(7, **LOWER))


def test_a_new_epoch_counts_its_own_run_only_and_pins_what_counted_before() -> None:
    old = baseline(2, repeats=8)
    grown = add(old, run_record(7, **LOWER), new_epoch=True)
    assert ids(current_runs(grown)) == [run_of(run_record(7, **LOWER)).id]
    assert grown.anchor == tuple(ids(old.runs))
    assert grown.history[-1].act == "epoch"
    pinned = anchor_of(grown)
    assert pinned is not None
    assert pinned.correct.tolist() == pool(old).correct.tolist()
    anchor = pool(grown).anchor
    assert anchor is not None
    assert (anchor.runs, anchor.repeats) == (grown.anchor, pinned.repeats)
    assert anchor.correct.tolist() == pinned.correct.tolist()


def test_later_runs_pool_with_the_new_epoch() -> None:
    grown = add(baseline(2, repeats=8), run_record(7, **LOWER), new_epoch=True)
    grown = add(grown, run_record(8, **LOWER))
    assert len(current_runs(grown)) == 2
    assert pool(grown).repeats == 16
    assert row_of(grown).runs == 2


def test_the_pinned_runs_outlive_a_second_epoch_and_the_others_leave() -> None:
    first = baseline(1, repeats=8)
    second = add(first, run_record(7, **LOWER), new_epoch=True)
    third = add(second, run_record(8, repeats=8), new_epoch=True)
    assert third.anchor == second.anchor
    assert ids(third.runs) == [first.runs[0].id, run_of(run_record(8, repeats=8)).id]
    assert len(third.history) == 3


def test_a_new_epoch_where_nothing_counts_is_just_the_first_run() -> None:
    stored = add_run(None, doubtful(1), accepted_by="octocat", reason="a try", date="2026-11-23")
    grown = add(stored, run_record(2), new_epoch=True)
    assert (len(current_runs(grown)), grown.epoch, grown.anchor) == (1, None, ())


def test_keep_counts_the_newest_runs_and_pins_what_counted_before() -> None:
    stored = baseline(3)
    grown = add(stored, run_record(7), keep=2)
    assert ids(current_runs(grown)) == [stored.runs[2].id, run_of(run_record(7)).id]
    assert grown.anchor == tuple(ids(stored.runs))
    assert len(grown.runs) == 4


def test_keep_drops_what_is_neither_counted_nor_pinned() -> None:
    stored = baseline(3)
    stored = stored.model_copy(update={"anchor": (stored.runs[0].id,)})
    grown = add(stored, run_record(7), keep=2)
    assert ids(grown.runs) == [stored.runs[0].id, stored.runs[2].id, run_of(run_record(7)).id]


def test_a_file_that_holds_no_more_than_is_kept_stays_as_it_is() -> None:
    stored = baseline(2)
    assert add(stored, run_record(7), keep=3) == add(stored, run_record(7))


def test_runs_older_than_max_age_count_no_longer() -> None:
    stored: Baseline | None = None
    for seed, day in enumerate(("2026-08-01", "2026-10-24", "2026-11-20")):
        stored = add_run(stored, measured_on(seed, day), accepted_by="octocat", reason="nightly", date=day)
    assert stored is not None
    grown = add(stored, measured_on(9, "2026-11-23"), max_age=30)
    assert ids(current_runs(grown)) == [*ids(stored.runs[1:]), run_of(measured_on(9, "2026-11-23")).id]


def test_where_every_run_is_too_old_the_new_one_counts_alone() -> None:
    stored = add_run(None, measured_on(1, "2025-01-01"), accepted_by="octocat", reason="x", date="2025-01-01")
    assert len(current_runs(add(stored, measured_on(2, "2026-11-23"), max_age=30))) == 1


def test_another_fingerprint_begins_anew_only_where_that_is_asked_for() -> None:
    colder = run_record(7, fingerprint=fingerprint(question_ids(30), temperature=0.5))
    with pytest.raises(BaselineError, match=r"temperature: 1\.0 in the baseline, 0\.5 here"):
        add(baseline(2), colder, new_epoch=True)
    grown = add(baseline(2), colder, new_fingerprint=True)
    assert ids(grown.runs) == [run_of(colder).id]
    assert (grown.epoch, grown.anchor, grown.history[-1].act) == (None, (), "epoch")
    assert len(grown.history) == 3


def test_the_same_fingerprint_is_no_new_one() -> None:
    assert len(current_runs(add(baseline(2), run_record(7), new_fingerprint=True))) == 3


def test_a_doubtful_run_is_stored_and_never_pooled() -> None:
    stored = baseline(1, repeats=8)
    grown = add(stored, doubtful(7, **LOWER))
    assert len(grown.runs) == 2
    assert pool(grown).correct.tolist() == pool(stored).correct.tolist()


def test_a_baseline_of_doubtful_runs_only_is_none(tmp_path: Any) -> None:
    stored = add_run(None, doubtful(1), accepted_by="octocat", reason="a try", date="2026-11-23")
    save(baseline_path(tmp_path, CELL), stored, replaces=None)
    assert reference_of(tmp_path, CELL) is None
    with pytest.raises(BaselineError, match="none of its runs counts"):
        pool(stored)
