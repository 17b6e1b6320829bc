"""Lets the real vLLM serve an MXFP4 gpt-oss checkpoint on a CPU, where none of its own kernels runs.

What it is: a vLLM general plugin that puts plain PyTorch experts in the place of the kernels of two
MoE backends, EMULATION (W-MXFP4 with static per-tensor FP8 activations, or weight-only) and TRITON
(weight-only: BF16 activations). vLLM itself still parses the quantization config, chooses the
backend, falls back, loads weights and scales, routes tokens and writes its own log lines. On a CPU without
AVX-512 and AMX it also keeps the FP8 KV cache, for which vLLM has no kernel there (`kv_cache.py`).

What it is not: a test of the AITER, CK or Triton kernels, of their speed, or of FP8 matrix units. A
verdict reached on it says that config parsing, loading, scale handling, serving, scoring and the
gate work; nothing about a GPU. It does nothing on a platform that is not a CPU.

`GATE_SABOTAGE` breaks the kernel on purpose (see `sabotage.py`) to show a gate that goes red.
"""


def register() -> None:
    """Stand in for the two kernels; vLLM calls this once in each of its processes.

    Raises:
        ValueError: GATE_SABOTAGE names no known sabotage.
    """
    # Imported late: on a GPU this plugin must not be what loads vLLM's kernels.
    from vllm.platforms import current_platform  # noqa: PLC0415

    if not current_platform.is_cpu():
        return
    from .stand_in import stand_in  # noqa: PLC0415

    stand_in()
