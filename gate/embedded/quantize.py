"""Pack a trained checkpoint as AMD Quark packs w4a8.

`python -m gate.embedded.quantize TRAINED CORPUS.npz OUT`: W-MXFP4 for the experts, A-FP8 with one static
scale per expert GEMM input, KV-FP8 with one static scale for keys and one for values of each layer; the rest
stays bfloat16. Runs in the engine's environment (torch, transformers).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import GptOssForCausalLM

from gate.embedded.corpus import ABSENT, Corpus
from gate.embedded.mxfp4 import quantize

FP8_E4M3_MAX = 448.0
CALIBRATION_LESSONS = 256
_SWIGLU_LIMIT = 7.0
_SWIGLU_ALPHA = 1.702

Scales = dict[str, float]


def calibrate(source: Path, corpus: Corpus) -> Scales:
    """Return the static scales by tensor name: largest magnitude over the calibration lessons / 448."""
    model = GptOssForCausalLM.from_pretrained(source, dtype=torch.float32, attn_implementation="eager").eval()
    scales: Scales = {}

    def note(name: str, values: torch.Tensor) -> None:
        scales[name] = max(scales.get(name, 0.0), values.abs().max().item() / FP8_E4M3_MAX)

    for index, layer in enumerate(model.model.layers):
        prefix = f"model.layers.{index}"
        for projection in ("k_proj", "v_proj"):
            name = f"{prefix}.self_attn.{projection}.output_scale"
            module = getattr(layer.self_attn, projection)
            module.register_forward_hook(lambda _m, _i, out, name=name: note(name, out))

        def watch(
            experts: torch.nn.Module,
            args: tuple[torch.Tensor, ...],
            kwargs: dict[str, torch.Tensor],
            prefix: str = prefix,
        ) -> None:
            inputs = (args[0] if args else kwargs["hidden_states"]).reshape(-1, experts.gate_up_proj.shape[1])
            note(f"{prefix}.mlp.experts.gate_up_proj", inputs)
            for expert in range(experts.gate_up_proj.shape[0]):
                hidden = inputs @ experts.gate_up_proj[expert] + experts.gate_up_proj_bias[expert]
                gate = hidden[:, ::2].clamp(max=_SWIGLU_LIMIT)
                up = hidden[:, 1::2].clamp(-_SWIGLU_LIMIT, _SWIGLU_LIMIT)
                activated = (up + 1) * gate * torch.sigmoid(_SWIGLU_ALPHA * gate)
                note(f"{prefix}.mlp.experts.down_proj", activated)

        layer.mlp.experts.register_forward_pre_hook(watch, with_kwargs=True)
    rows = torch.from_numpy(corpus.lessons[:CALIBRATION_LESSONS]).long()
    head = torch.from_numpy(corpus.head).long()
    ids = torch.cat(
        [head[None].expand(len(rows), -1), torch.where(rows == ABSENT, len(corpus.used), rows)], 1
    )
    with torch.no_grad():
        for chunk in ids.split(32):
            model(input_ids=chunk)
    return scales


def pack(tensors: dict[str, torch.Tensor], scales: Scales) -> dict[str, torch.Tensor]:
    """Return the tensors under Quark's names: experts one by one, weights packed, scales beside them."""
    packed: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        base, _, last = name.rpartition(".")
        if not base.endswith("mlp.experts"):
            packed[name] = tensor
        elif last.endswith("_bias"):
            for expert, bias in enumerate(tensor):
                packed[f"{base}.{expert}.{last.removesuffix('_bias')}.bias"] = bias.contiguous()
        else:
            result = quantize(tensor.float().transpose(1, 2).contiguous().numpy())
            for expert in range(len(tensor)):
                target = f"{base}.{expert}.{last}"
                packed[f"{target}.weight"] = torch.from_numpy(result.codes[expert].copy())
                packed[f"{target}.weight_scale"] = torch.from_numpy(result.scales[expert].copy())
                packed[f"{target}.input_scale"] = torch.tensor(scales[name], dtype=torch.float32)
    for name, scale in scales.items():
        if name.endswith("output_scale"):
            packed[name] = torch.tensor(scale, dtype=torch.float32)
    return packed


def quantization_config(layers: int) -> dict[str, Any]:
    """Return the `quantization_config` of config.json in the words of amd-quark's exporter."""
    weight = {
        "dtype": "fp4",
        "is_dynamic": False,
        "qscheme": "per_group",
        "ch_axis": -1,
        "group_size": 32,
        "symmetric": None,
        "round_method": "half_even",
        "scale_type": "float",
        "scale_format": "e8m0",
        "scale_calculation_mode": "even",
        "mx_element_dtype": None,
        "observer_cls": "PerBlockMXObserver",
        "is_scale_quant": False,
    }
    fp8 = {
        **weight,
        "dtype": "fp8_e4m3",
        "qscheme": "per_tensor",
        "ch_axis": None,
        "group_size": None,
        "symmetric": True,
        "scale_format": None,
        "scale_calculation_mode": None,
        "observer_cls": "PerTensorMinMaxObserver",
    }
    nothing = {
        "input_tensors": None,
        "weight": None,
        "output_tensors": None,
        "bias": None,
        "target_device": None,
    }
    kept = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.router")
    cached = ("*k_proj", "*v_proj")
    return {
        "quant_method": "quark",
        "quant_mode": "eager_mode",
        "algo_config": None,
        "softmax_quant_spec": None,
        "layer_type_quant_config": {},
        "global_quant_config": {**nothing, "input_tensors": fp8, "weight": weight},
        "exclude": [
            "lm_head",
            "model.embed_tokens",
            *(f"model.layers.{layer}.{name}" for layer in range(layers) for name in kept),
        ],
        "layer_quant_config": {name: {**nothing, "output_tensors": fp8} for name in cached},
        "kv_cache_quant_config": {},
        "kv_cache_post_rope": True,
        "export": {
            "kv_cache_group": list(cached),
            "min_kv_scale": 0.0,
            "pack_method": "reorder",
            "weight_format": "real_quantized",
            "weight_merge_groups": None,
        },
    }


def main() -> None:
    """Calibrate, pack and write the compact checkpoint that is committed as package data."""
    parser = argparse.ArgumentParser(description="Pack a trained model in AMD Quark's w4a8 layout.")
    parser.add_argument("source", type=Path, help="what gate.embedded.train wrote")
    parser.add_argument("corpus", type=Path, help="what gate.embedded.harmony wrote: calibrates the scales")
    parser.add_argument("out", type=Path, help="compact checkpoint")
    given = parser.parse_args()
    source, out = given.source, given.out
    out.mkdir(parents=True, exist_ok=True)
    scales = calibrate(source, Corpus.load(given.corpus))
    save_file(
        pack(load_file(source / "model.safetensors"), scales),
        out / "model.safetensors",
        metadata={"format": "pt"},
    )
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = quantization_config(config["num_hidden_layers"])
    (out / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    for name in ("used_ids.json", "training.json"):
        shutil.copyfile(source / name, out / name)


if __name__ == "__main__":
    main()
