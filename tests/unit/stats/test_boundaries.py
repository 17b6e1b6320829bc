"""Boundaries against published and independent values, and the p-value that goes with them."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.optimize import brentq
from scipy.special import ndtr

from gate.errors import StatisticsError
from gate.stats.boundaries import (
    boundaries,
    information,
    look_times,
    sequential_p,
    spend,
    spent_boundaries,
)

EXAMPLE = look_times([1 / 3, 2 / 3, *range(1, 17)], baseline_repeats=32, max_repeats=16)


def test_obrien_fleming_spending_gives_the_published_boundaries():
    times = (0.25, 0.5, 0.75, 1.0)
    spent = [2 * scipy_stats.norm.sf(scipy_stats.norm.isf(0.025) / np.sqrt(t)) for t in times]
    assert np.round(spent_boundaries(times, spent), 4).tolist() == [3.7496, 2.5399, 2.0161, 1.7202]


@pytest.mark.parametrize(
    ("alpha", "first_six", "last"),
    [
        (0.01, [3.878, 3.710, 3.610, 3.286, 3.177, 3.096], 2.672),
        (0.05, [3.466, 3.273, 3.152, 2.789, 2.650, 2.545], 1.973),
    ],
)
def test_the_specified_example_has_the_specified_boundaries(alpha, first_six, last):
    found = np.round(boundaries(EXAMPLE, alpha), 3).tolist()
    assert found[:6] == first_six
    assert found[-1] == last


def test_boundaries_agree_with_multivariate_normal_probabilities():
    times = (0.2, 0.5, 0.9, 1.0)
    c = boundaries(times, 0.05)
    covariance = [[np.sqrt(min(a, b) / max(a, b)) for b in times] for a in times]
    for looks, spent in enumerate(spend(times, 0.05), start=1):
        inside = scipy_stats.multivariate_normal.cdf(
            c[:looks],
            cov=[row[:looks] for row in covariance[:looks]],
            abseps=1e-8,
            releps=1e-8,
            maxpts=2_000_000,
            rng=np.random.default_rng(1),
        )
        assert 1 - inside == pytest.approx(spent, abs=2e-6)


def test_one_look_is_the_plain_quantile():
    assert boundaries((1.0,), 0.01) == pytest.approx((2.326348,), abs=1e-6)


def test_error_that_is_not_spent_is_a_boundary_nobody_reaches():
    c = spent_boundaries((0.3, 0.6, 1.0), (0.0, 0.0, 0.01))
    assert c[:2] == (np.inf, np.inf)
    assert c[2] == pytest.approx(2.326348, abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=8, unique=True).map(sorted),
    st.floats(1e-12, 0.5),
)
def test_boundaries_spend_all_of_alpha_and_no_more(times, alpha):
    times = tuple(t for i, t in enumerate(times) if i == 0 or t - times[i - 1] > 1e-3)
    c = boundaries(times, alpha)
    assert all(np.isfinite(c))
    assert max(c) <= scipy_stats.norm.isf(alpha * times[0] ** 1.5) + 1e-6 or len(c) > 1
    at_least_once = sum(scipy_stats.norm.sf(c))
    assert at_least_once >= alpha * times[-1] ** 1.5 * (1 - 1e-6)


def test_forty_full_passes_take_less_than_a_tenth_of_a_second_of_cpu():
    times = look_times([1 / 3, 2 / 3, *range(1, 41)], baseline_repeats=32, max_repeats=40)
    boundaries.cache_clear()
    best = min(_seconds(lambda: boundaries.__wrapped__(times, 0.01)) for _ in range(10))
    assert best < 0.1


def _seconds(act):
    begun = time.thread_time()
    act()
    return time.thread_time() - begun


def test_information_is_one_at_the_end_and_saturates():
    at = [information(x, baseline_repeats=8, max_repeats=40) for x in (1 / 3, 1, 8, 39, 40)]
    assert at == pytest.approx([0.15 / 1.125 / 3, 0.15 / 1.125, 0.6, 0.99576, 1.0], abs=1e-4)


def test_a_fraction_of_the_first_pass_counts_as_that_fraction():
    whole = information(1, baseline_repeats=32, max_repeats=16)
    part = information(66 / 198, baseline_repeats=32, max_repeats=16)
    assert part == pytest.approx(whole / 3)


@pytest.mark.parametrize(("passes", "n", "m"), [(0, 8, 8), (9, 8, 8), (1, 0, 8), (1, 8, 0)])
def test_information_of_no_or_too_many_passes_is_refused(passes, n, m):
    with pytest.raises(StatisticsError, match="passes"):
        information(passes, baseline_repeats=n, max_repeats=m)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, 2.0, float("nan")])
def test_an_error_level_out_of_range_is_refused(alpha):
    with pytest.raises(StatisticsError, match="error level"):
        boundaries((0.5, 1.0), alpha)


@pytest.mark.parametrize("times", [(), (0.0, 1.0), (0.5, 0.5), (0.7, 0.3), (0.5, 1.1)])
def test_times_that_do_not_ascend_to_one_are_refused(times):
    with pytest.raises(StatisticsError, match="information times"):
        boundaries(times, 0.01)


@pytest.mark.parametrize("spent", [(-0.1, 0.2), (0.2, 0.1), (0.5, 1.0)])
def test_error_that_does_not_ascend_below_one_is_refused(spent):
    with pytest.raises(StatisticsError, match="error spent"):
        spent_boundaries((0.5, 1.0), spent)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-3, 6.5), min_size=1, max_size=18))
def test_sequential_p_is_the_root_over_alpha(z):
    def excess(u):
        return max(x - c for x, c in zip(z, boundaries(EXAMPLE, float(ndtr(-u))), strict=False))

    if excess(7.0344) > 0:
        expected = 1e-12
    elif excess(-3.0902) < 0:
        expected = 1.0
    else:
        expected = float(ndtr(-brentq(excess, -3.0902, 7.0344, xtol=1e-9)))
    assert sequential_p(EXAMPLE, z) == pytest.approx(expected, rel=2e-3)


def test_sequential_p_at_the_boundary_is_the_level_itself():
    c = boundaries(EXAMPLE, 0.01)
    assert sequential_p(EXAMPLE, [0.0, 1.0, c[2]]) == pytest.approx(0.01, rel=1e-3)


def test_sequential_p_never_falls_below_its_floor_nor_rises_with_more_looks():
    assert sequential_p(EXAMPLE, [99.0]) == 1e-12
    assert sequential_p(EXAMPLE, [-np.inf]) == 1.0
    assert sequential_p(EXAMPLE, [1.0, 2.0, 2.5]) <= sequential_p(EXAMPLE, [1.0, 2.0])


@pytest.mark.parametrize("z", [[], [0.0] * 19])
def test_sequential_p_needs_looks_of_its_plan(z):
    with pytest.raises(StatisticsError, match="looks"):
        sequential_p(EXAMPLE, z)
