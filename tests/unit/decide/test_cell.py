"""The verdict of a cell, and every way in which a record fails to deserve one."""

import numpy as np
import pytest

from gate.config import GateSettings
from gate.decide import decide_cell, missing_baseline, next_step, plan_budget, plan_sequence, unmeasured
from gate.model.evidence import EvidenceCheck
from gate.model.record import Failure
from gate.model.result import Verdict
from gate.stats.boundaries import boundaries
from gate.stats.looks import look_statistics


@pytest.fixture
def decide(world):
    def run(record, reference=world.reference, **changes):
        return decide_cell(record, reference, **({"settings": world.settings, "family_size": 1} | changes))

    return run


def live(world, shift, seed=1):
    """A record as the pipeline makes it: block after block until `next_step` says stop."""
    for blocks in range(1, len(world.plan.blocks) + 1):
        rows = world.rows(blocks, shift, seed)
        if next_step(world.plan, rows).stop:
            break
    return world.record(rows)


def test_no_change_passes_and_says_what_was_ruled_out(world, decide):
    result = decide(live(world, 0.0))
    assert result.verdict is Verdict.PASS
    assert result.reason == "a drop of 5.0 points or more is ruled out (+1.5 points after 300 samples)"
    assert (result.samples_used, result.samples_generated, result.samples_budget) == (300, 100, 1140)
    assert (result.seconds, result.gpu_minutes) == (120, 4)
    assert result.notes == ()


def test_a_drop_is_a_regression_with_its_p_and_interval(world, decide):
    result = decide(live(world, -0.2))
    assert result.verdict is Verdict.REGRESSION
    assert result.reason == "a drop is proven (-17.8 points after 60 samples)"
    assert result.p_value < 0.01
    assert result.interval[0] < result.difference < result.interval[1]
    assert result.score == pytest.approx(result.baseline_score + result.difference)
    assert len(result.looks) == 3
    assert result.looks[-1].z_regression >= result.looks[-1].boundary_regression


def test_a_catastrophe_stops_within_the_first_pass_and_says_so(world, decide):
    result = decide(live(world, -0.9))
    assert (result.verdict, result.samples_used) == (Verdict.REGRESSION, 20)
    assert result.notes == ("decided after 20 of 60 questions: both scores are over those",)
    assert result.score == pytest.approx(result.baseline_score + result.difference)


def test_a_spent_budget_with_nothing_proven_is_inconclusive(world, decide):
    result = decide(live(world, -0.03, seed=1))
    assert (result.verdict, result.samples_used) == (Verdict.INCONCLUSIVE, 1140)
    assert "the budget of 1,140 samples is spent and neither" in result.reason
    assert "a drop of 4.2 points would have been found 9 times in 10" in result.reason
    assert "samples would decide" in result.next_step


def test_more_samples_than_were_used_are_what_would_decide(world, decide):
    said = decide(live(world, -0.03, seed=1)).next_step
    assert int(said.split()[1].replace(",", "")) > 1140


def test_a_difference_that_no_sampling_decides_asks_for_a_larger_baseline(world_of):
    noisy = world_of(GateSettings(margin=0.073), repeats=8)
    record = live(noisy, -0.04, seed=4)
    result = decide_cell(record, noisy.reference, settings=noisy.settings, family_size=1)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "collect more baseline repeats" in result.next_step


def test_a_real_drop_proven_smaller_than_the_margin_passes_and_is_named(world_of):
    wide = world_of(GateSettings(margin=0.5, alpha=0.05))
    record = wide.record(wide.rows(1, -0.2, seed=2))
    result = decide_cell(record, wide.reference, settings=wide.settings, family_size=1)
    assert result.verdict is Verdict.PASS
    assert result.reason.startswith("a real drop, proven smaller than the margin of 50.0 points")


def test_a_tolerated_loss_is_named_in_the_reason(world_of):
    tolerant = world_of(GateSettings(margin=0.05, tolerated_loss=0.01))
    result = decide_cell(live(tolerant, -0.3), tolerant.reference, settings=tolerant.settings, family_size=1)
    assert result.reason.startswith("a drop of more than the tolerated 1.0 points is proven")


def test_an_accepted_wider_margin_is_noted(world_of):
    settings = GateSettings(margin=0.05, max_repeats=10)
    capped = world_of(settings, accept_wider_margin=True)
    record = live(capped, 0.05)
    accepted = decide_cell(
        record, capped.reference, settings=settings, family_size=1, accept_wider_margin=True
    )
    assert accepted.verdict is Verdict.PASS
    assert accepted.notes == ("a wider margin was accepted for this run: 6.2 points",)
    refused = decide_cell(record, capped.reference, settings=settings, family_size=1)
    assert refused.verdict is Verdict.NOT_MEASURED


