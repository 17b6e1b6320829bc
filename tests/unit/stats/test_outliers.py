"""Few prompts that moved far: seen where they stand out of what single prompts do, and not otherwise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.errors import StatisticsError
from gate.stats.drift import KL_FLOOR, drift, floors, run_spread
from gate.stats.outliers import LEAST_EXCESS, TOGETHER, outliers

PROMPTS, RUNS = 32, 9
SEEDS = st.integers(0, 2**32)


def world(seed: int, *, runs: int = RUNS, scatter: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """A healthy candidate (n,) and healthy comparisons (R, n), of prompts that differ."""
    rng = np.random.default_rng(seed)
    prompts = 20 * KL_FLOOR * rng.lognormal(0, 1, PROMPTS)
    all_runs = prompts * rng.lognormal(0, scatter, (runs + 1, PROMPTS))
    return all_runs[0], all_runs[1:]


def p_value(values: np.ndarray, healthy: np.ndarray) -> float:
    return outliers(values, healthy, KL_FLOOR, 1.5).p_value


def moved(values: np.ndarray, number: int, times: float) -> np.ndarray:
    return np.where(np.arange(len(values)) < number, times * values, values)


def test_eight_of_32_prompts_that_moved_are_seen_where_t_over_prompts_sees_nothing():
    values, healthy = world(1)
    broken = moved(values, 8, 1000)
    assert p_value(broken, healthy) < 1e-5
    most = drift(broken, floors(healthy, KL_FLOOR), 1.5, run_spread(healthy, KL_FLOOR))
    assert most.p_value > 0.001


@given(SEEDS, st.floats(1e3, 1e12))
def test_how_far_a_single_prompt_moved_makes_no_difference(seed, times):
    values, healthy = world(seed)
    single = TOGETHER - 1
    assert p_value(moved(values, single, times), healthy) == p_value(moved(values, single, 1e12), healthy)


@given(SEEDS)
def test_a_thousandfold_in_two_prompts_always_does(seed):
    values, healthy = world(seed, scatter=0.2)
    assert p_value(moved(values, TOGETHER, 1e4), healthy) < 1e-3


# Below about 30 times they may not stand above the run's own middle yet, which moves with them.
@given(SEEDS, st.floats(30, 1e4), st.floats(30, 1e4))
def test_the_further_they_moved_the_surer(seed, one, two):
    values, healthy = world(seed)
    near, far = sorted((one, two))
    assert p_value(moved(values, 4, far), healthy) <= p_value(moved(values, 4, near), healthy)


@given(SEEDS, st.floats(10, 1e4))
def test_how_loud_a_run_is_as_a_whole_makes_no_difference(seed, louder):
    values, healthy = world(seed)
    assert p_value(louder * values, healthy) == pytest.approx(p_value(10 * values, healthy))


@given(SEEDS, st.permutations(range(PROMPTS)))
def test_the_order_of_prompts_does_not_matter(seed, order):
    values, healthy = world(seed)
    broken = moved(values, 3, 100)
    assert p_value(broken[order], healthy[:, order]) == pytest.approx(p_value(broken, healthy))


@given(SEEDS, st.integers(0, 4), st.integers(0, 1))
def test_it_is_a_probability_whatever_is_missing(seed, runs, holes):
    values, healthy = world(seed, runs=runs)
    values[: holes * 31] = math.nan
    assert 1e-12 <= p_value(values, healthy) <= 1


def test_without_a_healthy_comparison_nothing_is_known_of_single_prompts():
    values, _ = world(2)
    assert p_value(moved(values, 8, 1e6), np.zeros((0, PROMPTS))) == 1


def test_a_single_prompt_or_comparison_has_no_tail():
    assert outliers([1.0], np.zeros((9, 1)), KL_FLOOR, 1.5)[:2] == (0, 1)
    assert outliers([1.0, 1.0], np.zeros((9, 2)), KL_FLOOR, 1.5).times == 1
    assert outliers([1.0, 1.0], [[0.1, math.nan]], KL_FLOOR, 1.5).p_value == 1


def test_an_engine_that_repeats_itself_bit_for_bit_still_gets_the_least_scatter():
    still = np.zeros((5, PROMPTS))
    nearly, far = np.zeros(PROMPTS), np.zeros(PROMPTS)
    nearly[:4], far[:4] = 4 * KL_FLOOR, 30 * KL_FLOOR
    assert p_value(nearly, still) > 0.001
    assert p_value(far, still) < 0.001


def test_by_hand_with_the_least_scatter():
    # 5 x 32 values of 0: the tail starts at what is allowed, log 2.5; 16 excesses, of .1 each at least.
    still, values = np.zeros((5, PROMPTS)), np.zeros(PROMPTS)
    values[:2] = 20 * KL_FLOOR, 11 * KL_FLOOR
    excess = math.log(12) - math.log(2.5)
    by_hand = 16 * 16 / 160 * (1 + excess / (16 * LEAST_EXCESS)) ** -16
    assert p_value(values, still) == pytest.approx(by_hand)
    assert outliers(values, still, KL_FLOOR, 1.5).times == pytest.approx(11)


def test_a_single_prompt_that_was_seen_far_out_in_a_healthy_run_widens_the_tail():
    healthy, values = np.zeros((5, PROMPTS)), np.zeros(PROMPTS)
    healthy[3, 7] = 50 * KL_FLOOR
    values[:2] = 400 * KL_FLOOR
    tail_mean = math.log(51 / 2.5) / sum(1 / n for n in range(1, 17))
    by_hand = 16 * 16 / 160 * (1 + math.log(401 / 2.5) / (16 * tail_mean)) ** -16
    assert p_value(values, healthy) == pytest.approx(by_hand)


def loud(prompts: int) -> np.ndarray:
    """Five still comparisons (5, n), but for the first `prompts`: each is 50 floors loud in one of them."""
    healthy = np.zeros((5, PROMPTS))
    for prompt in range(prompts):
        healthy[prompt % 5, prompt] = 50 * KL_FLOOR
    return healthy


def test_the_tail_of_as_many_loud_prompts_as_it_has_room_for_is_as_long_as_they_are_on_average():
    values = np.zeros(PROMPTS)
    values[-2:] = 1e6 * KL_FLOOR
    tail_mean = math.log(51 / 2.5)
    by_hand = 16 * 16 / 160 * (1 + math.log((1e6 + 1) / 2.5) / (16 * tail_mean)) ** -16
    assert p_value(values, loud(16)) == pytest.approx(by_hand)


def test_where_more_prompts_are_loud_than_the_tail_has_room_for_it_starts_at_what_they_are():
    values = np.zeros(PROMPTS)
    values[-2:] = 400 * KL_FLOOR
    by_hand = 16 * 16 / 160 * (1 + math.log(401 / 51) / (16 * LEAST_EXCESS)) ** -16
    assert p_value(values, loud(30)) == pytest.approx(by_hand)
    assert p_value(np.zeros(PROMPTS), loud(30)) == 1


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(StatisticsError, match=r"\(2, 3\) for 4 prompts"):
        outliers(np.zeros(4), np.zeros((2, 3)), KL_FLOOR, 1.5)


@pytest.mark.parametrize("p_value", [0.5, 0.01, 1.25e-4, 1e-9])
def test_what_is_needed_is_where_the_p_value_is_reached(p_value: float):
    healthy = np.abs(np.random.default_rng(3).normal(1, 0.4, (9, 32)))
    tail = outliers(np.ones(32), healthy, KL_FLOOR, 1.5).tail
    needed = tail.needed(p_value, 32)
    assert tail.p_value(1.0001 * needed, 32) <= p_value
    assert tail.p_value(0.9999 * needed, 32) >= min(p_value, tail.p_value(math.expm1(tail.start), 32))


def test_of_one_comparison_of_a_few_prompts_no_prompt_is_far_enough_out():
    loud = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1e9]
    tail = outliers(np.ones(8), [loud], KL_FLOOR, 1.5).tail
    assert tail.needed(1.25e-4, 8) == math.inf


def test_every_prompt_is_told_in_the_units_of_the_test():
    values = np.ones(32)
    values[[4, 9]], values[7] = (50, 30), math.nan
    found = outliers(values, np.ones((9, 32)), KL_FLOOR, 1.5)
    assert np.flatnonzero(np.isnan(found.apart)).tolist() == [7]
    assert np.sort(found.apart[~np.isnan(found.apart)])[-2] == found.times == pytest.approx(30)
