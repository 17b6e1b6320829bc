"""One look: against hand-worked numbers, statsmodels, and the properties any such test must have."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.contingency_tables import StratifiedTable

from gate.errors import StatisticsError
from gate.stats.looks import Moments, asked_statistics, baseline_moments, look_statistics


@st.composite
def counts(draw, max_questions=12, min_repeats=1):
    total = draw(st.integers(1, max_questions))
    n, m = draw(st.integers(min_repeats, 9)), draw(st.integers(1, 9))
    k = draw(st.lists(st.integers(0, n), min_size=total, max_size=total))
    s = draw(st.lists(st.integers(0, m), min_size=total, max_size=total))
    return np.array(k), n, np.array(s), m


def test_the_formulas_of_the_specification_by_hand():
    k, n, s, m = np.array([8, 4, 0]), 8, np.array([3, 1, 0]), 4
    look = look_statistics(k, n, s, m, margin=0.1)
    d = (-0.25 - 0.25 + 0) / 3
    v_f = (11 * 1 / (12 * 11) + 5 * 7 / (12 * 11)) * (1 / 8 + 1 / 4) / 9
    assert float(look.difference) == pytest.approx(d)
    assert float(look.z_regression) == pytest.approx(-d / np.sqrt(v_f))
    v_u = (0 / 7 + 0.1875 / 3 + 0.25 / 7 + 0.1875 / 3) / 9
    within, accuracy = max(4 * 4 / (8 * 7) / 3, 1 / 3), 0.5
    lossy = 0.8 * (within + 0.2 * (accuracy - within))
    v_0 = (within * 3 / 8 + lossy * 3 / 4) / 9
    assert float(look.variance_plain) == pytest.approx(v_u)
    assert float(look.variance_null) == pytest.approx(v_0)
    x = (d + 0.1) / np.sqrt(max(v_u, v_0))
    assert float(look.z_pass) == pytest.approx(scipy_stats.norm.ppf(scipy_stats.t.cdf(x, 2)))
    assert float(look.variance) == pytest.approx(max(v_f, v_u, v_0))


def test_below_four_repeats_the_spread_between_questions_is_the_variance():
    k, s = np.array([3, 2, 7, 5]), np.array([1, 0, 2, 1])
    look = look_statistics(k, 8, s, 3, margin=0.1)
    assert float(look.variance_plain) == pytest.approx(np.var(s / 3 - k / 8, ddof=1) / 4)


def test_looks_after_one_to_six_passes_in_one_go_are_those_taken_one_by_one():
    """Whether V_u comes from each question's own spread is decided look by look: from four repeats on."""
    k, n, margin = np.array([8.0, 5, 1, 4]), np.asarray(8.0), 0.1
    s, m = np.cumsum(np.tile([1.0, 1, 0, 0], (6, 1)), axis=0), np.arange(1.0, 7)[:, None]
    moments = baseline_moments(k, n)
    together = asked_statistics(k, n, s, m, moments, margin=margin)
    for row in range(6):
        alone = look_statistics(k, 8, s[row], row + 1, margin=margin)
        assert [float(field[row]) for field in together[1:]] == pytest.approx([float(f) for f in alone[1:]])


def test_one_question_of_one_repeat_leaves_the_noise_of_all_unknown():
    assert baseline_moments([1, 1, 0], [2, 1, 2]).within is None


def test_the_interval_rests_on_the_largest_of_the_three_variances():
    """Each question turned round: within a build nothing varies, so only the pooled variance shows it."""
    right = np.array([32, 0] * 50)
    look = look_statistics(right, 32, (32 - right) / 2, 16, margin=0.05)
    assert float(look.variance_regression) > max(float(look.variance_plain), float(look.variance_null))
    assert float(look.variance) == float(look.variance_regression)


def test_a_tolerated_loss_shifts_only_the_regression_test():
    k, s = np.array([30, 20, 10]), np.array([10, 8, 3])
    plain = look_statistics(k, 32, s, 16, margin=0.1)
    tolerant = look_statistics(k, 32, s, 16, margin=0.1, tolerated_loss=0.02)
    shift = 0.02 / np.sqrt(float(plain.variance_regression))
    assert float(tolerant.z_regression) == pytest.approx(float(plain.z_regression) - shift)
    assert float(tolerant.z_pass) == float(plain.z_pass)


