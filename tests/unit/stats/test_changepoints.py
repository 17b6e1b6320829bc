"""Changes of level: found where they are, rarely where there is none."""

import numpy as np
import pytest

from gate.errors import StatisticsError, UsageError
from gate.stats.changepoints import change_points


def test_a_drop_of_four_errors_is_found_where_it_is():
    scores = np.where(np.arange(20) < 12, 0.58, 0.54)
    (found,) = change_points(scores, np.full(20, 0.01))
    assert (found.place, found.before, found.after) == (12, pytest.approx(0.58), pytest.approx(0.54))


def test_two_changes_are_found_in_order():
    scores = np.repeat([0.5, 0.6, 0.5], 8)
    assert [change.place for change in change_points(scores, np.full(24, 0.01))] == [8, 16]


def test_a_single_odd_run_is_no_new_level():
    scores = np.full(15, 0.58)
    scores[7] = 0.545
    assert change_points(scores, np.full(15, 0.01)) == ()


def test_a_score_that_is_hardly_known_weighs_little():
    scores = np.r_[np.full(10, 0.58), np.full(10, 0.50)]
    errors = np.r_[np.full(10, 0.01), np.full(10, 0.5)]
    assert change_points(scores, errors) == ()
    assert len(change_points(scores, np.full(20, 0.01))) == 1


@pytest.mark.parametrize("number", [0, 1, 3])
def test_too_few_scores_have_no_change(number: int):
    assert change_points(np.arange(number), np.full(number, 0.001)) == ()


def test_under_one_level_few_series_have_a_change():
    random = np.random.default_rng(20261124)
    series, runs = 300, 30
    found = sum(
        bool(change_points(random.normal(0.58, 0.01, runs), np.full(runs, 0.01))) for _ in range(series)
    )
    assert found / series < 0.05


@pytest.mark.parametrize("errors", [[0.1, 0.0], [0.1], [0.1, -1.0]])
def test_errors_that_cannot_be_are_refused(errors: list[float]):
    with pytest.raises(StatisticsError, match="positive standard error"):
        change_points([0.5, 0.6], errors)


def test_without_ruptures_the_hint_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "ruptures", None)
    with pytest.raises(UsageError, match=r"vllm-eval-gate\[history\]"):
        change_points([0.5, 0.6, 0.5, 0.6], [0.1] * 4)
