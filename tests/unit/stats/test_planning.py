"""Budgets of the specification, and the plans that cannot be."""

import pytest

from gate.errors import StatisticsError
from gate.stats.planning import (
    Design,
    baseline_repeats_for,
    detectable_drop,
    provable_margin,
    repeats_for,
    repeats_to_decide,
)


def gpqa(baseline_repeats, cells=1, within=0.124):
    return Design(questions=198, within=within, baseline_repeats=baseline_repeats, cells=cells)


@pytest.mark.parametrize(
    ("baseline_repeats", "margin", "cells", "expected"),
    [
        (8, 0.05, 1, 11),
        (16, 0.04, 1, 13),
        (32, 0.03, 1, 21),
        (64, 0.03, 1, 16),
        (128, 0.02, 1, 37),
        (8, 0.03, 1, None),
        (32, 0.03, 5, 34),
        (64, 0.03, 20, 29),
        (32, 0.03, 10, 41),
    ],
)
def test_budgets_are_those_of_the_specification(baseline_repeats, margin, cells, expected):
    assert repeats_for(gpqa(baseline_repeats, cells), margin) == expected


def test_the_one_reference_budget_that_needs_an_unrounded_within_variance():
    # statistics.md has 23 with "W .124"; its own formula gives 21.998 there, and 23 from .12401 on.
    assert repeats_for(gpqa(64, cells=5), 0.03) == 22
    assert repeats_for(gpqa(64, cells=5, within=0.1241), 0.03) == 23


def test_detectable_drop_is_three_point_six_one_standard_errors():
    assert detectable_drop(gpqa(32), 16) == pytest.approx(
        3.608 * (0.124 / 198 * (1 / 32 + 1 / 16)) ** 0.5, rel=1e-4
    )


@pytest.mark.parametrize("repeats", [1, 8, 21, 40])
def test_the_provable_margin_is_the_one_whose_budget_is_just_that(repeats):
    margin = provable_margin(gpqa(32), repeats)
    assert repeats_for(gpqa(32), margin * (1 + 1e-9)) == repeats


def test_enough_baseline_repeats_make_a_margin_provable_and_one_fewer_do_not():
    needed = baseline_repeats_for(gpqa(8), 0.03)
    assert repeats_for(gpqa(needed), 0.03) <= 40
    fewer = repeats_for(gpqa(needed - 1), 0.03)
    assert fewer is None or fewer > 40


def test_a_margin_below_the_candidates_own_noise_is_out_of_reach_of_any_baseline():
    assert baseline_repeats_for(gpqa(8), 0.005) is None


def to_decide(z, boundary, information=1.0):
    return repeats_to_decide(z, boundary, information=information, baseline_repeats=32, max_repeats=16)


def test_a_statistic_at_its_boundary_needs_no_more_and_one_below_it_does():
    assert to_decide(2.5, 2.5) == 16
    assert to_decide(2.2, 2.5) == 25


def test_an_early_look_reckons_from_its_own_information():
    assert to_decide(2.5, 2.5, information=(3 / 32) / (1 / 32 + 1 / 4)) == 4


def test_no_number_of_samples_outweighs_the_noise_of_the_baseline():
    assert to_decide(1.4, 2.5) is None


def test_a_difference_that_points_the_other_way_decides_nothing():
    assert to_decide(-1.0, 2.5) is None
    assert to_decide(0.0, 2.5) is None


@pytest.mark.parametrize(
    ("design", "words"),
    [
        (gpqa(32)._replace(cells=0), "0 cells"),
        (gpqa(32)._replace(questions=0), "0 questions"),
        (gpqa(0), "0 baseline repeats"),
        (gpqa(32)._replace(within=0.0), "variance"),
        (gpqa(32)._replace(alpha=0.0), "error level"),
        (gpqa(32)._replace(alpha_pass=1.0), "error level"),
    ],
)
def test_designs_that_cannot_be_are_refused(design, words):
    with pytest.raises(StatisticsError, match=words):
        repeats_for(design, 0.03)


@pytest.mark.parametrize("margin", [0.0, 1.0, -0.1])
def test_margins_out_of_range_are_refused(margin):
    with pytest.raises(StatisticsError, match="margin"):
        repeats_for(gpqa(32), margin)


def test_a_power_out_of_range_is_refused():
    with pytest.raises(StatisticsError, match="error level"):
        detectable_drop(gpqa(32), 16, power=1.0)
