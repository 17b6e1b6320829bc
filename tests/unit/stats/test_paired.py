"""Greedy answers: the exact test of what changed and Tango's score test, against other ways to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.optimize import minimize_scalar
from statsmodels.stats.contingency_tables import mcnemar

from gate.errors import StatisticsError
from gate.stats.boundaries import boundaries
from gate.stats.fixed import look_once, plan_fixed
from gate.stats.looks import look_statistics
from gate.stats.paired import paired_drop, paired_statistics, score_interval
from gate.stats.scenarios import Change, Scenario
from gate.stats.sequential import Terms, plan_sequence, single_drop
from gate.stats.simulate import simulate

Z_95 = 1.959964
GREEDY = Terms(0.02, 0.0, 0.01, 0.05, max_repeats=1, greedy=True)


@st.composite
def answers(draw, most=40):
    total = draw(st.integers(1, most))
    bits = st.lists(st.integers(0, 1), min_size=total, max_size=total)
    return np.array(draw(bits), dtype=float), np.array(draw(bits), dtype=float)


def table(lost, gained, right=20, wrong=10):
    k = np.array([1] * lost + [0] * gained + [1] * right + [0] * wrong, dtype=float)
    s = np.array([0] * lost + [1] * gained + [1] * right + [0] * wrong, dtype=float)
    return k, s


@settings(deadline=None)
@given(answers())
def test_the_p_value_is_the_exact_mcnemar_test_of_one_side(data):
    k, s = data
    lost, gained = int((k > s).sum()), int((s > k).sum())
    p = float(paired_drop(k, s).p_value)
    both = mcnemar([[0, lost], [gained, 0]], exact=True).pvalue
    if lost > gained:
        assert p == pytest.approx(both / 2, rel=1e-9)
    assert p == pytest.approx(scipy_stats.binom.sf(lost - 1, lost + gained, 0.5) if lost else 1.0, rel=1e-9)


@settings(deadline=None)
@given(answers())
def test_the_variance_is_that_of_the_stratified_test_with_one_answer_a_side(data):
    k, s = data
    paired, stratified = paired_drop(k, s), look_statistics(k, 1, s, 1, margin=0.1)
    assert float(paired.variance) == pytest.approx(float(stratified.variance_regression))
    assert float(paired.difference) == pytest.approx(float(stratified.difference))


@settings(deadline=None)
@given(answers(), st.floats(0.001, 0.9), st.sampled_from([0.0, 0.01, 0.3]), st.randoms(use_true_random=False))
def test_nothing_is_nan_p_lies_in_0_1_and_order_does_not_matter(data, margin, tolerated, random):
    k, s = data
    look = paired_statistics(k, s, margin=margin, tolerated_loss=tolerated)
    assert not any(np.isnan(float(x)) for x in look)
    assert 0 < float(look.drop.p_value) <= 1
    order = list(range(len(k)))
    random.shuffle(order)
    other = paired_statistics(k[order], s[order], margin=margin, tolerated_loss=tolerated)
    assert [float(x) for x in other] == pytest.approx([float(x) for x in look])


@settings(deadline=None)
@given(answers(), st.data())
def test_one_more_right_answer_never_looks_worse(data, more):
    k, s = data
    i = more.draw(st.integers(0, len(k) - 1))
    better = s.copy()
    better[i] = 1
    before, after = (paired_statistics(k, x, margin=0.1) for x in (s, better))
    assert float(after.difference) >= float(before.difference)
    assert float(after.drop.p_value) >= float(before.drop.p_value) * (1 - 1e-9)


@pytest.mark.parametrize(
    ("lost", "gained", "value"),
    [(5, 2, -0.05), (0, 0, -0.05), (0, 3, -0.05), (8, 0, -0.1), (3, 4, -0.03), (1, 0, -0.2)],
)
def test_the_null_variance_is_that_of_the_likeliest_table_with_such_a_drop(lost, gained, value):
    k, s = table(lost, gained)
    q = len(k)

    def unlikelihood(x):
        cells = np.array([x, x + value, 1 - 2 * x - value])
        counts = np.array([lost, gained, q - lost - gained])
        return -float(counts @ np.log(np.maximum(cells, 1e-300)))

    x = minimize_scalar(
        unlikelihood, bounds=(-value, (1 - value) / 2), method="bounded", options={"xatol": 1e-12}
    ).x
    look = paired_statistics(k, s, margin=-value)
    assert float(look.variance_null) == pytest.approx((2 * x + value - value**2) / q, rel=1e-5)
    d = (gained - lost) / q
    assert float(look.z_pass) == pytest.approx((d - value) / np.sqrt(float(look.variance_null)))


def test_the_score_interval_without_changes_is_known_in_closed_form():
    low, high = score_interval(0, 0, 50, Z_95)
    assert (-low, high) == pytest.approx((Z_95**2 / (50 + Z_95**2),) * 2)


@settings(deadline=None)
@given(st.integers(0, 30), st.integers(0, 30), st.floats(0.5, 5))
def test_the_score_interval_holds_the_difference_and_swaps_with_the_sides(lost, gained, z):
    low, high = score_interval(lost, gained, 60, z)
    assert -1 <= low < (gained - lost) / 60 < high <= 1
    assert score_interval(gained, lost, 60, z) == pytest.approx((-high, -low), abs=1e-9)


@pytest.mark.parametrize("margin", [0.02, 0.1])
def test_a_pass_is_a_score_interval_that_ends_above_the_margin(margin):
    for lost in range(8):
        k, s = table(lost, 2)
        z = float(paired_statistics(k, s, margin=margin).z_pass)
        assert (z >= 1.645) == (score_interval(lost, 2, len(k), 1.645)[0] >= -margin)


def test_a_tolerated_loss_makes_the_same_changes_less_surprising():
    k, s = table(12, 2)
    strict, tolerant = (float(paired_drop(k, s, tolerated_loss=x).p_value) for x in (0.0, 0.1))
    assert strict < 0.01 < tolerant
    assert float(paired_drop(k, s, tolerated_loss=0.9).p_value) == 1


@pytest.mark.parametrize("alpha", [0.01, 0.008, 0.0005])
def test_exact_tests_at_three_looks_together_spend_their_alpha(alpha):
    upper = boundaries((1 / 3, 2 / 3, 1.0), alpha)
    levels = scipy_stats.norm.sf(upper)
    for changed in np.ndindex(9, 9, 9):
        law, total, error = np.ones(1), 0, 0.0
        for more, level in zip((5 * np.array(changed)).tolist(), levels, strict=True):
            law, total = np.convolve(law, scipy_stats.binom.pmf(np.arange(more + 1), more, 0.5)), total + more
            stopped = scipy_stats.binom.sf(np.arange(total + 1) - 1, total, 0.5) <= level
            error += law[stopped].sum()
            law = np.where(stopped, 0, law)
        assert error <= 1.02 * alpha  # each look is exact, the three together are nearly so


def test_greedy_gates_keep_their_errors_and_find_what_they_should():
    world = {"questions": 1319, "accuracy": 0.9, "within": 0.01}
    calm = simulate(Scenario(**world), 1, GREEDY, replicates=1000, seed=1)
    assert calm.failed < 0.02
    assert calm.passed > 0.97
    lost, at_margin = (
        simulate(Scenario(**world, change=Change.UNIFORM, drop=d), 1, GREEDY, replicates=1000, seed=1)
        for d in (0.03, 0.02)
    )
    assert lost.failed > 0.97
    assert at_margin.passed < 0.07


def test_a_greedy_baseline_of_several_runs_takes_the_stratified_test():
    ids = [f"{i:012x}" for i in range(30)]
    assert plan_sequence(ids, np.ones(30), 1, GREEDY, question_order_seed="s").paired
    assert not plan_sequence(ids, np.ones(30), 2, GREEDY, question_order_seed="s").paired
    sampled = GREEDY._replace(greedy=False)
    assert not plan_sequence(ids, np.ones(30), 1, sampled, question_order_seed="s").paired


def test_a_greedy_run_of_fixed_size_is_decided_by_what_changed_unless_it_repeats():
    ids = [f"{i:012x}" for i in range(37)]
    k, s = table(6, 1)
    row = "".join("1" if x else "0" for x in s)
    course = look_once(plan_fixed(ids, k, 1, GREEDY), [row])
    assert float(course.looks[0].drop.p_value) == float(paired_drop(k, s).p_value)
    twice = plan_fixed(ids, k, 1, GREEDY._replace(max_repeats=2))
    assert float(look_once(twice, [row, row]).looks[0].z_regression) == pytest.approx(
        float(look_statistics(k, 1, 2 * s, 2, margin=0.02).z_regression)
    )


def test_information_of_greedy_looks_is_the_share_of_the_questions():
    ids = [f"{i:012x}" for i in range(30)]
    assert plan_sequence(ids, np.ones(30), 1, GREEDY, question_order_seed="s").times == pytest.approx(
        (1 / 3, 2 / 3, 1)
    )


def test_a_single_greedy_look_is_exact_only_with_one_answer_on_either_side():
    k, s = table(6, 1)
    exact = single_drop(k, 1, s, 1, tolerated_loss=0.0, greedy=True)
    assert float(exact.p_value) == float(paired_drop(k, s).p_value)
    for n, greedy in ((2, True), (1, False)):
        other = single_drop(k, n, s, 1, tolerated_loss=0.0, greedy=greedy)
        assert float(other.p_value) != float(exact.p_value)


@pytest.mark.parametrize(
    ("margin", "tolerated", "words"), [(0, 0, "margin"), (1, 0, "margin"), (0.1, 1, "loss")]
)
def test_a_margin_or_loss_out_of_range_is_refused(margin, tolerated, words):
    with pytest.raises(StatisticsError, match=words):
        paired_statistics(*table(1, 1), margin=margin, tolerated_loss=tolerated)
