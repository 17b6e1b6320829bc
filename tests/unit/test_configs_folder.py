"""What ships in configs/: every list has its hardware, and every backend says what must have run."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from gate.attest import attest_log
from gate.cells import cells_of, describe, matrix
from gate.config import EXPECT_KEYS, FALLBACKS, Config, json_schema, load_list, parse_config
from gate.errors import UsageError
from gate.runners import load_runners
from gate.serving.launch import check_model

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "configs"
LISTS = sorted(CONFIGS.glob("models-*.txt"))
FILES = sorted(path for path in CONFIGS.glob("*.yaml") if path.name != "runners.yaml")


def expected(list_name):
    return {str(s.cell).partition("/")[2]: dict(s.expect) for s in cells_of([CONFIGS / list_name], arch=None)}


def test_every_list_has_hardware_and_every_piece_of_hardware_a_list():
    assert set(load_runners(CONFIGS / "runners.yaml")) == {path.name for path in LISTS}


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_every_list_plans_without_an_arch(path):
    specs = cells_of([path], arch=None)
    assert len(matrix(specs)["include"]) == len(specs) >= 2


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_backend_says_which_kernel_must_run(path):
    for spec in cells_of([path], arch="any"):
        assert {"moe", "activation", "tp"} <= set(spec.expect), spec.cell
        assert spec.expect["tp"] == str(spec.gpus)
        assert spec.launch_preset == "plain"
        assert not spec.trust_remote_code


def test_w4a8_on_gfx950_is_aiter_triton_and_emulation():
    facts = expected("models-gfx950.txt")
    name = "gpt-oss-20b-rocm-mxfp4-fp8"
    kernels = {backend: facts[f"{name}/{backend}"]["moe"] for backend in ("aiter", "triton", "emulation")}
    assert kernels == {"aiter": "AITER_MXFP4_FP8", "triton": "TRITON", "emulation": "EMULATION"}


def test_w4a8_on_gfx942_is_emulation_only():
    facts = expected("models-gfx942.txt")
    assert {fact["moe"] for fact in facts.values() if fact.get("scheme") == "w_mxfp4_a_fp8"} == {"EMULATION"}


def test_120b_runs_on_one_gpu_and_on_eight():
    specs = cells_of([CONFIGS / "gpt-oss-120b-rocm-mxfp4-fp8.yaml"], arch="gfx950")
    assert {spec.cell.backend: spec.gpus for spec in specs} == {"tp1": 1, "tp8": 8}


def test_the_cpu_list_is_the_tiny_config_with_at_least_two_backends():
    assert [path.name for path in load_list(CONFIGS / "models-cpu.txt")] == ["tiny-gpt-oss-w4a8.yaml"]
    assert len(cells_of([CONFIGS / "models-cpu.txt"], arch=None)) >= 2


def test_all_of_the_folder_can_be_checked_at_once():
    rows = describe(cells_of(sorted(CONFIGS.glob("*")), arch=None, unknown_arch="any"))
    assert {row["cell"].partition("/")[0] for row in rows} == {"any", "cpu", "gfx942", "gfx950"}


@pytest.mark.parametrize(
    "path",
    [
        *FILES,
        *sorted((ROOT / "tests/data/upstream_configs").glob("*.yaml")),
        ROOT / "tests/data/configs/w4a8.yaml",
    ],
    ids=lambda path: path.stem,
)
def test_every_config_that_loads_is_valid_by_the_json_schema(path):
    jsonschema.validate(yaml.safe_load(path.read_text()), json_schema())


@pytest.mark.parametrize(
    "text",
    ["model_nam: m", "{model_name: m, task: gpqa}", "{model_name: m, expect: {mo: X}}", "{model_name: 3}"],
)
def test_the_json_schema_refuses_what_the_loader_refuses(text):
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), json_schema())


def test_the_json_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(json_schema())


@pytest.mark.parametrize(
    "word", [*Config.model_fields, *sorted(EXPECT_KEYS), *sorted(FALLBACKS), *(path.stem for path in FILES)]
)
def test_the_documentation_names_every_key_fact_fallback_and_config(word):
    assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", (ROOT / "docs" / "configs.md").read_text())


def test_the_example_of_the_documentation_is_a_config():
    example = re.search(r"```yaml\n(.*?)```", (ROOT / "docs" / "configs.md").read_text(), re.DOTALL)
    assert list(parse_config(example[1], "configs.md").config.backends) == ["aiter", "triton", "emulation"]


@pytest.mark.parametrize(
    ("config", "backend", "log", "met"),
    [
        ("gpt-oss-20b-rocm-mxfp4-fp8", "aiter", "reconstructed-rocm-0.32.0-aiter", True),
        ("gpt-oss-20b-rocm-mxfp4-fp8", "aiter", "reconstructed-rocm-0.32.0-silent-emulation", False),
        ("gpt-oss-20b-rocm-mxfp4-fp8", "aiter", "reconstructed-rocm-0.32.0-triton", False),
        ("gpt-oss-20b-rocm-mxfp4-fp8", "triton", "reconstructed-rocm-0.32.0-triton", True),
        ("gpt-oss-20b-rocm-mxfp4-mxfp4", "aiter", "reconstructed-rocm-0.32.0-ck-w4a4", True),
        ("tiny-gpt-oss-w4a8", "emulation", "vllm-0.32.0-cpu-emulation", True),
        ("tiny-gpt-oss-w4a8", "emulation", "vllm-0.32.0-cpu-triton", False),
        ("tiny-gpt-oss-w4a8", "triton", "vllm-0.32.0-cpu-triton", True),
        ("tiny-gpt-oss-w4a8", "triton", "vllm-0.32.0-cpu-emulation", False),
    ],
)
def test_what_a_backend_expects_is_what_its_log_says(config, backend, log, met):
    attested = attest_log(CONFIGS / f"{config}.yaml", backend, ROOT / "tests" / "logs" / f"{log}.log")
    assert all(check.ok for check in attested.checks) is met


@pytest.mark.parametrize("name", ["tiny-gpt-oss-w4a8", "gpt-oss-20b-rocm-mxfp4-mxfp4"])
def test_a_checkpoint_that_no_hub_has_must_be_given(name):
    spec = cells_of([CONFIGS / f"{name}.yaml"], arch="any")[0]
    with pytest.raises(UsageError, match=r"is on no hub\n  give the checkpoint's folder with --model"):
        check_model(spec.model_name)