@settings(deadline=None)
@given(counts())
def test_the_regression_statistic_is_statsmodels_stratified_test(data):
    k, n, s, m = data
    look = look_statistics(k, n, s, m, margin=0.1)
    if float(look.variance_regression) == 0:
        assert float(look.drop.p_value) == 1
        return
    tables = [np.array([[a, m - a], [b, n - b]], dtype=float) for a, b in zip(s, k, strict=True)]
    oracle = StratifiedTable(tables).test_null_odds(correction=False)
    assert float(look.z_regression) ** 2 == pytest.approx(oracle.statistic, abs=1e-9)


@settings(deadline=None)
@given(counts(), st.randoms(use_true_random=False))
def test_the_order_of_the_questions_does_not_matter(data, random):
    k, n, s, m = data
    order = list(range(len(k)))
    random.shuffle(order)
    one = look_statistics(k, n, s, m, margin=0.1)
    other = look_statistics(k[order], n, s[order], m, margin=0.1)
    for a, b in zip(one, other, strict=True):
        assert (a is None and b is None) or float(a) == pytest.approx(float(b), abs=1e-9)


@settings(deadline=None)
@given(counts(), st.data())
def test_one_more_correct_answer_raises_the_difference(data, more):
    k, n, s, m = data
    i = more.draw(st.integers(0, len(k) - 1))
    if s[i] == m:
        return
    better = s.copy()
    better[i] += 1
    before, after = (look_statistics(k, n, x, m, margin=0.1) for x in (s, better))
    assert float(after.difference) > float(before.difference)


@settings(deadline=None)
@given(counts())
def test_a_question_always_right_on_both_sides_leaves_the_regression_p_alone(data):
    k, n, s, m = data
    before = look_statistics(k, n, s, m, margin=0.1)
    after = look_statistics(np.append(k, n), n, np.append(s, m), m, margin=0.1)
    assert float(after.drop.p_value) == pytest.approx(float(before.drop.p_value), rel=1e-9)


@settings(deadline=None)
@given(counts(), st.floats(0.001, 0.9), st.sampled_from([0.0, 0.01, 0.5]))
def test_nothing_is_nan_and_p_lies_above_zero_and_up_to_one(data, margin, tolerated):
    look = look_statistics(*data, margin=margin, tolerated_loss=tolerated)
    assert not any(np.isnan(float(x)) for x in look if x is not None)
    assert 0 < float(look.drop.p_value) <= 1


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.data())
def test_all_right_and_all_wrong_questions_give_numbers_even_one_at_a_time(total, n, m, data):
    """k in {0, n}, s in {0, m}, down to a single question and a single sample."""
    ends = st.lists(st.booleans(), min_size=total, max_size=total)
    k, s = n * np.array(data.draw(ends)), m * np.array(data.draw(ends))
    look = look_statistics(k, n, s, m, margin=0.1)
    assert not any(np.isnan(float(x)) for x in look if x is not None)
    assert 0 < float(look.drop.p_value) <= 1


@settings(deadline=None)
@given(counts(min_repeats=2))
def test_many_looks_at_once_are_the_looks_one_by_one(data):
    k, n, s, m = data
    counted = np.stack([s * 0.0, s * 1.0, np.full_like(s, m, dtype=float)])
    passes = np.array([[m], [m], [m]], dtype=float)
    at_once = asked_statistics(
        k * 1.0, np.asarray(float(n)), counted, passes, baseline_moments(k, n), margin=0.1
    )
    for i, row in enumerate(counted):
        single = look_statistics(k, n, row, m, margin=0.1)
        assert float(at_once.z_regression[i]) == pytest.approx(float(single.z_regression))
        if single.z_pass is not None:
            assert float(at_once.z_pass[i]) == pytest.approx(float(single.z_pass))


def test_looks_of_few_and_many_repeats_at_once_each_take_their_own_variance():
    k, s = np.array([3.0, 2.0, 7.0]), np.array([[1.0, 0.0, 2.0], [4.0, 1.0, 5.0]])
    both = asked_statistics(
        k, np.asarray(8.0), s, np.array([[2.0], [6.0]]), baseline_moments(k, 8), margin=0.1
    )
    for i, m in enumerate((2, 6)):
        single = look_statistics(k, 8, s[i], m, margin=0.1)
        assert float(both.variance_plain[i]) == pytest.approx(float(single.variance_plain))
        assert float(both.z_pass[i]) == pytest.approx(float(single.z_pass))