@pytest.mark.parametrize("shift", [0.05, 0.0, -0.02, -0.03, -0.05, -0.2])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_stored_record_is_decided_where_the_live_run_stopped(world, decide, shift, seed):
    record = live(world, shift, seed)
    result = decide(record)
    assert result.verdict in {Verdict.PASS, Verdict.REGRESSION, Verdict.INCONCLUSIVE}
    asked = sum(len(row) - row.count(".") for row in record.outcomes)
    assert result.samples_used == asked == result.looks[-1].samples


@pytest.mark.parametrize(
    ("threshold", "shift", "passes"), [(None, 0.0, None), (0.6, 0.0, True), (0.6, -0.2, False)]
)
def test_the_old_rule_is_reported_beside_ours(world, decide, threshold, shift, passes):
    record = live(world, shift).model_copy(update={"threshold": threshold})
    assert decide(record).old_rule_passes is passes


def test_the_old_rule_passes_at_its_very_edge(world, decide):
    record = live(world, 0.0)
    score = decide(record).score
    assert decide(record.model_copy(update={"threshold": score + 0.0}), tolerance=0.0).old_rule_passes


def test_invalid_answers_count_as_wrong_and_are_reported(world, decide):
    rows = world.rows(3, -0.2)
    record = world.record([rows[0].replace("0", "x")])
    assert decide(record).invalid_rate == pytest.approx(1 - decide(record).score)
    assert decide(record).score == decide(world.record(rows)).score


def not_measured(result, words):
    assert result.verdict is Verdict.NOT_MEASURED
    assert words in result.reason
    assert result.next_step
    assert result.score is None
    assert result.p_value is None


@pytest.mark.parametrize("kind", ["engine", "evidence", "requests", "cancelled", "resume"])
def test_a_failure_is_not_a_low_score(world, decide, kind):
    record = world.record(world.rows(4, -0.9), failure=Failure(kind=kind, message="it broke"))
    not_measured(decide(record), "it broke")


def test_another_backend_than_expected_is_not_measured_and_shows_the_evidence(world, decide):
    checks = (
        EvidenceCheck(fact="moe", expected="AITER", found="TRITON", ok=False),
        EvidenceCheck(fact="tp", expected="1", found="1", ok=True),
        EvidenceCheck(fact="attention", expected="X", found=None, ok=False),
    )
    result = decide(live(world, 0.0), checks=checks)
    not_measured(result, "moe: expected AITER, the engine reported TRITON; attention: expected X")
    assert "the engine reported nothing" in result.reason
    assert result.evidence_checks == checks
    assert result.evidence.facts == {"moe": "TRITON"}


def test_nothing_stored_names_the_command_that_makes_a_baseline(world, decide):
    result = decide(live(world, 0.0), reference=None)
    assert result.verdict is Verdict.NO_BASELINE
    assert result.reason.endswith(": no cpu/tiny/default.json in the folder of baselines")
    assert (
        result.next_step
        == "gate baseline collect configs/tiny.yaml --backend default --arch cpu --repeats 32"
    )
    assert missing_baseline(world.cell).next_step == result.next_step


def test_a_cell_without_a_record_is_not_measured(world):
    not_measured(unmeasured(world.cell, "no record arrived"), "no record arrived")
    assert unmeasured(world.cell, "x", next_step="do this").next_step == "do this"


def test_another_fingerprint_is_incomparable_and_names_each_field(world, decide):
    other = world.fingerprint.model_copy(update={"model_revision": "r2", "max_tokens": 128})
    result = decide(live(world, 0.0).model_copy(update={"fingerprint": other}))
    assert result.verdict is Verdict.INCOMPARABLE
    assert result.fingerprint_differences == {"model_revision": ("r2", "r1"), "max_tokens": ("128", "64")}
    assert "model_revision: r2 here, r1 there" in result.reason


def test_as_many_other_questions_are_incomparable_whatever_the_fingerprint_says(world, decide):
    others = tuple(sorted(("f" * 12, *world.questions[1:])))
    result = decide(world.record(world.rows(3), questions=others))
    assert result.verdict is Verdict.INCOMPARABLE
    assert result.fingerprint_differences["questions"] == (
        "60 questions, 1 of them not in the baseline",
        "60 questions, 1 of them not in the run",
    )


