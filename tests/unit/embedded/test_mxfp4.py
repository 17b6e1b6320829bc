import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from gate.embedded.mxfp4 import BLOCK, Packed, dequantize, magnitudes, quantize

WEIGHTS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.sampled_from([BLOCK, 2 * BLOCK])),
    elements=st.floats(-1000, 1000, width=32),
)


@given(WEIGHTS)
def test_what_is_on_the_grid_comes_back_unchanged(weights):
    once = dequantize(quantize(weights))

    np.testing.assert_array_equal(dequantize(quantize(once)), once)


@given(WEIGHTS)
def test_no_value_moves_by_more_than_the_coarsest_step_of_its_block(weights):
    packed = quantize(weights)
    step = np.exp2(packed.scales.astype(np.float32) - 127).repeat(BLOCK, -1)

    # Between 4 and 6 the grid is 2 wide; above 6, up to 8, magnitudes saturate.
    assert (np.abs(dequantize(packed) - weights) <= 2 * step).all()


@given(WEIGHTS)
def test_signs_are_kept(weights):
    values = dequantize(quantize(weights))

    assert (np.sign(values) * np.sign(weights) >= 0).all()


def test_the_even_column_is_in_the_low_nibble():
    weights = np.zeros((1, BLOCK), np.float32)
    weights[0, 0], weights[0, 1] = 6.0, -0.5

    packed = quantize(weights)

    assert packed.codes[0, 0] == 0b1001_0111
    assert packed.scales[0, 0] == 127


def test_every_code_stands_for_its_value():
    codes = np.array([[low | (low << 4) for low in range(16)]], np.uint8)

    values = dequantize(Packed(codes, np.array([[128]], np.uint8)))

    expected = np.concatenate([magnitudes(), -magnitudes()]) * 2
    np.testing.assert_array_equal(values[0], expected.repeat(2))


def test_a_tie_goes_to_the_even_code():
    weights = np.zeros((1, BLOCK), np.float32)
    weights[0, :6] = [6.0, 0.25, 0.75, 1.25, 2.5, 5.0]

    assert dequantize(quantize(weights))[0, :6].tolist() == [6.0, 0.0, 1.0, 1.0, 2.0, 4.0]


def test_a_block_of_zeros_stays_zero():
    assert not dequantize(quantize(np.zeros((2, BLOCK), np.float32))).any()


def test_a_width_that_is_no_multiple_of_the_block_is_refused():
    with pytest.raises(ValueError, match="33, is not a multiple of 32"):
        quantize(np.zeros((1, 33), np.float32))
