"""Files in the two formats that vLLM keeps load unchanged and mean what vLLM's own runners make of them."""

import json
from pathlib import Path

import pytest

from gate.cells import cells_of
from gate.evals.load import load_task
from gate.run import DEFAULT_CONCURRENCY, default_concurrency

FOLDER = Path(__file__).parents[1] / "data" / "upstream_configs"


def cell(name, arch="gfx950"):
    (spec,) = cells_of([FOLDER / name], arch=arch)
    return spec


def test_a_list_in_upstreams_format_loads():
    names = [spec.cell.config for spec in cells_of([FOLDER / "models-example.txt"], arch="gfx950")]
    assert names == ["gpqa-aiter", "gpqa-bare", "gsm8k-folded", "gsm8k-chat"]


def test_the_gpqa_format_means_gpqa_through_responses():
    spec = cell("gpqa-aiter.yaml")
    assert (spec.task.name, spec.task.endpoint, spec.reasoning_effort) == (
        *("gpqa_diamond", "responses", "medium"),
    )
    assert (spec.threshold, spec.tolerance, spec.gpus, spec.sampling.max_tokens) == (0.5, 0.05, 2, 12_000)
    assert spec.launch_preset == "vllm-eval"


@pytest.mark.parametrize("name", ["gpqa-bare.yaml", "gpqa-empty-values.yaml"])
def test_absent_and_empty_values_are_the_same(name):
    spec = cell(name)
    assert (spec.server_args, dict(spec.env), spec.reasoning_effort, spec.gpus) == ((), {}, "low", 1)


def test_the_gsm8k_format_means_greedy_few_shot_completions():
    spec = cell("gsm8k-folded.yaml")
    assert (spec.task.name, spec.task.protocol, spec.task.endpoint) == (
        "gsm8k",
        "vllm_few_shot",
        "completions",
    )
    assert (spec.task.num_questions, spec.task.num_fewshot) == (1319, 8)
    assert (spec.sampling.temperature, spec.sampling.max_tokens) == (0.0, 256)
    assert (spec.threshold, spec.tolerance, spec.max_concurrency) == (0.9, 0.03, 100)
    assert (spec.launch_preset, spec.reasoning_effort) == ("vllm-eval-gsm8k", None)


def test_folded_server_args_keep_json_and_count_gpus():
    spec = cell("gsm8k-folded.yaml")
    assert spec.server_args[-2:] == ("--speculative-config", '{"method": "mtp", "num_speculative_tokens": 2}')
    assert (spec.gpus, spec.max_model_len) == (8, 16_000)


def test_the_timeout_for_rocm_holds_on_rocm_only():
    assert cell("gsm8k-folded.yaml").request_timeout_seconds == 3600
    assert cell("gsm8k-folded.yaml", arch="sm90").request_timeout_seconds is None


def test_the_config_caps_the_requests_in_flight():
    assert default_concurrency(cell("gsm8k-folded.yaml"), questions=1319) == 100
    assert default_concurrency(cell("gpqa-bare.yaml"), questions=198) == 198
    assert default_concurrency(cell("gpqa-bare.yaml"), questions=1319) == DEFAULT_CONCURRENCY


def test_gsm8k_through_chat_keeps_its_temperature_and_prefix():
    spec = cell("gsm8k-chat.yaml")
    assert (spec.task.protocol, spec.task.endpoint) == ("chat", "chat")
    assert (spec.sampling.temperature, spec.sampling.max_tokens) == (1.0, 1024)
    assert spec.task.gen_prefix == " <think>\n\n</think>\n\n"


def test_keys_that_the_gate_does_not_act_on_are_said_so(tmp_path):
    (tmp_path / "x.yaml").write_text(
        "model_name: m\naccuracy_threshold: 0.5\n"
        "seed: 42\nmin_acceptance_length: 1.2\nstartup_rpc_checks: [a]\n"
    )
    (spec,) = cells_of([tmp_path / "x.yaml"], arch="sm90")
    assert [note.split()[0] for note in spec.notes] == ["seed", "min_acceptance_length", "startup_rpc_checks"]
    assert spec.launch_preset == "vllm-eval-gsm8k"


@pytest.mark.parametrize("key", ["task: gpqa_diamond", "gate: {margin: 0.05}", "backends: {a: {}}"])
def test_any_key_of_ours_ends_the_vllm_preset(tmp_path, key):
    (tmp_path / "x.yaml").write_text(f"model_name: m\nmetric_threshold: 0.5\n{key}\n")
    (spec,) = cells_of([tmp_path / "x.yaml"], arch="sm90")
    assert spec.launch_preset == "plain"


def test_the_prefix_of_gsm8k_stands_after_every_answer_label(tmp_path):
    for name, number in (("train.jsonl", 1), ("test.jsonl", 2)):
        (tmp_path / name).write_text(
            json.dumps({"question": f"Q{number}", "answer": f"so #### {number}"}) + "\n"
        )
    (tmp_path / "x.yaml").write_text(
        "model_name: m\nnum_questions: 1\nnum_fewshot: 1\ngen_prefix: ' <t></t>'\n"
    )
    (spec,) = cells_of([tmp_path / "x.yaml"], arch="cpu")
    task = load_task(
        spec.task,
        spec.sampling,
        reasoning_effort=None,
        served_model="m",
        dataset_path=tmp_path / "test.jsonl",
        cache_dir=tmp_path,
    )
    prompt = task.request(task.questions[0], 0, "s").body["prompt"]
    assert prompt == "Question: Q1\nAnswer: <t></t> so #### 1\n\nQuestion: Q2\nAnswer: <t></t>"
