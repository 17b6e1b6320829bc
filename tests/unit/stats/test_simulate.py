"""Simulated worlds are what they say, and gates in them behave as they must, within wide bounds."""

import numpy as np
import pytest

from gate.errors import StatisticsError
from gate.stats.scenarios import Change, Difficulty, Scenario, chances
from gate.stats.sequential import Terms
from gate.stats.simulate import false_alarms_by_baseline, fixed_rule, simulate

TERMS = Terms(margin=0.05, tolerated_loss=0.0, alpha=0.01, alpha_pass=0.05, max_repeats=8)


@pytest.mark.parametrize("difficulty", list(Difficulty))
def test_questions_have_the_accuracy_and_the_variance_asked_for(difficulty):
    b, p = chances(Scenario(difficulty=difficulty))
    assert b.mean() == pytest.approx(0.58, abs=0.003)
    assert (b * (1 - b)).mean() == pytest.approx(0.124, abs=0.001)
    assert np.array_equal(b, p)


@pytest.mark.parametrize("difficulty", list(Difficulty))
@pytest.mark.parametrize(
    "change", [Change.UNIFORM, Change.TRUNCATION, Change.BROKEN, Change.CHANCE, Change.RESHUFFLED]
)
def test_a_drop_is_as_large_as_asked_for(difficulty, change):
    b, p = chances(Scenario(change=change, drop=0.04, difficulty=difficulty))
    assert (b - p).mean() == pytest.approx(0.04, abs=1e-6)
    assert p.min() >= 0


def test_an_improvement_a_reshuffle_and_chance_are_what_they_are_called():
    b, p = chances(Scenario(change=Change.IMPROVEMENT, drop=0.04))
    assert (p - b).mean() == pytest.approx(0.04, abs=1e-6)
    b, p = chances(Scenario(change=Change.RESHUFFLED))
    assert sorted(b) == sorted(p)
    assert not np.array_equal(b, p)
    assert set(chances(Scenario(change=Change.CHANCE, chance=0.2))[1]) == {0.2}


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario(accuracy=0.58, within=0.25),
        Scenario(within=0.0),
        Scenario(change=Change.UNIFORM, drop=0.6),
        Scenario(change=Change.IMPROVEMENT, drop=0.5),
        Scenario(drop=-0.1),
        Scenario(change=Change.CHANCE, drop=0.34),
    ],
)
def test_worlds_that_cannot_be_are_refused(scenario):
    with pytest.raises(StatisticsError):
        chances(scenario)


def test_without_a_change_nearly_all_gates_pass_and_hardly_any_fails():
    found = simulate(Scenario(), 8, TERMS, replicates=1000, seed=1)
    assert found.failed < 0.03
    assert found.passed > 0.95
    assert 0.3 < found.mean_samples / 1584 < 0.42
    assert found.covered > found.covered_naively > 0.9
    assert abs(found.bias) < 0.02


def test_a_drop_of_twice_the_margin_fails_quickly():
    found = simulate(Scenario(change=Change.UNIFORM, drop=0.1), 8, TERMS, replicates=300, seed=1)
    assert found.failed > 0.99
    assert found.mean_samples / 1584 < 0.2
    assert found.true_difference == pytest.approx(-0.1, abs=1e-6)


def test_all_answers_at_chance_stop_at_the_first_look():
    found = simulate(Scenario(change=Change.CHANCE), 32, TERMS, replicates=200, seed=1)
    assert found.failed == 1
    assert np.median(found.samples) == 66


def test_a_reshuffled_question_set_is_no_regression():
    found = simulate(Scenario(change=Change.RESHUFFLED), 8, TERMS, replicates=500, seed=1)
    assert found.failed < 0.03


def test_the_same_seed_gives_the_same_gates_and_another_seed_others():
    scenario = Scenario(change=Change.UNIFORM, drop=0.03)
    one, same, other = (simulate(scenario, 8, TERMS, replicates=50, seed=s) for s in (1, 1, 2))
    assert np.array_equal(one.difference, same.difference)
    assert not np.array_equal(one.difference, other.difference)


def test_gates_in_many_chunks_are_as_many_as_asked_for():
    found = simulate(Scenario(questions=1000), 8, TERMS, replicates=250, seed=1)
    assert found.stop.shape == found.samples.shape == (250,)


def test_variation_between_runs_raises_false_alarms():
    shaky = simulate(Scenario(drift=0.02), 8, TERMS, replicates=500, seed=1)
    assert shaky.failed > 0.04


def test_an_anchor_of_the_same_quality_hardly_ever_alarms_and_finds_what_the_gate_would_pass():
    terms = TERMS._replace(alpha=0.008, alpha_anchor=0.002)
    calm = simulate(Scenario(), 32, terms, replicates=2000, seed=1, anchor_repeats=32)
    assert 0 < calm.drifted.mean() < 0.006
    assert calm.failed == pytest.approx((calm.dropped & ~calm.held | calm.drifted).mean())
    lost = simulate(
        Scenario(change=Change.UNIFORM, drop=0.08), 32, terms, replicates=200, seed=1, anchor_repeats=32
    )
    assert lost.drifted.mean() > 0.8


def test_without_an_anchor_nothing_has_drifted():
    assert not simulate(Scenario(), 8, TERMS, replicates=20, seed=1).drifted.any()


def test_a_baseline_of_one_repeat_never_passes():
    found = simulate(Scenario(), 1, TERMS, replicates=20, seed=1)
    assert found.passed == 0


def test_one_unlucky_baseline_raises_alarms_again_and_again():
    rates = false_alarms_by_baseline(Scenario(), 8, TERMS, baselines=12, replicates=150, seed=3)
    assert rates.shape == (12,)
    assert rates.max() > rates.min()


def test_the_fixed_rule_misses_three_points():
    scenario = Scenario(change=Change.UNIFORM, drop=0.03)
    assert fixed_rule(scenario, repeats=8, threshold=0.568, tolerance=0.05, replicates=500) < 0.03
