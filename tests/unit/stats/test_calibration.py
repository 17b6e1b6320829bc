"""What runs differ by beyond sampling, found again where it was put in, and undone where it does harm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from gate.errors import StatisticsError
from gate.stats.boundaries import boundaries, exit_probability, look_times
from gate.stats.calibration import (
    alarm_curve,
    between_runs,
    flip_rate,
    offset_deviation,
    replayed_alarms,
    restoring_loss,
)
from gate.stats.scenarios import Scenario, chances
from gate.stats.sequential import Terms, plan_sequence
from gate.stats.simulate import simulate

TERMS = Terms(margin=0.03, tolerated_loss=0.0, alpha=0.01, alpha_pass=0.05, max_repeats=16)
TIMES = look_times([1 / 3, 2 / 3, 1, 2, 4, 8, 16], baseline_repeats=32, max_repeats=16)


def runs_of(deviation, runs, *, repeats=32, seed=1):
    rng = np.random.default_rng(seed)
    b, _ = chances(Scenario())
    offsets = rng.normal(0, deviation, runs)
    return np.stack([rng.binomial(repeats, np.clip(b + x, 0, 1)) for x in offsets])


@pytest.fixture(scope="module")
def curve():
    b, _ = chances(Scenario())
    k = np.round(32 * b)
    plan = plan_sequence([f"{i:012x}" for i in range(198)], k, 32, TERMS, question_order_seed="s")
    return alarm_curve(plan)


@pytest.mark.parametrize("alpha", [0.01, 0.0005])
def test_without_a_drift_the_boundaries_spend_their_error(alpha):
    assert exit_probability(TIMES, boundaries(TIMES, alpha), 0.0) == pytest.approx(alpha, rel=1e-6)


def test_a_drift_of_one_look_is_a_normal_tail():
    assert exit_probability((1.0,), (1.96,), 0.7) == pytest.approx(scipy_stats.norm.sf(1.96 - 0.7))


def test_exit_probabilities_with_a_drift_are_those_of_a_multivariate_normal():
    times, drift = TIMES[2:5], 1.3
    upper = boundaries(times, 0.05)
    t = np.array(times)
    law = scipy_stats.multivariate_normal(
        drift * np.sqrt(t), np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t)), seed=1
    )
    assert exit_probability(times, upper, drift) == pytest.approx(1 - law.cdf(np.array(upper)), abs=1e-4)


@pytest.mark.parametrize(("times", "upper"), [((), ()), ((0.5, 1.0), (2.0,))])
def test_boundaries_that_are_not_one_a_look_are_refused(times, upper):
    with pytest.raises(StatisticsError, match="boundaries for"):
        exit_probability(times, upper, 0.0)


def test_what_was_put_in_between_the_runs_is_found_again():
    found = [between_runs(runs_of(0.01, 40, seed=s), [32] * 40).deviation for s in range(6)]
    assert np.mean(found) == pytest.approx(0.01, rel=0.15)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    inside = 0
    for seed in range(200):
        found = between_runs(runs_of(0.01, 5, seed=seed), [32] * 5)
        inside += found.low <= 0.01 <= found.high
    assert 181 <= inside <= 199  # 95 % of 200, four standard errors either side


def test_runs_that_differ_by_sampling_alone_may_differ_by_nothing_more():
    found = [between_runs(runs_of(0.0, 5, seed=s), [32] * 5) for s in range(20)]
    assert sum(f.low == 0 for f in found) >= 17
    assert sum(f.deviation == 0 for f in found) >= 8


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000), st.integers(3, 8), st.sampled_from([0.0, 0.005, 0.03]))
def test_the_interval_holds_the_estimate_and_the_order_of_runs_does_not_matter(seed, runs, deviation):
    correct = runs_of(deviation, runs, repeats=8, seed=seed)
    found = between_runs(correct, [8] * runs)
    assert 0 <= found.low <= found.deviation <= found.high
    assert between_runs(correct[::-1], [8] * runs) == pytest.approx(found, abs=1e-9)


@pytest.mark.parametrize(
    ("correct", "repeats", "words"),
    [
        (np.ones((2, 5)), [4, 4], "2 runs hardly show"),
        (np.ones(5), [4], "no runs"),
        (np.ones((3, 5)), [4, 4], "no runs"),
    ],
)
def test_too_few_runs_or_none_at_all_are_refused(correct, repeats, words):
    with pytest.raises(StatisticsError, match=words):
        between_runs(correct, repeats)


def test_a_pool_of_many_runs_scatters_less_than_one():
    assert offset_deviation(0.01, [32]) == pytest.approx(0.01 * np.sqrt(2))
    assert offset_deviation(0.01, [32] * 4) == pytest.approx(0.01 * np.sqrt(1.25))
    assert offset_deviation(0.01, [96, 32]) == pytest.approx(0.01 * np.sqrt(1 + 0.75**2 + 0.25**2))


def test_scatter_between_runs_multiplies_false_alarms(curve):
    assert curve.at(0.0) == pytest.approx(0.01, rel=1e-3)
    rates = [curve.at(x) for x in (0.003, 0.005, 0.01)]
    assert rates == sorted(rates)
    assert rates[-1] > 0.06


def test_the_curve_bounds_what_gates_do_when_their_run_is_off(curve):
    found = simulate(Scenario(drift=0.01), 32, TERMS, replicates=2000, seed=1)
    assert found.failed == pytest.approx(curve.at(0.01), abs=0.02)
    assert found.failed <= curve.at(0.01) + 0.01


@pytest.mark.parametrize("offset", [0.003, 0.005, 0.01])
def test_the_loss_that_is_tolerated_restores_the_nominal_rate(curve, offset):
    loss = restoring_loss(curve, offset, 0.01)
    assert 0 < loss < 0.03
    assert curve.at(offset, loss) <= 0.01
    assert curve.at(offset, loss - 2e-5) > 0.01


def test_gates_with_the_tolerated_loss_alarm_no_more_than_they_should(curve):
    loss = restoring_loss(curve, 0.01, 0.01)
    tolerant = TERMS._replace(tolerated_loss=loss)
    assert simulate(Scenario(drift=0.01), 32, tolerant, replicates=2000, seed=1).failed < 0.018


def test_runs_that_agree_need_no_loss(curve):
    assert restoring_loss(curve, 0.0, 0.01) == 0


def test_a_baseline_of_one_repeat_has_no_curve():
    plan = plan_sequence(["a", "b", "c"], [1, 0, 1], 1, TERMS, question_order_seed="s")
    with pytest.raises(StatisticsError, match="collect a second"):
        alarm_curve(plan)


def test_two_answers_flip_as_often_as_twice_the_variance():
    correct = runs_of(0.0, 30, repeats=1)
    assert flip_rate(correct, [1] * 30) == pytest.approx(2 * 0.124, abs=0.01)
    assert flip_rate(np.array([[1, 0, 1, 1], [1, 1, 0, 1]]), [1, 1]) == 0.5
    assert flip_rate(np.array([[4, 0], [4, 0]]), [4, 4]) == 0


def test_replayed_runs_alarm_when_one_of_them_is_worse():
    ids = [f"{i:012x}" for i in range(198)]
    rng = np.random.default_rng(1)
    b, _ = chances(Scenario())

    def alarms(low):
        correct = np.stack([rng.binomial(32, b), rng.binomial(32, b), rng.binomial(32, b * (1 - low))])
        plans = [
            plan_sequence(ids, np.delete(correct, r, 0).sum(axis=0), 64, TERMS, question_order_seed="s")
            for r in range(3)
        ]
        return replayed_alarms(plans, correct, [32] * 3, orders=8, seed=1)

    assert alarms(0.0) == 0
    assert alarms(0.2) == pytest.approx(1 / 3, abs=0.05)


def test_a_drop_that_is_proven_smaller_than_the_margin_is_no_alarm_of_a_replay():
    """Both boundaries are crossed at the first look, and a gate passes such a cell."""
    questions = [f"{i:012x}" for i in range(300)]
    plans = {
        margin: plan_sequence(
            questions,
            np.full(300, 32),
            32,
            TERMS._replace(margin=margin, max_repeats=8),
            question_order_seed="s",
        )
        for margin in (0.03, 0.7)
    }
    alarms = {
        margin: replayed_alarms([plan], np.full((1, 300), 6), [8], orders=4, seed=1)
        for margin, plan in plans.items()
    }
    assert alarms == {0.03: 1.0, 0.7: 0.0}
