"""What a refresh shows of a baseline before and after."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from syrupy.assertion import SnapshotAssertion

from gate.baseline.change import change_of, objections, plain, table
from gate.baseline.collect import Terms, add_run
from gate.baseline.pool import pool
from gate.config import GateSettings
from gate.decide import plan_budget
from gate.model.baseline import Baseline
from gate.stats.looks import look_statistics
from tests.support.measured import baseline, fingerprint, question_ids, run_record

SETTINGS = GateSettings(margin=0.1)
BIG = {"total": 60, "repeats": 16}


def grown(stored: Baseline | None, seed: int, *, new_epoch: bool = False, **settings: Any) -> Baseline:
    return add_run(
        stored,
        run_record(seed, **(BIG | settings)),
        accepted_by="octocat",
        reason="meant",
        date="2026-11-23",
        terms=Terms(new_epoch=new_epoch, new_fingerprint=True),
    )


BEFORE = baseline(2, **BIG)
MORE = grown(BEFORE, 7)
LOWER = grown(BEFORE, 7, new_epoch=True, accuracy=0.4)


def score(baseline: Baseline) -> float:
    reference = pool(baseline)
    return float(reference.correct.mean()) / reference.repeats


def test_the_difference_is_that_of_the_new_runs_to_what_counted() -> None:
    change = change_of(BEFORE, MORE, SETTINGS)
    new = sum(MORE.runs[2].correct) / (60 * 16)
    assert change.comparison is not None
    assert change.comparison.difference == pytest.approx(new - score(BEFORE))
    assert change.before is not None
    assert (change.before.score, change.after.score) == (score(BEFORE), score(MORE))
    assert change.new_epoch is False


def test_the_interval_holds_the_true_difference_nineteen_times_in_twenty() -> None:
    held = 0
    for seed in range(100):
        stored = grown(None, 3 * seed)
        change = change_of(stored, grown(stored, 3 * seed + 1, new_epoch=True), SETTINGS)
        assert change.comparison is not None
        low, high = change.comparison.interval
        held += low <= 0 <= high
    assert held >= 89  # 95 expected, and sqrt(100 * .05 * .95) = 2.2


def test_more_runs_mean_less_noise_and_a_smaller_detectable_drop() -> None:
    change = change_of(BEFORE, MORE, SETTINGS)
    assert change.before is not None
    assert change.before.half_width is not None
    assert change.after.half_width is not None
    assert change.after.half_width < change.before.half_width
    before, after = change.detectable
    assert before == plan_budget(pool(BEFORE), SETTINGS, family_size=1).detectable_drop
    assert after is not None
    assert before is not None
    assert after < before


def test_a_baseline_that_proves_nothing_has_no_detectable_drop() -> None:
    stored = baseline(1, total=60, repeats=2)
    change = change_of(stored, grown(stored, 7, repeats=2), GateSettings(margin=0.7))
    assert change.detectable == (None, None)


def test_a_drop_past_the_margin_has_to_be_accepted_in_so_many_words() -> None:
    change = change_of(BEFORE, LOWER, SETTINGS)
    assert change.drop == pytest.approx(score(BEFORE) - score(LOWER))
    (said,) = [text for text in objections(change, SETTINGS) if "lowers" in text]
    assert said == f"lowers the score by {100 * change.drop:.1f} points, more than the margin of 10.0 points"


def test_a_rise_needs_no_more_words() -> None:
    change = change_of(BEFORE, grown(BEFORE, 7, new_epoch=True, accuracy=0.9), SETTINGS)
    assert change.drop == 0
    assert list(objections(change, SETTINGS)) == []


def test_small_accepted_drops_that_add_up_are_seen_against_the_anchor() -> None:
    lower = grown(BEFORE, 7, new_epoch=True, accuracy=0.5)
    lowest = grown(lower, 8, new_epoch=True, accuracy=0.43)
    change = change_of(lower, lowest, SETTINGS)
    assert change.drop < SETTINGS.margin
    (said,) = objections(change, SETTINGS)
    assert "from the anchor, a proven drop (p = " in said
    assert change.drift is not None
    assert change.drift.alpha == pytest.approx(0.2 * SETTINGS.alpha)


def test_without_an_older_pinned_run_there_is_no_drift() -> None:
    assert change_of(BEFORE, MORE, SETTINGS).drift is None


def test_no_sample_stands_on_both_sides_of_the_drift() -> None:
    kept = add_run(
        MORE,
        run_record(9, **BIG),
        accepted_by="octocat",
        reason="x",
        date="2026-11-23",
        terms=Terms(keep=3),
    )
    assert kept.anchor == tuple(run.id for run in MORE.runs)
    change = change_of(MORE, kept, SETTINGS)
    assert change.drift is not None
    new, pinned = np.array(kept.runs[-1].correct), pool(MORE).correct
    assert change.drift.difference == pytest.approx(float((new / 16 - pinned / 48).mean()))


def test_a_first_baseline_has_nothing_to_be_compared_with() -> None:
    first = change_of(None, BEFORE, SETTINGS)
    assert (first.before, first.comparison, first.new_epoch) == (None, None, False)


def test_of_another_fingerprint_the_scores_stand_side_by_side_and_are_not_tested() -> None:
    other = grown(BEFORE, 7, fingerprint=fingerprint(question_ids(60), temperature=0.5))
    change = change_of(BEFORE, other, SETTINGS)
    assert change.before is not None
    assert (change.before.score, change.after.score) == (score(BEFORE), score(other))
    assert (change.comparison, change.drift, change.new_epoch) == (None, None, True)


def test_a_new_fingerprint_hides_no_fall_past_the_margin() -> None:
    mark = fingerprint(question_ids(60), max_tokens=4097)
    fallen = change_of(BEFORE, grown(BEFORE, 7, fingerprint=mark, accuracy=0.3), SETTINGS)
    assert [text.split(" by ")[0] for text in objections(fallen, SETTINGS)] == ["lowers the score"]
    assert not list(objections(change_of(BEFORE, grown(BEFORE, 7, fingerprint=mark), SETTINGS), SETTINGS))


def test_other_questions_have_nothing_to_be_compared_with() -> None:
    other = grown(BEFORE, 7, total=40, fingerprint=fingerprint(question_ids(40)))
    change = change_of(BEFORE, other, SETTINGS)
    assert (change.before, change.comparison, change.new_epoch) == (None, None, True)


def test_what_is_stored_already_changes_nothing() -> None:
    change = change_of(MORE, MORE, SETTINGS)
    assert (change.comparison, change.new_epoch, change.drop) == (None, False, 0)


def test_the_table_of_a_refresh(snapshot: SnapshotAssertion) -> None:
    changes = [
        change_of(BEFORE, MORE, SETTINGS),
        change_of(BEFORE, LOWER, SETTINGS),
        change_of(None, BEFORE, SETTINGS),
    ]
    assert "\n".join("  ".join(row) for row in table(changes)) == snapshot


def test_a_change_is_plain_json() -> None:
    found = json.loads(json.dumps(plain(change_of(BEFORE, LOWER, SETTINGS))))
    assert found["before"]["runs"] == 2
    assert found["drift"]["dropped"] is True


def test_the_interval_rests_on_the_larger_variance() -> None:
    """V_F, and V_u: the second is the larger one where nearly nothing is known of each question."""
    stored = grown(None, 21, repeats=2)
    after = grown(stored, 22, repeats=2, new_epoch=True)
    found = change_of(stored, after, SETTINGS).comparison
    k, s = (np.array(made.runs[-1].correct) for made in (stored, after))
    look = look_statistics(k, 2, s, 2, margin=0.03)
    assert float(look.variance_plain) > float(look.variance_regression)
    half = (found.interval[1] - found.interval[0]) / 2
    assert half == pytest.approx(1.959964 * float(look.variance_plain) ** 0.5)
