"""Where a sequence stops, and when it is so near to it that nothing is sent ahead."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gate.stats.looks import LookStatistics
from gate.stats.sequential import NEAR_BOUNDARY, SequencePlan, Terms, near_boundary, plan_sequence, settle

QUESTIONS = tuple(f"{i:012x}" for i in range(6))
TERMS = Terms(margin=0.3, tolerated_loss=0.0, alpha=0.01, alpha_pass=0.05, max_repeats=4)


@pytest.fixture(scope="module")
def plan() -> SequencePlan:
    return plan_sequence(QUESTIONS, [8, 4, 6, 2, 7, 5], 8, TERMS, question_order_seed="seed")


def look(z_regression: float, z_pass: float | None) -> LookStatistics:
    one = np.asarray(1.0)
    passing = None if z_pass is None else np.asarray(z_pass)
    return LookStatistics(np.asarray(0.0), np.asarray(z_regression), one, passing, one, one)


def test_a_boundary_that_is_just_reached_is_crossed():
    """Discrete statistics do land on it, and the boundary is the smallest value that is rare enough."""
    upper = np.array([3.0, 2.0])
    reached = settle(np.array([0.0, 2.0]), np.array([0.0, 2.0]), upper, upper)
    assert (int(reached.stop), bool(reached.dropped), bool(reached.held)) == (1, True, True)
    short = settle(np.array([0.0, 1.999]), np.array([2.999, 1.0]), upper, upper)
    assert (int(short.stop), bool(short.dropped), bool(short.held)) == (-1, False, False)


@pytest.mark.parametrize(
    ("regression", "passing", "near"),
    [
        (-NEAR_BOUNDARY - 0.01, -9.0, False),
        (-NEAR_BOUNDARY + 0.01, -9.0, True),
        (-9.0, -NEAR_BOUNDARY - 0.01, False),
        (-9.0, -NEAR_BOUNDARY + 0.01, True),
        (-NEAR_BOUNDARY + 0.01, None, True),
        (-9.0, None, False),
    ],
)
def test_either_statistic_within_three_tenths_of_its_boundary_is_near(
    plan: SequencePlan, regression: float, passing: float | None, near: bool
):
    number = 2
    at = look(
        plan.upper_regression[number] + regression,
        None if passing is None else plan.upper_pass[number] + passing,
    )
    assert near_boundary(plan, number, at) is near
    assert plan.upper_regression[0] - plan.upper_regression[number] > NEAR_BOUNDARY
    assert not math.isclose(plan.upper_pass[0], plan.upper_pass[number], abs_tol=NEAR_BOUNDARY)
