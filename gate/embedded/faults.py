"""The faults that the embedded engine can be given on purpose, and what is healthy all the same.

Standard library only. The plugin in the engine's environment (`plugin/gate_cpu_ocp_mx/sabotage.py`) does
them; a test holds both lists together.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

FAULTS: Final = MappingProxyType(
    {
        "swap_nibbles": "the two 4-bit codes of every byte in the wrong order",
        "down_scale_off_by_one": "every e8m0 scale of down_proj one too large",
        "scale_of_64_columns": "one e8m0 scale for 64 columns instead of 32",
        "routes_swapped": "each chosen expert gets the other one's weight",
        "last_expert_lost": "what the last of the eight experts computes is forgotten",
        "activation_silu": "the gate's sigmoid without its factor of 1.702",
        "activation_clamp_lost": "the activation's clamp at 7 left out",
        "activation_halves": "gates and ups read as halves instead of interleaved",
        "input_scale_shared": "down_proj's FP8 input rounded with gate_up_proj's scale",
        "down_bias_lost": "down_proj's bias left out",
        "kv_value_scale": "cached values read with a scale 10 % too large",
        "window_halved": "a sliding window of 64 tokens instead of 128",
        "sinks_lost": "attention without its sinks",
        "decode_value_scale": "kv_value_scale, only while decoding",
        "decode_down_bias_lost": "down_bias_lost, only while decoding",
        "decode_down_scale": "down_scale_off_by_one, only while decoding",
    }
)

HEALTHY: Final = MappingProxyType(
    {
        "bf16_activations": "MXFP4-rounded weights, activations in BF16",
        "bf16": "weights in BF16 that MXFP4 rounds to these, activations in BF16",
    }
)

VARIABLE: Final = "GATE_SABOTAGE_FILE"
