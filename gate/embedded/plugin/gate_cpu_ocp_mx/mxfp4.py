"""Numbers in the OCP Microscaling format MXFP4, and rounding through static FP8.

Source: OCP Microscaling Formats (MX) Specification 1.0, sections 5.2 (E8M0 scales) and 5.3.3 (E2M1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch

BLOCK = 32
FP8_MAX = 448.0
_SCALE_BIAS = 127
_SCALE_NAN = 255
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)


class PackedWeight(NamedTuple):
    """A weight of E experts, N rows and K columns as a checkpoint stores it.

    Attributes:
        codes: (E, N, K/2) uint8, two E2M1 codes a byte, the even column in the low nibble.
        scales: (E, N, K/32) uint8, E8M0: a power of two for every 32 columns.
    """

    codes: torch.Tensor
    scales: torch.Tensor


def dequantize(weight: PackedWeight) -> torch.Tensor:
    """The weight's values, (E, N, K) float32; every one is exact in bfloat16 too.

    Raises:
        ValueError: the shapes do not belong together, or a scale is NaN (255).
    """
    columns = weight.codes.shape[-1] * 2
    if weight.scales.shape != (*weight.codes.shape[:-1], columns // BLOCK):
        raise ValueError(
            f"MXFP4 codes {tuple(weight.codes.shape)} and scales {tuple(weight.scales.shape)} do not match"
        )
    if bool((weight.scales == _SCALE_NAN).any()):
        raise ValueError("an MXFP4 scale is 255, which is NaN in E8M0")
    # vLLM loads under a default type of its own.
    table = torch.tensor((*_E2M1, *(-value for value in _E2M1)), dtype=torch.float32)
    codes = torch.stack((weight.codes & 0xF, weight.codes >> 4), dim=-1).flatten(-2)
    exponents = weight.scales.to(torch.int32) - _SCALE_BIAS
    values = table[codes.to(torch.int32)].unflatten(-1, (-1, BLOCK))
    return torch.ldexp(values, exponents.unsqueeze(-1)).flatten(-2)


def round_through_fp8(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Values as they are after static per-tensor FP8 (e4m3) quantization with `scale`, saturating."""
    scaled = (values / scale).clamp_(-FP8_MAX, FP8_MAX)
    return scaled.to(torch.float8_e4m3fn).to(values.dtype).mul_(scale)