def test_questions_missing_on_one_side_are_incomparable(world, decide):
    fewer = world.reference_of(world.correct[:59])
    result = decide(live(world, 0.0), reference=fewer)
    assert result.verdict is Verdict.INCOMPARABLE
    assert result.fingerprint_differences["questions"] == (
        "60 questions, 1 of them not in the baseline",
        "59 questions, 0 of them not in the run",
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"family_size": 2}, "family_size 2, not 1"),
        ({"alpha": 0.05}, "alpha 0.05, not 0.01"),
        ({"alpha_pass": 0.1}, "alpha_pass 0.1, not 0.05"),
        ({"margin": 0.06}, "margin 0.06, not 0.05"),
        ({"tolerated_loss": 0.02}, "tolerated_loss 0.02, not 0.0"),
        ({"baseline_repeats": 16}, "baseline_repeats 16, not 32"),
        ({"baseline_sha256": "4" * 64}, "baseline_sha256 " + "4" * 64),
        ({"baseline_sha256": None}, "baseline_sha256 None"),
        ({"max_repeats": 25}, "max_repeats 25, not 19"),
        ({"look_at": (20, 60)}, "look_at [20, 60], not [20, 40, 60"),
        ({"purpose": "baseline"}, "collected for a baseline"),
    ],
)
def test_a_record_of_another_plan_is_refused(world, decide, change, words):
    not_measured(decide(live(world, 0.0).model_copy(update=change)), words)


def test_a_record_of_another_order_of_questions_is_not_a_row_of_complete_blocks(world, decide):
    record = live(world, -0.9).model_copy(update={"question_order_seed": "another"})
    not_measured(decide(record), "block 0 is incomplete, yet there are 13 samples of later blocks")


def test_a_record_whose_fingerprint_is_of_another_cell_is_refused(world, decide):
    other = world.cell.model_copy(update={"backend": "other"})
    not_measured(
        decide(live(world, 0.0).model_copy(update={"cell": other})), "the fingerprint of cpu/tiny/default"
    )


def test_a_record_that_goes_on_after_the_decision_is_refused(world, decide):
    rows = world.rows(5, -0.2)
    not_measured(
        decide(world.record(rows)), "goes on for 120 samples after a boundary was crossed at 60 samples"
    )


def test_a_single_sample_after_the_decision_is_one_too_many(world, decide):
    rows = world.rows(3, -0.2)
    late = world.record([*rows, "1" + "." * 59])
    not_measured(decide(late), "goes on for 1 sample after")


def test_questions_asked_unequally_often_are_a_resume_error(world, decide):
    rows = world.rows(6, 0.0, seed=4)
    holed = "." + rows[2][1:]
    not_measured(decide(world.record([*rows[:2], holed, *rows[3:]])), "some questions were asked more often")


def test_a_run_that_ended_before_anything_was_decided_is_never_inconclusive(world, decide):
    not_measured(decide(world.record(world.rows(4, 0.0, seed=4))), "the run ended after 120 samples of 1,140")
    not_measured(decide(world.record(())), "not one block of samples is complete")


def test_half_a_block_is_not_a_look(world, decide):
    rows = world.rows(4, 0.0, seed=4)
    half = rows[1][:30] + "." * 30
    not_measured(decide(world.record([rows[0], half])), "the run ended after 60 samples")


def test_a_run_out_of_time_is_inconclusive(world_of):
    timed = world_of(GateSettings(margin=0.05, max_minutes=2))
    rows = timed.rows(4, 0.0, seed=4)
    late, early = timed.record(rows, seconds=120.0), timed.record(rows, seconds=119.0)
    out_of_time = decide_cell(late, timed.reference, settings=timed.settings, family_size=1)
    assert out_of_time.verdict is Verdict.INCONCLUSIVE
    assert out_of_time.reason.startswith("the time of 2 min is spent")
    assert (
        decide_cell(early, timed.reference, settings=timed.settings, family_size=1).verdict == "not_measured"
    )


def test_a_baseline_that_cannot_prove_the_margin_decides_nothing(world, decide):
    once = world.reference_of(world.correct // 32, 1)
    not_measured(decide(live(world, 0.0), reference=once), "a baseline of one repeat")


def test_stored_looks_never_hold_an_infinity(world):
    correct = np.array([32, 0] * 30)
    tolerant = GateSettings(margin=0.05, tolerated_loss=0.01)
    reference = world.reference_of(correct)
    budget = plan_budget(reference, tolerant, family_size=1)
    plan = plan_sequence(reference, budget, question_order_seed="seed")
    step = next_step(plan, ["".join("1" if k else "0" for k in correct)])
    assert step.looks[0].z_regression == -99


def test_the_interval_has_the_boundary_of_its_own_error_at_that_look(world, decide):
    result = decide(live(world, -0.2))
    number = len(result.looks) - 1
    s = np.array([[c == "1" for c in row] for row in live(world, -0.2).outcomes]).sum(axis=0)
    look = look_statistics(world.correct, 32, s, result.looks[-1].repeats, margin=0.05)
    half = boundaries(world.plan.times, 0.025)[number] * float(look.variance) ** 0.5
    assert result.interval == pytest.approx((result.difference - half, result.difference + half))
