"""Greedy decoding: the config's temperature picks the test, and one pass is all there is."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from gate.config import GateSettings
from gate.decide import decide_cell, next_step, plan_budget
from gate.decide.budget import fixed_budget
from gate.errors import StatisticsError
from gate.model.baseline import Anchor
from gate.model.evidence import Evidence
from gate.model.record import Confirmation
from gate.model.result import Verdict
from tests.support.measured import calibration

SETTINGS = GateSettings(margin=0.12)


@pytest.fixture(scope="module")
def greedy(world_of):
    return greedy_world(world_of)


def greedy_world(world_of, settings=SETTINGS, **fields):
    """60 questions, 36 of them right, each answered once at temperature 0."""
    plain = world_of()
    mark = plain.fingerprint.model_copy(update={"temperature": 0.0})
    values = {"correct": np.array([1, 0, 1, 0, 1, 1, 1, 1, 0, 0] * 6), "repeats": 1, "fingerprint": mark}
    reference = plain.reference._replace(**(values | fields))
    made = world_of(settings, reference=reference, repeats=reference.repeats)
    made.fingerprint = mark
    return made


def record(world, lost=0, gained=0):
    """The baseline's answers up to the stop, the first `lost` right and `gained` wrong ones changed."""
    before = np.array(world.reference.correct > 0)
    right = before.copy()
    right[np.flatnonzero(before)[:lost]] = False
    right[np.flatnonzero(~before)[:gained]] = True
    for blocks in range(1, 4):
        asked = np.zeros(right.size, dtype=bool)
        asked[np.concatenate(world.plan.columns[:blocks])] = True
        row = "".join(np.where(asked, np.where(right, "1", "0"), "."))
        if next_step(world.plan, [row]).stop:
            break
    return world.record([row])


def moved(world, run):
    """Questions lost and gained among those asked."""
    pairs = [
        (k > 0, c == "1") for k, c in zip(world.reference.correct, run.outcomes[0], strict=True) if c != "."
    ]
    return sum(k and not s for k, s in pairs), sum(s and not k for k, s in pairs), len(pairs)


def decided(world, run):
    return decide_cell(run, world.reference, settings=world.settings, family_size=1)


def test_the_temperature_of_the_baseline_picks_the_test(greedy, world):
    assert greedy.plan.paired
    assert not world.plan.paired
    assert (greedy.budget.max_repeats, greedy.plan.look_at) == (1, (20, 40, 60))


def test_the_verdict_rests_on_the_exact_test_of_what_changed(greedy):
    run = record(greedy, lost=14, gained=1)
    result = decided(greedy, run)
    assert result.verdict is Verdict.REGRESSION
    lost, gained, asked = moved(greedy, run)
    p = scipy_stats.binom.sf(lost - 1, lost + gained, 0.5)
    assert result.looks[-1].z_regression == pytest.approx(scipy_stats.norm.isf(p))
    assert result.difference == pytest.approx((gained - lost) / asked)


def test_a_break_down_stops_at_the_first_third(greedy):
    run = record(greedy, lost=36)
    result = decided(greedy, run)
    assert (result.verdict, result.samples_used) == (Verdict.REGRESSION, 20)


def test_few_changes_pass_and_are_counted(greedy):
    run = record(greedy, lost=2, gained=2)
    result = decided(greedy, run)
    assert result.verdict is Verdict.PASS
    lost, gained, asked = moved(greedy, run)
    assert lost + gained > 0
    assert (
        f"greedy answers to {(lost + gained) / asked:.1%} of the questions changed: {lost} lost, "
        f"{gained} gained; how often one build flips by itself was not measured (`gate calibrate`)"
    ) in result.notes
    low, high = result.interval
    assert low < result.difference < high
    error = np.sqrt(lost + gained) / asked
    assert result.detectable_drop == pytest.approx(3.608 * error, rel=1e-3)


def test_the_flip_rate_of_one_build_stands_beside_what_changed(world_of):
    measured = greedy_world(world_of, calibration=calibration(flip_rate=0.031, tolerated_loss=0.0))
    result = decided(measured, record(measured, lost=1, gained=1))
    assert any("two runs of one build differ in 3.1%" in note for note in result.notes)
    assert result.detectable_drop == measured.budget.detectable_drop


