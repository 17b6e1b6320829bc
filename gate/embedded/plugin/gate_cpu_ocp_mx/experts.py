"""gpt-oss experts in plain PyTorch: what the MXFP4 kernels compute, without their hardware.

Products are taken in float32 on values that are exact in bfloat16 (or FP8), which is what a matrix
unit with float32 accumulators does; the activation's output is rounded to the model's own type.
"""

from __future__ import annotations

import torch
import vllm.model_executor.layers.fused_moe.modular_kernel as mk
from vllm.forward_context import get_forward_context
from vllm.logger import init_logger
from vllm.model_executor.layers.fused_moe.activation import MoEActivation
from vllm.model_executor.layers.fused_moe.config import (
    FusedMoEConfig,
    FusedMoEParallelConfig,
    FusedMoEQuantConfig,
)
from vllm.model_executor.layers.fused_moe.topk_weight_and_reduce import TopKWeightAndReduceNoOP
from vllm.model_executor.layers.quantization.utils.quant_utils import (
    QuantKey,
    kFp8StaticTensorSym,
    kMxfp4Static,
)
from vllm.platforms import current_platform

from .attention import decoding
from .mxfp4 import PackedWeight, round_through_fp8
from .sabotage import HEALTHY, VARIABLE, Current, Sabotage, weights_of

# vLLM's logger shows only its own names.
logger = init_logger("vllm.gate_cpu_ocp_mx")


