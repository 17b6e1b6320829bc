"""The ways in which the stand-in kernel can be broken on purpose: `GATE_SABOTAGE=<name>`.

Each is a bug that a real kernel has had or could have. To add one, write a function from weight to
weight and name it in `SABOTAGES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from .mxfp4 import PackedWeight

VARIABLE = "GATE_SABOTAGE"

Sabotage = Callable[[PackedWeight], PackedWeight]


def swap_nibbles(weight: PackedWeight) -> PackedWeight:
    """Read the two 4-bit codes of every byte in the wrong order."""
    codes = weight.codes
    return weight._replace(codes=(codes >> 4) | ((codes & 0xF) << 4))


SABOTAGES: Mapping[str, Sabotage] = MappingProxyType({"swap_nibbles": swap_nibbles})


def sabotage_of(environment: Mapping[str, str]) -> tuple[str, Sabotage] | None:
    """The sabotage asked for, or None where the variable is unset or empty.

    Raises:
        ValueError: the variable names no known sabotage.
    """
    name = environment.get(VARIABLE, "")
    if not name:
        return None
    if name not in SABOTAGES:
        raise ValueError(f"{VARIABLE}={name!r} is not a sabotage; known: {', '.join(sorted(SABOTAGES))}")
    return name, SABOTAGES[name]
