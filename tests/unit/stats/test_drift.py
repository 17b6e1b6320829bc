"""Drift of log-probabilities: against distributions known in full, and its error when nothing changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from benchmarks.probe_alarms import World, simulate
from gate.errors import StatisticsError
from gate.stats.drift import (
    FEWEST_PROMPTS,
    KL_ALLOWANCE,
    KL_FLOOR,
    SHIFT_FLOOR,
    Rows,
    RunSpread,
    agreement,
    divergence,
    drift,
    flips,
    floors,
    level,
    run_spread,
    shift,
)

DECLARED = run_spread(np.zeros((0, 32)), KL_FLOOR)
MANY_ALIKE = run_spread(np.zeros((40, 32)), KL_FLOOR)
VALUES = st.lists(st.floats(0, 1e3, allow_subnormal=False), min_size=1, max_size=40)


def rows(distribution: np.ndarray, top: int) -> Rows:
    """What an engine would show of distributions (T, V): its `top` likeliest; the first id stands there."""
    order = np.argsort(-distribution, axis=1, kind="stable")[:, :top]
    logs = np.log(distribution)
    token = np.zeros(len(distribution), np.int64)
    return Rows(token, logs[:, 0], order, np.take_along_axis(logs, order, axis=1))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of distributions of the same shape (T, V), neighbours or strangers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = (draw(st.integers(1, 4)), draw(st.integers(6, 30)))
    logits = 3 * rng.standard_normal(shape)
    moved = logits + draw(st.sampled_from([0.0, 0.01, 1.0, 5.0])) * rng.standard_normal(shape)
    p, q = (np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (logits, moved))
    return p, q


@settings(deadline=None)
@given(pairs())
def test_with_every_token_listed_the_divergence_is_kullback_and_leiblers(both):
    p, q = both
    found = divergence(rows(p, p.shape[1]), rows(q, q.shape[1]))
    assert found == pytest.approx(scipy_stats.entropy(p, q, axis=1), rel=1e-3, abs=2e-5)


@settings(deadline=None)
@given(pairs(), st.integers(1, 6))
def test_what_is_hidden_never_makes_it_negative_or_endless(both, top):
    found = divergence(rows(both[0], top), rows(both[1], top))
    assert ((found >= 0) & (found < 50)).all()


def test_twenty_of_many_tokens_show_nearly_all_of_a_small_divergence():
    rng = np.random.default_rng(5)
    logits = 3 * rng.standard_normal((200, 500))
    p, q = (
        np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) for x in (logits, logits + 0.1 * rng.random(500))
    )
    found = divergence(rows(p, 20), rows(q, 20)).mean()
    assert found == pytest.approx(scipy_stats.entropy(p, q, axis=1).mean(), rel=0.4)


@settings(deadline=None)
@given(pairs(), st.integers(1, 6))
def test_an_engine_does_not_drift_from_itself(both, top):
    mine = rows(both[0], top)
    assert divergence(mine, mine) == pytest.approx(0, abs=1e-12)
    assert shift(mine, mine).max() == 0
    assert agreement(mine, mine) == 1
    assert flips(mine, mine) == 0


@pytest.mark.parametrize(
    ("ours", "theirs", "p", "q"),
    [
        # Of the .2 that ours leaves token 3 gets half, of their .05 token 2 does.
        ([0.5, 0.3], [0.6, 0.35], [0.5, 0.3, 0.1, 0.1], [0.6, 0.025, 0.35, 0.025]),
        # Much is left, but a token that is not listed is no likelier than one that is.
        ([0.5, 0.01], [0.6, 0.35], [0.5, 0.01, 0.01, 0.48], [0.6, 0.025, 0.35, 0.025]),
    ],
)
def test_by_hand_over_the_union_of_both_lists_and_a_rest(ours, theirs, p, q):
    mine = Rows(np.array([1]), np.log([ours[0]]), np.array([[1, 2]]), np.log([ours]))
    other = Rows(np.array([1]), np.log([theirs[0]]), np.array([[1, 3]]), np.log([theirs]))
    assert divergence(mine, other) == pytest.approx([scipy_stats.entropy(p, q)])


def test_disjoint_lists_are_far_apart():
    ours = Rows(np.array([1]), np.array([-0.01]), np.array([[1, 2]]), np.log([[0.9, 0.09]]))
    theirs = Rows(np.array([1]), np.array([-9.0]), np.array([[3, 4]]), np.log([[0.9, 0.09]]))
    assert divergence(ours, theirs)[0] > 2
    assert (agreement(ours, theirs), flips(ours, theirs)) == (0, 1)
    assert shift(ours, theirs) == pytest.approx([8.99])


def test_certain_positions_have_no_divergence_and_no_warning():
    sure = Rows(np.array([1]), np.array([0.0]), np.array([[1, 2]]), np.array([[0.0, -800.0]]))
    assert divergence(sure, sure)[0] == 0


def test_no_positions_say_nothing():
    empty = rows(np.full((1, 3), 1 / 3), 2).first(0)
    assert divergence(empty, empty).shape == (0,)
    assert math.isnan(agreement(empty, empty))


def test_different_positions_cannot_be_compared():
    three = rows(np.full((3, 3), 1 / 3), 2)
    with pytest.raises(StatisticsError, match="3 positions on one side, 2 on the other"):
        divergence(three, three.first(2))
    with pytest.raises(StatisticsError, match="different tokens"):
        shift(three, three._replace(token=three.token + 1))


@given(VALUES)
def test_the_level_lies_among_the_values(values):
    assert 0 <= level(values) <= max(values) * (1 + 1e-6)


@given(st.floats(1e-6, 1e3), st.integers(1, 40))
def test_the_level_of_equal_values_is_their_value(value, number):
    assert level([value] * number) == pytest.approx(value, rel=1e-6)


@given(VALUES, st.floats(1e-3, 1e3))
def test_the_level_has_the_unit_of_the_values(values, scale):
    assert level(scale * np.array(values)) == pytest.approx(scale * level(values), rel=1e-6, abs=1e-300)


def test_one_wild_prompt_of_many_hardly_moves_the_level():
    assert level([1.0] * 31 + [1e6]) < 3


def test_without_a_healthy_comparison_the_floor_is_the_least():
    assert floors(np.zeros((0, 3)), KL_FLOOR).tolist() == [KL_FLOOR] * 3


@given(st.integers(1, 5), st.integers(3, 20), st.integers(0, 2**32))
def test_no_healthy_comparison_exceeds_the_floor_that_it_made(comparisons, prompts, seed):
    healthy = np.random.default_rng(seed).lognormal(-7, 2, (comparisons, prompts))
    noise = floors(healthy, KL_FLOOR)
    assert (noise >= KL_FLOOR).all()
    for row in healthy:
        found = drift(row, noise, 1.5, run_spread(healthy, KL_FLOOR))
        assert found.times <= 1 + 1e-6
        assert found.p_value > 0.001


def test_a_prompt_that_says_nothing_in_one_comparison_still_has_a_floor():
    assert floors([[math.nan, 0.5], [0.3, 0.5]], KL_FLOOR) == pytest.approx([0.3, 0.5])


def test_a_floor_of_zero_is_refused():
    with pytest.raises(StatisticsError, match="least value above 0"):
        floors(np.zeros((1, 3)), 0.0)
    with pytest.raises(StatisticsError, match="not positive"):
        drift([0.1, 0.1, 0.1], [0.1, 0.0, 0.1], 1.5, DECLARED)


def test_an_engine_that_repeats_itself_bit_for_bit_does_not_alarm():
    found = drift(np.zeros(32), np.full(32, KL_FLOOR), 1.5, DECLARED)
    assert found.times == 0
    assert found.p_value > 0.99


def test_of_such_an_engine_a_ten_thousandth_of_a_nat_is_one_floor():
    still = floors(np.zeros((9, 32)), KL_FLOOR)
    spread = run_spread(np.zeros((9, 32)), KL_FLOOR)
    found = [drift(np.full(32, nats), still, KL_ALLOWANCE, spread) for nats in (1e-4, 5e-4)]
    assert [one.times for one in found] == pytest.approx([1, 5])
    assert found[0].p_value > 0.5
    assert found[1].p_value < 1e-3
    assert drift([math.sqrt(2e-4)] * 32, [SHIFT_FLOOR] * 32, 1.0, spread).times == pytest.approx(1)


def test_the_same_drift_everywhere_alarms_and_its_p_stays_above_zero():
    found = drift(np.full(32, 40 * SHIFT_FLOOR), np.full(32, SHIFT_FLOOR), 1.5, MANY_ALIKE)
    assert found.times == pytest.approx(40)
    assert found.p_value == 1e-12


def test_four_times_the_floor_alarms_whatever_single_prompts_do():
    rng = np.random.default_rng(3)
    values = 4 * KL_FLOOR * rng.lognormal(0, 0.5, 32)
    values[:3] = 0.0
    assert drift(values, np.full(32, KL_FLOOR), 1.5, MANY_ALIKE).p_value < 1e-4


def test_too_few_prompts_prove_nothing():
    assert drift([9.0] * (FEWEST_PROMPTS - 1), [KL_FLOOR] * (FEWEST_PROMPTS - 1), 1.5, DECLARED).p_value == 1
    assert drift([9.0, 9.0, math.nan, math.nan], [KL_FLOOR] * 4, 1.5, DECLARED).prompts == 2


def test_a_run_that_is_louder_as_a_whole_is_no_drift_where_healthy_runs_are_too():
    rng = np.random.default_rng(11)
    loud = 20 * KL_FLOOR * np.exp(rng.normal(0, 0.8, (9, 1)) + rng.normal(0, 0.2, (9, 32)))
    alike = 20 * KL_FLOOR * np.exp(rng.normal(0, 0.2, (9, 32)))
    for healthy, alarms in ((loud, False), (alike, True)):
        floor = floors(healthy, KL_FLOOR)
        found = drift(8 * floor, floor, 1.5, run_spread(healthy, KL_FLOOR))
        assert (found.p_value < 0.001) is alarms


def test_what_few_runs_show_of_their_spread_is_pooled_with_what_is_taken_for_granted():
    assert run_spread(np.zeros((0, 5)), KL_FLOOR) == pytest.approx((0.01, 4, 0))
    assert run_spread(np.full((1, 5), 3.0), KL_FLOOR) == pytest.approx((0.01, 4, 1))
    assert run_spread(np.zeros((5, 5)), KL_FLOOR) == pytest.approx((0.005, 8, 5))
    two = run_spread(np.outer([0.5, 1.5], np.ones(5)), KL_FLOOR)
    squares = (2 * math.log(0.75) - 2 * math.log(1.25)) ** 2 / 2
    assert two == pytest.approx(((0.04 + squares) / 5, 5, 2), rel=1e-6)


@given(st.integers(2, 12), st.floats(0, 1), st.integers(0, 2**32))
def test_the_more_healthy_runs_differ_the_less_is_a_drift(runs, more, seed):
    rng = np.random.default_rng(seed)
    prompts, between = rng.lognormal(0, 0.2, 20), rng.standard_normal((runs, 1))
    calm, wild = (np.exp(size * between) * prompts for size in (0.1, 0.1 + more))
    floor, seen = np.full(20, 1.0), 6 * rng.lognormal(0, 0.3, 20)
    found = [drift(seen, floor, 1.5, run_spread(h, 0.001)).p_value for h in (calm, wild)]
    assert found[0] <= found[1] * (1 + 1e-9)


def test_against_an_oracle_where_runs_do_not_differ_it_is_the_t_test_over_prompts():
    values = KL_FLOOR * np.random.default_rng(2).lognormal(0.8, 0.4, 32)
    none = DECLARED._replace(variance=1e-18)
    x = np.log((values / KL_FLOOR / 1.5 + 1) / 2)
    oracle = scipy_stats.ttest_1samp(x, 0, alternative="greater").pvalue
    assert drift(values, np.full(32, KL_FLOOR), 1.5, none).p_value == pytest.approx(oracle, rel=1e-6)


@pytest.mark.parametrize(
    ("spread", "of_a_new_run"),
    [
        (RunSpread(0.04, 5, 2), 0.04 + 0.04 / 2),
        (RunSpread(0.01, 12, 9), 0.01 + 0.01 / 9),
        (RunSpread(0.01, 4, 0), 0.01),  # a declared floor has no error of its own
    ],
)
def test_by_hand_with_runs_that_differ(spread, of_a_new_run):
    values, floor = np.array([2.0, 3.0, 4.0, 6.0, math.nan]), np.full(5, 0.5)
    x = [math.log((r + 1) / 2) for r in (2, 3, 4, 6)]  # of 2 / (2 x .5) and so on
    of_prompts = scipy_stats.sem(x) ** 2
    variance = of_prompts + of_a_new_run
    degrees = variance**2 / (of_prompts**2 / 3 + of_a_new_run**2 / spread.degrees)
    by_hand = scipy_stats.t(degrees).sf(np.mean(x) / math.sqrt(variance))
    assert drift(values, floor, 2.0, spread).p_value == pytest.approx(by_hand)


def test_where_runs_differ_more_than_prompts_p_is_below_a_tenth_in_a_tenth_of_healthy_runs():
    # Levels are normal on the scale of x, so that the t of 2 degrees, with a floor's error of 1/3, is exact.
    rng, runs, number, between = np.random.default_rng(4), 3, 2000, 0.1
    levels = between * rng.standard_normal((number, runs + 1))
    within = 0.02 * rng.standard_normal((number, 8))
    found = 0
    for of_runs, prompts in zip(levels, within, strict=True):
        new, known = of_runs[0], of_runs[1:]
        values = 2 * np.exp(new - known.mean() + prompts) - 1
        spread = RunSpread(float(known.var(ddof=1)), runs - 1, runs)
        found += drift(values, np.ones(8), 1.0, spread).p_value <= 0.1
    assert scipy_stats.binomtest(found, number, 0.1).pvalue > 0.01


SMALL = World(prompts=12, tokens=6, vocabulary=16, top=8)


def test_a_thousand_probes_of_a_healthy_engine_raise_no_alarm_where_a_test_over_tokens_raises_hundreds():
    alarms, over_tokens = simulate(SMALL, probes=1000, seed=1)
    assert alarms <= 1
    assert over_tokens > 0.1


def test_an_engine_three_times_as_noisy_is_caught():
    assert simulate(World(harm=2.0, run_spread=0.03), probes=10, seed=1)[0] == 10


def test_eight_of_32_prompts_thirty_times_as_noisy_are_caught():
    assert simulate(World(harm=29.0, harmed=8), probes=10, seed=1)[0] == 10
