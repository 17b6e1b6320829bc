"""Where a sabotage reaches vLLM's own CPU attention: the call of its compiled kernel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllm import _custom_ops as ops

from .sabotage import Current


def wrap_attention() -> None:
    """Let a sabotage change the arguments of the attention kernel; a healthy engine passes them on."""
    kernel = ops.cpu_attention_with_kv_cache
    current = Current()

    def attention(**keywords: Any) -> None:  # noqa: ANN401 - vLLM's keywords
        _, sabotage = current()
        change = sabotage.attention
        if change is not None and not (sabotage.decode_only and _longest(keywords["query_start_loc"]) > 1):
            keywords = change(keywords)
        kernel(**keywords)

    ops.cpu_attention_with_kv_cache = attention


def decoding(attn_metadata: object) -> bool:
    """Whether this step extends every sequence by one token; a profiling run, without metadata, does not."""
    if not isinstance(attn_metadata, Mapping) or not attn_metadata:
        return False
    return all(metadata.max_query_len == 1 for metadata in attn_metadata.values())


def _longest(starts: Any) -> int:  # noqa: ANN401 - a tensor of sequence starts
    return int((starts[1:] - starts[:-1]).max())
