"""A margin that cannot be proven is refused before anything is started, with what would help."""

import numpy as np
import pytest

from gate.config import GateSettings
from gate.decide import plan_budget, plan_sequence
from gate.errors import StatisticsError
from gate.stats.planning import repeats_for
from tests.support.measured import calibration


def refusal(world, settings=None, correct=None, repeats=32, **changes):
    reference = world.reference_of(world.correct if correct is None else correct, repeats)
    with pytest.raises(StatisticsError) as caught:
        plan_budget(reference, settings or world.settings, **({"family_size": 1} | changes))
    return str(caught.value)


def test_the_budget_is_what_the_margin_takes(world):
    budget = plan_budget(world.reference, world.settings, family_size=1)
    assert (budget.max_repeats, budget.needed_repeats, budget.margin) == (19, 19, 0.05)
    assert budget.samples == 19 * 60
    assert budget.detectable_drop == pytest.approx(0.0418, abs=1e-4)


def test_a_tolerated_loss_adds_to_the_drop_that_is_found(world):
    budget = plan_budget(world.reference, GateSettings(margin=0.05, tolerated_loss=0.01), family_size=1)
    assert budget.detectable_drop == pytest.approx(world.budget.detectable_drop + 0.01)


@pytest.mark.parametrize(
    ("config", "measured", "tolerated"), [(0.01, 0.004, 0.01), (0.01, 0.02, 0.02), (0.0, 0.0, 0.0)]
)
def test_the_larger_of_what_is_allowed_and_what_was_measured_is_tolerated(world, config, measured, tolerated):
    reference = world.reference._replace(calibration=calibration(tolerated_loss=measured))
    settings = GateSettings(margin=0.05, tolerated_loss=config)
    assert plan_budget(reference, settings, family_size=1).terms.tolerated_loss == tolerated


def test_a_loss_that_reaches_the_margin_is_not_tolerated(world):
    reference = world.reference._replace(calibration=calibration(tolerated_loss=0.05))
    with pytest.raises(StatisticsError, match=r"5.0 points is tolerated, no less than the margin"):
        plan_budget(reference, world.settings, family_size=1)


def test_alpha_is_split_over_the_cells_of_the_run(world):
    budget = plan_budget(world.reference, GateSettings(margin=0.06), family_size=4)
    assert budget.terms.alpha == 0.01 / 4
    assert budget.terms.alpha_pass == 0.05
    assert budget.max_repeats > plan_budget(world.reference, GateSettings(margin=0.06), family_size=1)[0]


def test_the_plan_declares_looks_at_thirds_and_full_passes(world):
    plan = plan_sequence(world.reference, world.budget, question_order_seed="seed")
    assert plan.look_at == (20, 40, *range(60, 19 * 60 + 1, 60))
    assert plan.times[-1] == pytest.approx(1)


def test_an_unprovable_margin_says_how_many_baseline_repeats_or_which_margin_would_do(world):
    said = refusal(world, correct=world.correct // 4, repeats=8)
    assert said.startswith("cpu/tiny/default: a drop below 5.0 points cannot be ruled out")
    assert "8 repeats, 60 questions, cells in the run: 1" in said
    assert "collect 22 or more baseline repeats, or widen the margin to 0.072 or more" in said


def test_what_the_refusal_proposes_is_then_accepted(world):
    wider = GateSettings(margin=0.072)
    assert plan_budget(world.reference_of(world.correct // 4, 8), wider, family_size=1).max_repeats == 40
    assert plan_budget(world.reference, world.settings, family_size=1).max_repeats <= 40


def test_a_margin_no_baseline_can_prove_says_so(world):
    assert "no baseline is large enough: widen the margin to" in refusal(world, GateSettings(margin=0.02))


def test_a_budget_of_more_than_forty_repeats_is_refused(world):
    greedy = GateSettings(margin=0.04, max_repeats=1000)
    assert 40 < repeats_for(world.budget.design, 0.04) < 1000
    assert "cannot be ruled out with this baseline" in refusal(world, greedy)


def test_a_cap_below_the_need_is_refused_with_the_margin_it_proves(world):
    said = refusal(world, GateSettings(margin=0.05, max_repeats=10))
    assert "takes 19 repeats, but max_repeats is 10, which rules out 6.2 points" in said
    assert "--accept-wider-margin" in said


def test_an_accepted_wider_margin_is_the_one_that_is_tested(world):
    capped = GateSettings(margin=0.05, max_repeats=10)
    budget = plan_budget(world.reference, capped, family_size=1, accept_wider_margin=True)
    assert (budget.max_repeats, budget.needed_repeats) == (10, 19)
    assert budget.terms.margin == pytest.approx(0.0617, abs=1e-4)


def test_a_wider_margin_is_not_needed_where_the_cap_suffices(world):
    budget = plan_budget(world.reference, world.settings, family_size=1, accept_wider_margin=True)
    assert budget.margin == 0.05


def test_a_wider_margin_may_not_exceed_what_the_baseline_scores(world):
    correct = np.array([8, 0, 0, 0, 0, 0] * 10)
    settings = GateSettings(margin=0.04, max_repeats=1)
    said = refusal(world, settings, correct, accept_wider_margin=True)
    assert "leaves no room between" in said


@pytest.mark.parametrize(
    ("correct", "margin"),
    [(np.zeros(60), 0.05), (np.full(60, 16), 0.5), (np.full(60, 16), 0.7)],
)
def test_a_margin_that_exceeds_the_baseline_score_is_refused(world, correct, margin):
    assert "leaves no room between" in refusal(world, GateSettings(margin=margin), correct)


def test_a_margin_that_reaches_down_to_guessing_is_refused(world):
    settings = GateSettings(margin=0.22)
    assert plan_budget(world.reference, settings, family_size=1).max_repeats >= 1
    assert "between guessing, 0.250, and the baseline score" in refusal(world, settings, chance=0.25)


def test_an_all_right_baseline_has_a_budget(world):
    budget = plan_budget(world.reference_of(np.full(60, 32)), world.settings, family_size=1)
    assert budget.design.within == pytest.approx(1 / 60)
    assert budget.max_repeats == 3


def test_a_baseline_of_one_repeat_asks_for_a_second(world):
    assert "collect a second repeat" in refusal(world, correct=world.correct // 32, repeats=1)


def test_a_baseline_of_one_question_cannot_rule_out_anything(world):
    assert "1 question cannot rule out any drop" in refusal(world, correct=[16])


@pytest.mark.parametrize(
    ("change", "words"), [({"family_size": 0}, "family of 0 cells"), ({"chance": 1.0}, "guessing scores 1.0")]
)
def test_a_family_or_a_chance_that_cannot_be_is_refused(world, change, words):
    assert words in refusal(world, **change)
