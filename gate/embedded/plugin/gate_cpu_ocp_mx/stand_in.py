"""Where the stand-ins enter vLLM: the table of kernels, and the swizzle that only Triton needs.

Written against vLLM 0.32.0, `fused_moe/oracle/mxfp4.py` and `quantization/quark/quark_moe.py`.
"""

from __future__ import annotations

import os

import torch
from vllm.model_executor.layers.fused_moe.oracle import mxfp4 as oracle
from vllm.model_executor.layers.quantization.quark import quark_moe

from .attention import wrap_attention
from .experts import CpuEmulationMxfp4Experts, CpuTritonMxfp4Experts
from .kv_cache import needed, stand_in_for_fp8_cache
from .sabotage import sabotage_of

_STAND_INS = {
    oracle.Mxfp4MoeBackend.EMULATION: CpuEmulationMxfp4Experts,
    oracle.Mxfp4MoeBackend.TRITON: CpuTritonMxfp4Experts,
}


def stand_in() -> None:
    """Replace the two kernels in the modules that look them up; a second call changes nothing.

    Raises:
        ValueError: GATE_SABOTAGE names no known sabotage.
    """
    sabotage_of(os.environ)
    if getattr(oracle.backend_to_kernel_cls, "stands_in", False):
        return
    own_kernels = oracle.backend_to_kernel_cls
    own_format = quark_moe.convert_gpt_oss_weight_to_mxfp4_moe_kernel_format

    def kernels(backend: oracle.Mxfp4MoeBackend) -> list[type]:
        stand = _STAND_INS.get(backend)
        return own_kernels(backend) if stand is None else [stand]

    def kernel_format(
        mxfp4_backend: oracle.Mxfp4MoeBackend, **tensors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        if mxfp4_backend != oracle.Mxfp4MoeBackend.TRITON:
            return tuple(own_format(mxfp4_backend=mxfp4_backend, **tensors))
        # Triton's own layout is a swizzle for its tiles; the stand-in reads the checkpoint's.
        return tuple(
            tensors[name]
            for name in (
                "w13_weight", "w2_weight", "w13_weight_scale", "w2_weight_scale", "w13_bias", "w2_bias"
            )
        )  # fmt: skip

    if needed():
        stand_in_for_fp8_cache()
    wrap_attention()
    kernels.stands_in = True  # type: ignore[attr-defined]  # a mark on a function, read above
    for module in (oracle, quark_moe):
        module.backend_to_kernel_cls = kernels
    quark_moe.convert_gpt_oss_weight_to_mxfp4_moe_kernel_format = kernel_format
