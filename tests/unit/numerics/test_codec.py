"""Rows survive being stored, as exactly as the test of a drift needs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.errors import RecordError
from gate.numerics.codec import MAX_ID, TOP, pack, unpack
from gate.stats.drift import Rows
from tests.support import probes

IDS = st.integers(0, MAX_ID)
LOGPROBS = st.floats(-60, 0, width=16) | st.just(math.nan) | st.just(-math.inf)


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    number = draw(st.integers(0, 3))
    return Rows(
        np.array(draw(st.lists(IDS, min_size=number, max_size=number)), np.int64),
        np.array(draw(st.lists(LOGPROBS, min_size=number, max_size=number)), np.float64),
        np.array(draw(st.lists(IDS, min_size=number * TOP, max_size=number * TOP)), np.int64).reshape(
            -1, TOP
        ),
        np.array(draw(st.lists(LOGPROBS, min_size=number * TOP, max_size=number * TOP))).reshape(-1, TOP),
    )


@given(rows())
def test_half_precision_comes_back_as_it_was(given_rows):
    back = unpack(pack(given_rows), where="test")
    for before, after in zip(given_rows, back, strict=True):
        np.testing.assert_array_equal(after, before)


def test_a_position_takes_105_bytes_before_base64():
    assert len(pack(probes.said().prefill[0])) == math.ceil(105 * probes.SCORED / 3) * 4


def test_a_probability_near_one_keeps_its_distance_from_one():
    row = probes.said().prefill[0].first(1)
    near = row._replace(logprob=np.array([-1.2345e-4]))
    assert unpack(pack(near), where="test").logprob[0] == pytest.approx(-1.2345e-4, rel=5e-4)


@pytest.mark.parametrize(
    ("text", "said"), [("!", "is not base64"), ("AAAA", "3 bytes are no whole number of positions")]
)
def test_what_is_no_row_says_where_it_stands(text, said):
    with pytest.raises(RecordError, match=f"prompt 3: {said}"):
        unpack(text, where="prompt 3")
