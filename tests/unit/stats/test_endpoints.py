"""Side endpoints against enumeration and scipy, and their error under no change."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from gate.errors import StatisticsError
from gate.stats.endpoints import broken_questions, length_shift, rate_rise, share_rise


@settings(deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=4),
)
def test_the_stratified_test_is_the_enumeration_of_all_splits(n, m, pairs):
    x, y = [min(a, n) for a, _ in pairs], [min(b, m) for _, b in pairs]
    splits = [range(min(a + b, m) + 1) for a, b in zip(x, y, strict=True)]
    expected = sum(
        np.prod([scipy_stats.hypergeom.pmf(u, n + m, a + b, m) for u, a, b in zip(split, x, y, strict=True)])
        for split in itertools.product(*splits)
        if sum(split) >= sum(y)
    )
    assert rate_rise(x, n, y, m).p_value == pytest.approx(min(expected, 1), abs=1e-9)


def test_one_stratum_is_fishers_exact_test():
    found = share_rise(10, 1000, 18, 500)
    oracle = scipy_stats.fisher_exact([[18, 482], [10, 990]], alternative="greater").pvalue
    assert found.p_value == pytest.approx(oracle)
    assert (found.before, found.after) == (0.01, 0.036)


@given(st.integers(1, 400), st.integers(1, 400), st.data())
def test_a_rise_of_a_share_is_the_tail_of_the_hypergeometric_law(n, m, data):
    x, y = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    tail = scipy_stats.hypergeom.sf(y - 1, n + m, x + y, m)
    assert share_rise(x, n, y, m).p_value == pytest.approx(max(tail, 1e-12), rel=1e-9)


def test_no_events_at_all_are_no_rise():
    assert rate_rise([0, 0], 8, [0, 0], 4).p_value == 1


def test_a_rise_in_every_question_alarms_and_has_a_floor():
    found = rate_rise(np.zeros(500), 32, np.full(500, 4), 8)
    assert (found.alarming, found.p_value) == (True, 1e-12)
    assert not rate_rise([1, 2, 1], 8, [1, 1, 0], 4).alarming


def test_a_rate_of_many_questions_stays_exact():
    rng = np.random.default_rng(1)
    found = rate_rise(rng.binomial(32, 0.1, 5000), 32, rng.binomial(8, 0.1, 5000), 8)
    assert 0.01 < found.p_value < 0.99


@pytest.mark.parametrize(
    ("before", "n", "after", "m"),
    [
        ([1], 8, [1, 2], 4),
        ([], 8, [], 4),
        ([9], 8, [1], 4),
        ([-1], 8, [1], 4),
        ([0], 0, [0], 4),
        ([0], 8, [5], 4),
    ],
)
def test_counts_that_cannot_be_are_refused(before, n, after, m):
    with pytest.raises(StatisticsError):
        rate_rise(before, n, after, m)


def test_a_question_that_broke_is_named_and_one_that_wobbles_is_not():
    k, s = np.array([32, 20, 0, 31] * 10), np.array([8, 4, 0, 8] * 10)
    s[12] = 0
    found = broken_questions(k, 32, s, 8)
    assert [q.question for q in found] == [12]
    assert (found[0].before, found[0].after) == (1.0, 0.0)
    assert found[0].p_value == pytest.approx(scipy_stats.hypergeom.cdf(0, 40, 32, 8))


def test_several_broken_questions_come_least_likely_first():
    found = broken_questions([28, 32, 30], 32, [1, 0, 0], 16)
    assert [q.question for q in found] == [1, 2, 0]


def test_no_questions_break_among_none():
    assert broken_questions([], 8, [], 4) == ()


def test_longer_answers_alarm_with_their_relative_change():
    rng = np.random.default_rng(1)
    base = rng.gamma(4, 50, (100, 32))
    longer = rng.gamma(4, 60, (100, 8))
    found = length_shift(base.mean(axis=1), 32, longer.mean(axis=1), 8)
    assert found.alarming
    assert found.after == pytest.approx(0.19, abs=0.06)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(32, 1), (8, 8), (2, 1), (32, 16)]))
def test_equal_lengths_are_not_a_shift_even_when_one_side_has_few_samples(seed, sizes):
    n, m = sizes
    rng = np.random.default_rng(seed)
    base, now = rng.gamma(4, 50, (400, 100, n)), rng.gamma(4, 50, (400, 100, m))
    p = [length_shift(b, n, a, m).p_value for b, a in zip(base.mean(2), now.mean(2), strict=True)]
    assert np.mean(np.array(p) < 0.05) < 0.12


def test_lengths_that_do_not_vary_at_all_have_a_defined_p():
    assert length_shift([10, 20], 8, [10, 20], 4).p_value == 1
    doubled = length_shift([10, 20], 4, [20, 40], 4)
    assert (doubled.p_value, doubled.after) == (1e-12, pytest.approx(1.0))


def test_without_two_known_lengths_there_is_no_answer():
    assert length_shift([10, 0], 8, [10, 0], 4) is None


def test_answers_where_there_were_none_are_longer_without_bound():
    found = length_shift([0, 0, 0], 8, [5, 6, 7], 4)
    assert (found.after, found.alarming) == (np.inf, True)


def test_one_question_in_many_that_fell_by_chance_is_not_broken():
    """Over q questions, chance may make one of them fall so far once in a thousand runs: .001/q each."""
    k, s = np.full(100, 16), np.full(100, 4)
    k[0], s[0] = 31, 3  # p is about 5e-4
    alone = broken_questions(k[:1], 32, s[:1], 8)
    assert [question.question for question in alone] == [0]
    assert 1e-5 < alone[0].p_value < 1e-3
    assert broken_questions(k, 32, s, 8) == ()
