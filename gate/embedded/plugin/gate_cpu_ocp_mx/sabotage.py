"""The ways in which the stand-in kernels can be broken on purpose.

`GATE_SABOTAGE=<name>` breaks an engine for its whole life. `GATE_SABOTAGE_FILE=<path>` names a file that
holds the name (or nothing) and is looked at before every layer: that is how `gate selftest` tries every
fault on one running engine, which must not reuse a prefix that another fault computed
(`--no-enable-prefix-caching`).

Each fault is a bug that a quantized MoE kernel, or the attention beside it, has had or could have. To add
one, write it here and describe it in `gate/embedded/faults.py`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from .mxfp4 import PackedWeight, dequantize

VARIABLE = "GATE_SABOTAGE"
FILE_VARIABLE = "GATE_SABOTAGE_FILE"

Weight = Callable[[PackedWeight], PackedWeight]
Routes = tuple[torch.Tensor, torch.Tensor]
Keywords = dict[str, Any]


def as_is(weight: PackedWeight) -> PackedWeight:
    """The weight as the checkpoint has it."""
    return weight


def swap_nibbles(weight: PackedWeight) -> PackedWeight:
    """Read the two 4-bit codes of every byte in the wrong order."""
    codes = weight.codes
    return weight._replace(codes=(codes >> 4) | ((codes & 0xF) << 4))


def scale_off_by_one(weight: PackedWeight) -> PackedWeight:
    """Read every E8M0 scale one too large: twice the value."""
    return weight._replace(scales=weight.scales + 1)


def scale_of_64_columns(weight: PackedWeight) -> PackedWeight:
    """Use the scale of every second block of 32 columns for its neighbour, too."""
    scales = weight.scales.clone()
    scales[..., 1::2] = scales[..., 0::2]
    return weight._replace(scales=scales)


def routes_swapped(weights: torch.Tensor, ids: torch.Tensor) -> Routes:
    """Give each chosen expert the other one's weight."""
    return weights.flip(-1), ids


def last_expert_lost(weights: torch.Tensor, ids: torch.Tensor) -> Routes:
    """Forget what the last expert computes, as a wrong bound of a loop over experts does."""
    return torch.where(ids == 7, torch.zeros_like(weights), weights), ids  # noqa: PLR2004 - of eight


@dataclass(frozen=True)
class Swiglu:
    """gpt-oss' gated activation, `MoEActivation.SWIGLUOAI`: openai/gpt-oss, torch/model.py, `swiglu`."""

    alpha: float = 1.702
    limit: float = 7.0
    interleaved: bool = True

    def __call__(self, gate_up: torch.Tensor) -> torch.Tensor:
        """(T, 2I) gates and ups, interleaved -> (T, I)."""
        if self.interleaved:
            gate, up = gate_up[:, 0::2], gate_up[:, 1::2]
        else:
            gate, up = gate_up.chunk(2, dim=1)
        gate, up = gate.clamp(max=self.limit), up.clamp(min=-self.limit, max=self.limit)
        return (up + 1.0) * gate * torch.sigmoid(self.alpha * gate)


def value_scale(keywords: Keywords) -> Keywords:
    """Read cached values with another FP8 scale than they were written with."""
    return keywords | {"v_scale": 1.1 * keywords["v_scale"]}


