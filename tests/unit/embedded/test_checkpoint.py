"""The committed checkpoint, read without torch: a safetensors file begins with a JSON header."""

import json
from collections import Counter

import pytest

from gate.embedded import stamp


@pytest.fixture(scope="module")
def tensors():
    with (stamp.checkpoint() / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    header.pop("__metadata__")
    return header


@pytest.fixture(scope="module")
def config():
    return json.loads((stamp.checkpoint() / "config.json").read_text())


def test_experts_are_mxfp4_with_a_scale_for_every_block_of_32(tensors, config):
    for layer in range(config["num_hidden_layers"]):
        for expert in range(config["num_local_experts"]):
            for part in ("gate_up_proj", "down_proj"):
                name = f"model.layers.{layer}.mlp.experts.{expert}.{part}"
                rows, half = tensors[f"{name}.weight"]["shape"]
                assert tensors[f"{name}.weight"]["dtype"] == "U8"
                assert tensors[f"{name}.weight_scale"]["shape"] == [rows, half * 2 // 32]
                assert tensors[f"{name}.input_scale"]["shape"] == []


def test_keys_and_values_have_a_scale_in_every_layer(tensors, config):
    kinds = Counter(name.split(".")[-2] for name in tensors if name.endswith("output_scale"))

    assert kinds == {"k_proj": config["num_hidden_layers"], "v_proj": config["num_hidden_layers"]}


def test_the_vocabulary_is_the_used_ids_and_one_row_for_all_others(tensors, config):
    used = json.loads((stamp.checkpoint() / "used_ids.json").read_text())

    assert used == sorted(set(used))
    assert tensors["lm_head.weight"]["shape"][0] == len(used) + 1 == config["vocab_size"]


def test_the_configuration_asks_for_weights_activations_and_cache_as_w4a8(config):
    quantized = config["quantization_config"]

    assert quantized["global_quant_config"]["weight"]["dtype"] == "fp4"
    assert quantized["global_quant_config"]["input_tensors"]["dtype"] == "fp8_e4m3"
    assert quantized["export"]["kv_cache_group"] == ["*k_proj", "*v_proj"]