def test_a_flip_rate_that_hides_the_margin_is_refused_before_anything_starts(world_of):
    with pytest.raises(StatisticsError) as caught:
        greedy_world(world_of, calibration=calibration(flip_rate=0.3))
    assert "with one greedy answer to each of 60 questions, where 30.0% of the answers flip" in str(
        caught.value
    )
    assert "or more questions, or widen the margin to" in str(caught.value)


def test_a_wider_margin_can_be_accepted_for_a_greedy_pass(world_of):
    plain = greedy_world(world_of)
    noisy = plain.reference._replace(calibration=calibration(flip_rate=0.3, tolerated_loss=0.0))
    budget = plan_budget(noisy, SETTINGS, family_size=1, accept_wider_margin=True)
    assert (budget.max_repeats, budget.margin > SETTINGS.margin) == (1, True)
    quiet = plain.reference._replace(calibration=calibration(flip_rate=0.03, tolerated_loss=0.0))
    assert plan_budget(quiet, SETTINGS, family_size=1, accept_wider_margin=True).margin == SETTINGS.margin


def test_neither_proven_asks_for_more_questions(greedy):
    result = decided(greedy, record(greedy, lost=6, gained=1))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "ask more questions" in result.next_step
    assert "would have been found 9 times in 10" in result.reason


def test_nothing_changed_at_all_is_a_pass_without_a_detectable_drop(greedy):
    result = decided(greedy, record(greedy))
    assert (result.verdict, result.p_value, result.detectable_drop) == (Verdict.PASS, 1.0, None)


def test_several_greedy_runs_take_the_stratified_test(world_of):
    correct = np.array([4, 0, 4, 0, 4, 4, 4, 3, 0, 0] * 6)
    several = greedy_world(world_of, GateSettings(margin=0.2), correct=correct, repeats=4)
    assert not several.plan.paired
    assert several.budget.max_repeats == 1
    result = decided(several, record(several, lost=1))
    assert result.verdict is Verdict.PASS
    assert any(note.startswith("greedy answers are not free of noise") for note in result.notes)


def test_the_anchor_of_a_greedy_cell_is_tested_exactly(world_of):
    higher = np.array([1, 1, 1, 0, 1, 1, 1, 1, 1, 1] * 6)
    pinned = greedy_world(world_of, anchor=Anchor(("0123456789ab",), higher, 1))
    run = record(pinned)
    result = decided(pinned, run)
    assert result.verdict is Verdict.REGRESSION
    given_up = sum(
        a > k for a, k, c in zip(higher, pinned.reference.correct, run.outcomes[0], strict=True) if c != "."
    )
    assert result.anchor.p_value == pytest.approx(0.5**given_up)


def test_a_fixed_run_of_copies_is_refused(greedy):
    with pytest.raises(StatisticsError, match="copies in one run would count as samples"):
        fixed_budget(greedy.reference, SETTINGS, 2, family_size=1)
    assert fixed_budget(greedy.reference, SETTINGS, 1, family_size=1).terms.greedy


def test_the_command_that_makes_a_greedy_baseline_asks_for_one_repeat(greedy):
    result = decide_cell(record(greedy), None, settings=greedy.settings, family_size=1)
    assert result.next_step.endswith("--repeats 1")


def test_two_repeats_of_a_greedy_question_are_too_many(greedy):
    run = record(greedy)
    result = decided(greedy, run.model_copy(update={"outcomes": run.outcomes * 2, "max_repeats": 2}))
    assert result.verdict is Verdict.NOT_MEASURED


def test_a_greedy_drop_is_not_taken_back_by_repeats_that_do_not_vary(greedy):
    run = record(greedy, lost=14, gained=1)
    wrong = "0" * len(greedy.questions)
    fresh = Confirmation(
        stream="fresh", outcomes=(wrong,) * 16, evidence=Evidence(), provenance={}, seconds=1.0
    )
    result = decided(greedy, run.model_copy(update={"confirmation": fresh}))
    assert result.verdict is Verdict.REGRESSION
    assert result.notes[0].startswith("not confirmed: greedy answers")