def half_window(keywords: Keywords) -> Keywords:
    """Look back half as far as a sliding layer should."""
    return keywords | {"sliding_window": max(-1, keywords["sliding_window"] // 2)}


def no_sinks(keywords: Keywords) -> Keywords:
    """Leave the attention sinks out of the softmax."""
    return keywords | {"s_aux": None}


@dataclass(frozen=True)
class Sabotage:
    """What is different from the healthy kernels.

    `shared_input_scale`: the second product rounds its FP8 input with the first one's scale. `rounding`
    moves weights within what MXFP4 rounds to the same codes, and without `fp8_inputs` activations stay as
    they are: neither is a fault. `decode_only`: only in steps that extend sequences by one token each.
    """

    gate_up: Weight = as_is
    down: Weight = as_is
    routes: Callable[[torch.Tensor, torch.Tensor], Routes] | None = None
    activation: Swiglu = Swiglu()
    shared_input_scale: bool = False
    down_bias: bool = True
    attention: Callable[[Keywords], Keywords] | None = None
    rounding: float = 0.0
    fp8_inputs: bool = True
    decode_only: bool = False


HEALTHY = Sabotage()

SABOTAGES: Mapping[str, Sabotage] = MappingProxyType(
    {
        "swap_nibbles": Sabotage(gate_up=swap_nibbles, down=swap_nibbles),
        "down_scale_off_by_one": Sabotage(down=scale_off_by_one),
        "scale_of_64_columns": Sabotage(gate_up=scale_of_64_columns, down=scale_of_64_columns),
        "routes_swapped": Sabotage(routes=routes_swapped),
        "last_expert_lost": Sabotage(routes=last_expert_lost),
        "activation_silu": Sabotage(activation=Swiglu(alpha=1.0)),
        "activation_clamp_lost": Sabotage(activation=Swiglu(limit=float("inf"))),
        "activation_halves": Sabotage(activation=Swiglu(interleaved=False)),
        "input_scale_shared": Sabotage(shared_input_scale=True),
        "down_bias_lost": Sabotage(down_bias=False),
        "kv_value_scale": Sabotage(attention=value_scale),
        "window_halved": Sabotage(attention=half_window),
        "sinks_lost": Sabotage(attention=no_sinks),
        "decode_value_scale": Sabotage(attention=value_scale, decode_only=True),
        "decode_down_bias_lost": Sabotage(down_bias=False, decode_only=True),
        "decode_down_scale": Sabotage(down=scale_off_by_one, decode_only=True),
        "bf16_activations": Sabotage(fp8_inputs=False),
        "bf16": Sabotage(rounding=0.25, fp8_inputs=False),
    }
)


def weights_of(
    sabotage: Sabotage, gate_up: PackedWeight, down: PackedWeight
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both weights dequantized, (E, K, N), so that a row of tokens times one of them needs no transpose."""
    both = [dequantize(sabotage.gate_up(gate_up)), dequantize(sabotage.down(down))]
    if sabotage.rounding:
        both = [_moved(values, sabotage.rounding) for values in both]
    first, second = (values.transpose(1, 2).contiguous() for values in both)
    return first, second


def sabotage_of(environment: Mapping[str, str]) -> tuple[str, Sabotage] | None:
    """The sabotage asked for by name, or None where the variable is unset or empty.

    Raises:
        ValueError: the variable names no known sabotage.
    """
    return _known(environment.get(VARIABLE, ""))


class Current:
    """The sabotage of now; follows the file that `GATE_SABOTAGE_FILE` names, where it names one."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._found = sabotage_of(environment)
        self._path = Path(environment[FILE_VARIABLE]) if environment.get(FILE_VARIABLE) else None
        self._seen: int | None = None

    def __call__(self) -> tuple[str, Sabotage]:
        """Its name, empty where nothing is broken, and what it does."""
        if self._path is not None and (changed := self._path.stat().st_mtime_ns) != self._seen:
            self._found = _known(self._path.read_text(encoding="utf-8").strip())
            self._seen = changed
        return self._found or ("", HEALTHY)


def _known(name: str) -> tuple[str, Sabotage] | None:
    if not name:
        return None
    if name not in SABOTAGES:
        raise ValueError(f"{VARIABLE}={name!r} is not a sabotage; known: {', '.join(sorted(SABOTAGES))}")
    return name, SABOTAGES[name]


def _moved(values: torch.Tensor, share: float) -> torch.Tensor:
    """Values moved at random by up to `share` of the distance to the next E2M1 code, then rounded to BF16.

    Near enough that MXFP4 rounds them to the codes they came from: what a checkpoint may have held
    before it was packed. Between 0 and .5 the next code is .5 of the block's scale away, further out a
    quarter of the value or more.
    """
    blocks = values.unflatten(-1, (-1, 32))
    unit = blocks.abs().amax(-1, keepdim=True) / 6
    step = torch.maximum(blocks.abs() / 4, unit / 2)
    noise = torch.rand(blocks.shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return (blocks + share * step * noise).flatten(-2).bfloat16().float()
