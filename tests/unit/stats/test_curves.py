"""Roots and splines against SciPy's."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq

from gate.stats.curves import root, spline

SHARP = st.floats(0.01, 30)
PLACE = st.floats(-5, 5)


@given(SHARP, PLACE, st.sampled_from([2e-12, 1e-9, 1e-3]))
def test_a_root_is_that_of_scipy_bit_for_bit(sharp, place, tolerance):
    def step(x):
        return math.tanh(sharp * (x - place)) + (x - place) ** 3 / 50

    assert root(step, -9.0, 8.0, tolerance=tolerance) == brentq(step, -9.0, 8.0, xtol=tolerance)
    assert root(lambda x: -step(x), -9.0, 8.0, tolerance=tolerance) == pytest.approx(place, abs=2 * tolerance)


def test_an_end_that_is_the_root_is_given_back_and_ends_of_one_sign_are_refused():
    assert (root(float, 0.0, 1.0), root(float, -1.0, 0.0)) == (0.0, 0.0)
    with pytest.raises(ValueError, match="the same sign"):
        root(lambda x: x * x + 1, -1.0, 1.0)


@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.floats(-10, 10)), min_size=4, max_size=30),
    st.lists(st.floats(0, 1), min_size=1, max_size=20),
)
def test_a_spline_is_that_of_scipy(steps, places):
    gaps, y = np.array(steps).T
    x = np.cumsum(gaps)
    ours, theirs = spline(x, y), CubicSpline(x, y)
    for value in (*x, *np.minimum(x[0] + np.array(places) * (x[-1] - x[0]), x[-1])):
        assert ours.at(value) == pytest.approx(theirs(value), rel=1e-7, abs=1e-7)
