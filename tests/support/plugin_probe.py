"""Runs the plugin's numbers in the engine's own environment: JSON requests on stdin, JSON answers on stdout.

Weights are read under a default type of BF16, as vLLM sets it while it loads.
The expected values are worked out by the test, without PyTorch.
"""

from __future__ import annotations

import json
import os
import sys
from types import SimpleNamespace

import torch
from gate_cpu_ocp_mx.mxfp4 import PackedWeight, dequantize, round_through_fp8
from gate_cpu_ocp_mx.sabotage import swap_nibbles


def packed(request: dict) -> PackedWeight:
    return PackedWeight(
        torch.tensor(request["codes"], dtype=torch.uint8), torch.tensor(request["scales"], dtype=torch.uint8)
    )


def answer(request: dict) -> object:
    """The values asked for; a ValueError's text where the plugin raises one."""
    try:
        match request["do"]:
            case "dequantize":
                torch.set_default_dtype(torch.bfloat16)
                values = dequantize(packed(request))
                exact = bool((values.bfloat16().float() == values.float()).all())
                return {"values": values.tolist(), "exact": exact, "type": str(values.dtype)}
            case "swap":
                return swap_nibbles(packed(request)).codes.tolist()
            case "round":
                return round_through_fp8(
                    torch.tensor(request["values"]), torch.tensor(request["scale"])
                ).tolist()
            case "experts" | "attention" as part:
                return {"experts": experts, "attention": attention}[part](request)
            case "sabotaged":
                return [sabotaged(request, name) for name in request["names"]]
    except ValueError as error:
        return str(error)
    finally:
        torch.set_default_dtype(torch.float32)


def sabotaged(request: dict, name: str) -> object:
    """The same with a kernel that is broken in this way."""
    os.environ["GATE_SABOTAGE"] = name
    return experts(request)


def attention(request: dict) -> object:
    """A prefill through the stand-in for an FP8 KV cache; `scales` are those of keys and values."""
    from gate_cpu_ocp_mx.kv_cache import Shadows
    from vllm import _custom_ops as ops
    from vllm.platforms import current_platform
    from vllm.v1.attention.backends.cpu_attn import _get_attn_isa

    current_platform.import_kernels()
    shadows = Shadows()
    query, key, value = (
        torch.tensor(request[name], dtype=torch.bfloat16) for name in ("query", "key", "value")
    )
    length, heads, width = query.shape
    block, kind, (k_scale, v_scale) = 32, request["cache"], request["scales"]
    cache = torch.zeros(
        2, heads, 2 * block, width, dtype=torch.uint8 if kind.startswith("fp8") else torch.bfloat16
    )
    key_cache, value_cache = cache.chunk(2, dim=2)
    starts, lengths = torch.tensor([0, length], dtype=torch.int32), torch.tensor([length], dtype=torch.int32)
    isa = _get_attn_isa(torch.bfloat16, block, width)
    slots = torch.arange(block, block + length)
    write = shadows.writing(ops.cpu_attn_reshape_and_cache)
    write(
        key, value, key_cache, value_cache, slots, isa, k_scale=k_scale, v_scale=v_scale, kv_cache_dtype=kind
    )
    plan = ops.cpu_attn_get_scheduler_metadata(
        1, heads, heads, width, lengths, torch.bfloat16, starts, True, -1, isa, False
    )
    output = torch.full_like(query, float("nan"))
    shadows.reading(ops.cpu_attention_with_kv_cache)(
        query=query,
        key_cache=key_cache,
        value_cache=value_cache,
        output=output,
        query_start_loc=starts,
        seq_lens=lengths,
        scale=request["scale"],
        causal=True,
        alibi_slopes=None,
        sliding_window=-1,
        block_table=torch.tensor([[1]], dtype=torch.int32),
        softcap=0.0,
        scheduler_metadata=plan,
        s_aux=None,
        k_scale=k_scale,
        v_scale=v_scale,
        kv_cache_dtype=kind,
    )
    return output.float().tolist()


def experts(request: dict) -> object:
    """One layer's output for tokens and their experts, through vLLM's own quant configs."""
    from gate_cpu_ocp_mx.experts import CpuEmulationMxfp4Experts
    from vllm.model_executor.layers.fused_moe.activation import MoEActivation
    from vllm.model_executor.layers.fused_moe.config import (
        mxfp4_w4a8_moe_quant_config,
        mxfp4_w4a16_moe_quant_config,
    )

    gate_up, down = packed(request["gate_up"]), packed(request["down"])
    common = {
        "w1_scale": gate_up.scales,
        "w2_scale": down.scales,
        "w1_bias": torch.tensor(request["gate_up"]["bias"]),
        "w2_bias": torch.tensor(request["down"]["bias"]),
    }
    if scales := request["activation_scales"]:
        first, second = (torch.tensor(scale) for scale in scales)
        config = mxfp4_w4a8_moe_quant_config(**common, a1_scale=first, a2_scale=second)
    else:
        config = mxfp4_w4a16_moe_quant_config(**common)
    names = ("swiglu_limit", "swiglu_alpha", "swiglu_beta")
    situ = ("activation_situ_beta", "activation_situ_linear_beta")
    layer = SimpleNamespace(w13_weight=gate_up.codes, w2_weight=down.codes)
    kernel = CpuEmulationMxfp4Experts(SimpleNamespace(**dict.fromkeys((*names, *situ))), config)
    torch.set_default_dtype(torch.bfloat16)
    kernel.process_weights_after_loading(layer)
    torch.set_default_dtype(torch.float32)
    tokens = torch.tensor(request["tokens"], dtype=torch.bfloat16)
    output = torch.full_like(tokens, float("nan"))
    empty = torch.empty(0)
    kernel.apply(
        output,
        tokens,
        gate_up.codes,
        down.codes,
        torch.tensor(request["weights"]),
        torch.tensor(request["chosen"]),
        MoEActivation.SWIGLUOAI,
        len(request["gate_up"]["codes"]),
        None,
        None,
        None,
        empty,
        empty,
        None,
        False,
    )
    return output.float().tolist()


if __name__ == "__main__":
    json.dump([answer(request) for request in json.load(sys.stdin)], sys.stdout)