class CpuMxfp4Experts(mk.FusedMoEExpertsModular):  # type: ignore[misc]  # types are checked without vLLM
    """MXFP4 experts with activations in the model's type or in static FP8; one process, no parallelism."""

    def __init__(self, moe_config: FusedMoEConfig, quant_config: FusedMoEQuantConfig) -> None:
        super().__init__(moe_config, quant_config)
        self._current = Current()
        self._packed: tuple[PackedWeight, PackedWeight] | None = None
        self._weights: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    @property
    def expects_unquantized_inputs(self) -> bool:
        """True: this class rounds its inputs itself."""
        return True

    @staticmethod
    def activation_format() -> mk.FusedMoEActivationFormat:
        """One row a token."""
        return mk.FusedMoEActivationFormat.Standard

    @staticmethod
    def _supports_current_device() -> bool:
        return bool(current_platform.is_cpu())

    @staticmethod
    def _supports_no_act_and_mul() -> bool:
        return False

    @staticmethod
    def _supports_activation(activation: MoEActivation) -> bool:
        return bool(activation == MoEActivation.SWIGLUOAI)

    @staticmethod
    def _supports_parallel_config(moe_parallel_config: FusedMoEParallelConfig) -> bool:
        return bool(moe_parallel_config.ep_size == 1 and moe_parallel_config.dp_size == 1)

    def moe_problem_size(
        self, a1: torch.Tensor, w1: torch.Tensor, w2: torch.Tensor, topk_ids: torch.Tensor
    ) -> tuple[int, int, int, int, int]:
        """(experts, tokens, 2I, hidden size, experts a token); columns are packed, so `a1` knows better."""
        return w1.shape[0], a1.shape[0], w1.shape[1], a1.shape[-1], topk_ids.shape[1]

    def workspace_shapes(
        self, M: int, N: int, K: int, *_others: object
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """No scratch space; the output is (tokens, hidden size)."""
        return (0,), (0,), (M, K)

    def finalize_weight_and_reduce_impl(self) -> mk.TopKWeightAndReduce:
        """Nothing left to do: `apply` weighs and adds the experts' outputs."""
        return TopKWeightAndReduceNoOP()

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Read the packed weights once, through the sabotage if one is asked for."""
        gate_up = PackedWeight(layer.w13_weight.data, self.quant_config.w1_scale.data)
        down = PackedWeight(layer.w2_weight.data, self.quant_config.w2_scale.data)
        name, _ = self._current()
        if name:
            logger.warning_once("%s=%s: a kernel is broken on purpose.", VARIABLE, name)
        self._packed = (gate_up, down)

    def apply(  # noqa: PLR0917 - vLLM's signature
        self,
        output: torch.Tensor,
        hidden_states: torch.Tensor,
        w1: torch.Tensor,
        w2: torch.Tensor,
        topk_weights: torch.Tensor,
        topk_ids: torch.Tensor,
        activation: MoEActivation,
        global_num_experts: int,
        expert_map: torch.Tensor | None,
        a1q_scale: torch.Tensor | None,
        a2_scale: torch.Tensor | None,
        workspace13: torch.Tensor,
        workspace2: torch.Tensor,
        expert_tokens_meta: mk.ExpertTokensMetadata | None,
        apply_router_weight_on_input: bool,
    ) -> None:
        """Write the weighted sum of each token's experts, (T, hidden size), into `output`."""
        config = self.quant_config
        name, sabotage = self._current()
        if sabotage.decode_only and not decoding(get_forward_context().attn_metadata):
            name, sabotage = "", HEALTHY
        w_gate_up, w_down = self._dequantized(name, sabotage)
        if sabotage.routes is not None:
            topk_weights, topk_ids = sabotage.routes(topk_weights, topk_ids)
        a1_scale, a2_scale = (config.a1_scale, config.a2_scale) if sabotage.fp8_inputs else (None, None)
        if sabotage.shared_input_scale:
            a2_scale = a1_scale
        tokens = _rounded(hidden_states.float(), a1_scale)
        # The rows of each expert side by side: one product an expert, whatever the batch.
        order = topk_ids.flatten().argsort(stable=True)
        token_of = order // topk_ids.shape[1]
        rows = tokens[token_of]
        counts = torch.bincount(topk_ids.flatten(), minlength=w_down.shape[0]).tolist()
        results = []
        for expert, group in enumerate(rows.split(counts)):
            if not len(group):
                continue
            gate_up = _product(group, w_gate_up[expert], self.w1_bias, expert)
            inner = sabotage.activation(gate_up).to(hidden_states.dtype).float()
            inner = _rounded(inner, a2_scale)
            down_bias = self.w2_bias if sabotage.down_bias else None
            results.append(_product(inner, w_down[expert], down_bias, expert))
        weights = topk_weights.flatten()[order].float().unsqueeze(1)
        summed = torch.zeros_like(tokens).index_add_(0, token_of, torch.cat(results).mul_(weights))
        output.copy_(summed)

    def _dequantized(self, name: str, sabotage: Sabotage) -> tuple[torch.Tensor, torch.Tensor]:
        """Both weights as this sabotage reads them, worked out once."""
        if self._packed is None:
            raise RuntimeError("the weights were not loaded")
        if name not in self._weights:
            self._weights[name] = weights_of(sabotage, *self._packed)
        return self._weights[name]


class CpuEmulationMxfp4Experts(CpuMxfp4Experts):
    """In the place of `OCP_MXQuantizationEmulationTritonExperts`: activations as the checkpoint says."""

    @staticmethod
    def _supports_quant_scheme(weight_key: QuantKey | None, activation_key: QuantKey | None) -> bool:
        return bool(weight_key == kMxfp4Static and activation_key in (None, kFp8StaticTensorSym))


class CpuTritonMxfp4Experts(CpuMxfp4Experts):
    """In the place of `OAITritonMxfp4ExpertsMonolithic`: weight-only, as that kernel is."""

    @staticmethod
    def _supports_quant_scheme(weight_key: QuantKey | None, activation_key: QuantKey | None) -> bool:
        return bool(weight_key == kMxfp4Static and activation_key is None)


def _rounded(values: torch.Tensor, scale: torch.Tensor | None) -> torch.Tensor:
    return values if scale is None else round_through_fp8(values, scale)


def _product(
    rows: torch.Tensor, weights: torch.Tensor, biases: torch.Tensor | None, expert: int
) -> torch.Tensor:
    if biases is None:
        return rows @ weights
    return torch.addmm(biases[expert].float(), rows, weights)
