"""An FP8 KV cache for a CPU without AVX-512, on which vLLM's compiled attention reads none.

Keys and values are rounded to FP8 with the checkpoint's scales, as vLLM stores them, and kept beside the
engine's cache as BF16, which holds every FP8 number exactly. vLLM's own kernel reads them there as a cache
that is not quantized, the scale of the keys in that of the softmax and the scale of the values applied to
its output. The sums are the same; a result is rounded to BF16 once more.

Written against vLLM 0.32.0, `v1/attention/backends/cpu_attn.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from vllm import _custom_ops as ops
from vllm.logger import init_logger
from vllm.v1.attention.backends import cpu_attn

_log = init_logger("vllm.gate_cpu_ocp_mx")

STORED = {"fp8": torch.float8_e4m3fn, "fp8_e4m3": torch.float8_e4m3fn, "fp8_e5m2": torch.float8_e5m2}
PLAIN = {"k_scale": 1.0, "v_scale": 1.0, "kv_cache_dtype": "auto"}


def needed() -> bool:
    """Whether vLLM has no kernel for an FP8 KV cache here; it asks torch the same."""
    return not torch.cpu._is_avx512_supported() and not torch.cpu._is_amx_tile_supported()


def stand_in_for_fp8_cache() -> None:
    """Let an FP8 KV cache through to vLLM's kernels as rounded BF16; any other goes its usual way."""
    instructions_for, metadata_for = cpu_attn._get_attn_isa, ops.cpu_attn_get_scheduler_metadata
    shadows = Shadows()

    def instructions(
        dtype: torch.dtype,
        block_size: int,
        head_size: int | None = None,
        kv_cache_dtype: str | None = None,
    ) -> str:
        if kv_cache_dtype in STORED:
            _log.info_once("No AVX-512 here: the FP8 KV cache is rounded by PyTorch and kept as BF16.")
            kv_cache_dtype = None
        return str(instructions_for(dtype, block_size, head_size, kv_cache_dtype))

    def metadata(**keywords: Any) -> torch.Tensor:  # noqa: ANN401 - vLLM's keywords
        if keywords.get("kv_cache_dtype") in STORED:
            keywords["kv_cache_dtype"] = "auto"
        return metadata_for(**keywords)

    cpu_attn._get_attn_isa = instructions
    ops.cpu_attn_get_scheduler_metadata = metadata
    ops.cpu_attn_reshape_and_cache = shadows.writing(ops.cpu_attn_reshape_and_cache)
    ops.cpu_attention_with_kv_cache = shadows.reading(ops.cpu_attention_with_kv_cache)


class Shadows:
    """The BF16 caches beside the engine's own; layers that share its memory share them, in other blocks."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, torch.Size], tuple[torch.Tensor, torch.Tensor]] = {}

    def writing(self, kernel: Any) -> Any:  # noqa: ANN401 - vLLM's functions
        """The kernel that writes keys and values."""

        def write(  # noqa: PLR0917 - vLLM's arguments
            key: torch.Tensor,
            value: torch.Tensor,
            key_cache: torch.Tensor,
            value_cache: torch.Tensor,
            slot_mapping: torch.Tensor,
            isa: str,
            k_scale: float = 1.0,
            v_scale: float = 1.0,
            kv_cache_dtype: str = "auto",
        ) -> None:
            if kv_cache_dtype not in STORED:
                kernel(
                    key, value, key_cache, value_cache, slot_mapping, isa, k_scale, v_scale, kv_cache_dtype
                )
                return
            kind = STORED[kv_cache_dtype]
            rounded = stored_as(kind, key, k_scale), stored_as(kind, value, v_scale)
            kernel(*rounded, *self._of(key_cache), slot_mapping, isa)

        return write

    def reading(self, kernel: Any) -> Any:  # noqa: ANN401 - vLLM's functions
        """The kernel that reads them."""

        def attention(**keywords: Any) -> None:  # noqa: ANN401 - vLLM's keywords
            if keywords["kv_cache_dtype"] not in STORED:
                kernel(**keywords)
                return
            keys, values = self._of(keywords["key_cache"])
            scale = keywords["scale"] * keywords["k_scale"]
            kernel(**keywords | PLAIN | {"key_cache": keys, "value_cache": values, "scale": scale})
            keywords["output"].mul_(keywords["v_scale"])

        return attention

    def _of(self, key_cache: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values beside the cache that begins where this one does; each of its shape."""
        where = (key_cache.data_ptr(), key_cache.shape)
        if where not in self._made:
            blocks, heads, size, width = key_cache.shape
            # NumPy leaves the memory of zeros to be touched when it is written; most of a cache never is.
            zeros = torch.from_numpy(np.zeros((blocks, heads, 2 * size, width), np.uint16))
            keys, values = zeros.view(torch.bfloat16).chunk(2, dim=2)
            self._made[where] = keys, values
        return self._made[where]


def stored_as(kind: torch.dtype, values: torch.Tensor, scale: float) -> torch.Tensor:
    """Values in units of `scale` as FP8 of this kind holds them, saturating; BF16, which does so exactly."""
    most = torch.finfo(kind).max
    return (values.float() / scale).clamp_(-most, most).to(kind).to(torch.bfloat16)
