"""MXFP4 packing as AMD Quark writes it: blocks of 32 along the last axis, E2M1 codes, one e8m0 scale a block.

The format is that of the OCP Microscaling Formats specification 1.0, sections 5.1 and 6.3: a block's value is
code * 2^(scale - 127), the scale the exponent of the block's largest magnitude less the 2 of E2M1's own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 32
_BIAS = 127
_E2M1_EXPONENT = 2
_TINIEST = np.float32(1e-38)


class Packed(NamedTuple):
    """Codes (..., K / 2) uint8, the even column's in the low nibble, and scales (..., K / 32) uint8."""

    codes: NDArray[np.uint8]
    scales: NDArray[np.uint8]


def magnitudes() -> NDArray[np.float32]:
    """Return the eight magnitudes of E2M1 by code; bit 3 of a code is the sign."""
    return np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)


def quantize(weights: NDArray[np.float32]) -> Packed:
    """Round weights (..., K) to MXFP4, to nearest, ties to the even code.

    Raises:
        ValueError: K is not a multiple of 32.
    """
    if weights.shape[-1] % BLOCK:
        raise ValueError(f"the last axis, {weights.shape[-1]}, is not a multiple of {BLOCK}")
    blocks = weights.astype(np.float32).reshape(*weights.shape[:-1], -1, BLOCK)
    largest = np.maximum(np.abs(blocks).max(-1, keepdims=True), _TINIEST)
    exponent = np.clip(np.floor(np.log2(largest)) - _E2M1_EXPONENT, -_BIAS, _BIAS)
    scaled = blocks / np.exp2(exponent)
    grid = magnitudes()
    middle = (grid[1:] + grid[:-1]) / 2
    magnitude = np.minimum(np.abs(scaled), grid[-1])
    code = np.searchsorted(middle, magnitude, side="left")
    tie_below_odd = (
        (code < len(middle)) & (magnitude == middle[np.minimum(code, len(middle) - 1)]) & (code % 2 == 1)
    )
    code = (code + tie_below_odd + 8 * (scaled < 0)).astype(np.uint8).reshape(weights.shape)
    codes = code[..., 0::2] | (code[..., 1::2] << 4)
    return Packed(codes.astype(np.uint8), (exponent[..., 0] + _BIAS).astype(np.uint8))


def dequantize(packed: Packed) -> NDArray[np.float32]:
    """Return the values (..., K) that the codes stand for."""
    code = np.stack([packed.codes & 15, packed.codes >> 4], -1).reshape(*packed.codes.shape[:-1], -1)
    value = magnitudes()[code & 7] * np.where(code & 8, np.float32(-1), np.float32(1))
    scale = np.exp2(packed.scales.astype(np.float32) - _BIAS)
    values: NDArray[np.float32] = value * np.repeat(scale, BLOCK, -1)
    return values
