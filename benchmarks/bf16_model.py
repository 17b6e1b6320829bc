"""The embedded model in BF16: the same values, without quantization, for GPUs that no w4a8 kernel is for.

    python -m benchmarks.bf16_model .cache/tiny-gpt-oss-w4a8 .cache/tiny-gpt-oss-bf16

The experts' codes and scales are multiplied out, and the activation and KV scales left out. In the layout of
Hugging Face's gpt-oss, the experts of a layer stacked and input features before output features. Runs in the
engine's environment (torch, safetensors).
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from gate.embedded.mxfp4 import Packed, dequantize

Tensors = dict[str, torch.Tensor]


def experts_of(tensors: Tensors, layer: str, experts: int) -> Tensors:
    """A layer's experts: each projection (experts, input, output) and its bias (experts, output)."""
    made = {}
    for projection in ("gate_up_proj", "down_proj"):
        names = [f"{layer}.mlp.experts.{expert}.{projection}" for expert in range(experts)]
        packed = [
            Packed(tensors[f"{name}.weight"].numpy(), tensors[f"{name}.weight_scale"].numpy())
            for name in names
        ]
        weights = torch.stack([torch.from_numpy(dequantize(one)).T for one in packed])
        made[f"{layer}.mlp.experts.{projection}"] = weights.to(torch.bfloat16).contiguous()
        made[f"{layer}.mlp.experts.{projection}_bias"] = torch.stack(
            [tensors[f"{name}.bias"] for name in names]
        )
    return made


def convert(source: Path, out: Path) -> None:
    """Write `out`, which must not be there, from the expanded checkpoint `source`."""
    config = json.loads((source / "config.json").read_text())
    del config["quantization_config"]
    tensors = load_file(source / "model.safetensors")
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if ".experts." not in name and not name.endswith("output_scale")
    }
    for layer in range(config["num_hidden_layers"]):
        kept |= experts_of(tensors, f"model.layers.{layer}", config["num_local_experts"])
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("model.safetensors", "expanded.json"))
    save_file(kept, out / "model.safetensors", metadata={"format": "pt"})
    (out / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path, help="the expanded w4a8 checkpoint")
    parser.add_argument("out", type=Path, help="folder to write; must not be there")
    given = parser.parse_args()
    convert(given.source, given.out)
