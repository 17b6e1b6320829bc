"""What a running vLLM says of itself over HTTP, from a real answer and from nonsense."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.serving.server_info import ServedModel, read_models, read_server_info, read_version

ANSWER = Path(__file__).parents[2] / "logs/vllm-0.32.0-cpu-server_info.json"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def answer() -> dict[str, Any]:
    return json.loads(ANSWER.read_text())


def test_the_facts_of_a_real_answer():
    info = read_server_info(answer())
    assert info is not None
    assert info.facts == {
        "dp": "1",
        "dtype": "torch.bfloat16",
        "enforce_eager": "True",
        "ep": "1",
        "kv_cache_dtype": "auto",
        "load_format": "auto",
        "max_model_len": "512",
        "pp": "1",
        "quantization": "quark",
        "seed": "0",
        "tp": "1",
    }
    assert info.versions == {"torch": "2.13.0+cpu", "python": "3.11.7"}
    assert info.conversation_date == "2026-01-01"
    assert info.evidence().source == "server_info"


def test_which_kernels_run_is_no_fact_of_the_configuration():
    asked = answer()
    assert asked["vllm_config"]["kernel_config"]["moe_backend"] == "emulation"
    info = read_server_info(asked)
    assert info is not None
    assert not {"moe", "experts", "attention", "activation"} & info.facts.keys()


def test_no_token_and_no_path_is_kept():
    asked = answer()
    asked["vllm_config"]["model_config"]["hf_token"] = "hf_canary"
    asked["system_env"]["env_vars"] = "AWS_SECRET=canary"
    asked["system_env"]["torch_version"] = "2.0 /home/canary"
    asked["vllm_env"]["VLLM_SYSTEM_START_DATE"] = "<script>canary"
    assert "canary" not in repr(read_server_info(asked))


def test_expert_parallelism_that_is_on_has_its_size_in_the_log_only():
    asked = answer()
    asked["vllm_config"]["parallel_config"]["enable_expert_parallel"] = True
    info = read_server_info(asked)
    assert info is not None
    assert "ep" not in info.facts


@pytest.mark.parametrize("document", [None, [], "text", {}, {"vllm_config": "VllmConfig(...)"}])
def test_what_is_no_server_info_says_nothing(document: object):
    assert read_server_info(document) is None


@given(JSON)
def test_any_json_is_read_without_an_error(document: object):
    read_models(document)
    read_version(document)
    read_server_info(document)
    read_server_info({"vllm_config": document, "vllm_env": document, "system_env": document})


def test_models_are_listed_without_their_adapters():
    listed = [
        {"id": "m", "root": "openai/gpt-oss-20b", "max_model_len": 512, "parent": None},
        {"id": "adapter", "root": "/adapter", "parent": "m"},
        {"id": "bare"},
        {"root": "nameless"},
        "nonsense",
    ]
    assert read_models({"data": listed}) == (
        ServedModel("m", "openai/gpt-oss-20b", 512),
        ServedModel("bare", None, None),
    )


def test_a_version_is_a_word():
    assert read_version({"version": "0.32.0+rocm700"}) == "0.32.0+rocm700"
    assert read_version({"version": "<b>"}) is None
    assert read_version(["0.32.0"]) is None