def test_questions_not_asked_count_only_for_the_baselines_own_moments():
    k, m = np.array([8, 4, 0, 6]), np.array([1, 0, 1, 1])
    look = look_statistics(k, 8, np.array([1, 0, 0, 0]), m, margin=0.1)
    asked = asked_statistics(
        k[m > 0] * 1.0,
        np.asarray(8.0),
        np.array([1.0, 0.0, 0.0]),
        np.asarray(1.0),
        baseline_moments(k, 8),
        margin=0.1,
    )
    assert [float(x) for x in look] == pytest.approx([float(x) for x in asked])
    assert float(look.difference) == pytest.approx((0 + 0 - 0.75) / 3)


def test_nothing_varied_is_no_evidence_of_a_drop():
    look = look_statistics([8, 0], 8, [4, 0], 4, margin=0.1)
    assert (float(look.z_regression), float(look.drop.p_value)) == (0, 1)
    assert float(look.evidence) == -np.inf


def test_nothing_varied_is_even_less_than_a_tolerated_drop():
    look = look_statistics([8, 0], 8, [4, 0], 4, margin=0.1, tolerated_loss=0.01)
    assert (float(look.z_regression), float(look.drop.p_value)) == (-np.inf, 1)


def test_an_all_right_baseline_still_has_the_variance_of_one_unlucky_answer():
    moments = baseline_moments(np.full(50, 8), 8)
    assert moments == Moments(1 / 50, 1.0)
    look = look_statistics(np.full(50, 8), 8, np.full(50, 4), 4, margin=0.05)
    assert np.isfinite(float(look.z_pass))


@pytest.mark.parametrize(("k", "n", "s", "m"), [([1, 0], 1, [4, 1], 4), ([3], 8, [1], 4)])
def test_one_repeat_or_one_question_makes_the_pass_test_unavailable(k, n, s, m):
    look = look_statistics(k, n, s, m, margin=0.1)
    assert (look.z_pass, look.variance_plain, look.variance_null) == (None, None, None)
    assert float(look.variance) == float(look.variance_regression)


def test_far_out_the_pass_statistic_keeps_its_sign_and_order():
    rng = np.random.default_rng(1)
    k = rng.binomial(32, 0.5, 5_000)
    shares = (0.0, 0.1, 0.2, 0.21, 0.5)
    far = [float(look_statistics(k, 32, rng.binomial(16, p, k.size), 16, margin=0.3).z_pass) for p in shares]
    assert far == sorted(far)
    assert far[1] < -20
    assert far[-1] > 20


@pytest.mark.parametrize("margin", [0, 1, -0.1, float("nan")])
def test_a_margin_out_of_range_is_refused(margin):
    with pytest.raises(StatisticsError, match="margin"):
        look_statistics([3, 4], 8, [1, 1], 4, margin=margin)


@pytest.mark.parametrize("tolerated", [-0.01, 1, float("nan")])
def test_a_tolerated_loss_out_of_range_is_refused(tolerated):
    with pytest.raises(StatisticsError, match="tolerated loss"):
        look_statistics([3, 4], 8, [1, 1], 4, margin=0.1, tolerated_loss=tolerated)


@pytest.mark.parametrize(
    ("k", "n", "s", "m", "words"),
    [
        ([3, 4], 8, [0, 0], 0, "nothing to look at"),
        ([3, 9], 8, [0, 0], 1, "more correct answers than samples"),
        ([3, 4], 8, [0, 2], 1, "more correct answers than samples"),
        ([3, -1], 8, [0, 0], 1, "fewer than none"),
        ([3, 0], [8, 0], [0, 0], 1, "no baseline samples"),
        ([[3, 4]], 8, [[0, 0]], 1, "shape"),
    ],
)
def test_counts_that_cannot_be_are_refused(k, n, s, m, words):
    with pytest.raises(StatisticsError, match=words):
        look_statistics(k, n, s, m, margin=0.1)


@pytest.mark.parametrize(("questions", "milliseconds"), [(198, 1), (100_000, 50)])
def test_a_look_is_quick(questions, milliseconds):
    """Five times what a slow CPU needs: this finds a loop over questions, not a busy machine."""
    rng = np.random.default_rng(1)
    k, s = rng.binomial(32, 0.5, questions), rng.binomial(7, 0.5, questions)
    seconds = []
    for _ in range(100):
        begun = time.perf_counter()
        look_statistics(k, 32, s, 7, margin=0.03)
        seconds.append(time.perf_counter() - begun)
    assert min(seconds) * 1000 < milliseconds
