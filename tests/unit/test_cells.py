"""Configs times backends times architecture make cells, and everything in a cell is merged."""

from pathlib import Path

import pytest

from gate.cells import cells_of
from gate.errors import ConfigError, UsageError

DATA = Path(__file__).parents[1] / "data" / "configs"
RUNNERS = "lists:\n  models-a.txt: {arch: gfx950, runs_on: [self-hosted, gfx950], gpus: 8}\n"


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_every_backend_of_a_config_is_a_cell():
    specs = cells_of([DATA / "w4a8.yaml"], arch="gfx950")
    assert [str(spec.cell) for spec in specs] == [
        f"gfx950/w4a8/{b}" for b in ("aiter", "triton", "emulation")
    ]


def test_a_backends_arguments_are_appended_and_replace_the_same_option():
    aiter, triton, emulation = cells_of([DATA / "w4a8.yaml"], arch="gfx950")
    base = ("--attention-backend", "ROCM_AITER_UNIFIED_ATTN", "--kv-cache-dtype", "fp8")
    assert aiter.server_args == (*base, "-tp", "2")
    assert triton.server_args == (*base, "-tp", "2", "--moe-backend", "triton")
    assert emulation.server_args == (*base, "--moe-backend", "emulation", "-tp=8")
    assert [spec.gpus for spec in (aiter, triton, emulation)] == [2, 2, 8]


def test_expected_facts_merge_key_by_key():
    aiter, triton, emulation = cells_of([DATA / "w4a8.yaml"], arch="gfx950")
    assert [spec.expect["moe"] for spec in (aiter, triton, emulation)] == [
        *("AITER_MXFP4_FP8", "TRITON", "EMULATION"),
    ]
    assert [spec.expect["tp"] for spec in (aiter, triton, emulation)] == ["2", "2", "8"]
    assert {spec.expect["kv_cache_dtype"] for spec in (aiter, triton, emulation)} == {"fp8"}
    assert [spec.allow_fallback for spec in (aiter, triton)] == [(), ("moe_activation",)]


def test_a_backends_null_unsets_a_variable_and_numbers_keep_their_text(tmp_path):
    file = write(
        tmp_path,
        "x.yaml",
        "model_name: m\nenv: {A: 010, B: 1.0, C: x}\nbackends: {b: {env: {C: null, D: 2}}}\n",
    )
    (spec,) = cells_of([file], arch="cpu")
    assert dict(spec.env) == {"A": "010", "B": "1.0", "D": "2"}


def test_no_backends_means_one_named_default(tmp_path):
    (spec,) = cells_of([write(tmp_path, "x.yaml", "model_name: m\n")], arch="sm90")
    assert str(spec.cell) == "sm90/x/default"


def test_a_cpu_cell_takes_no_gpu(tmp_path):
    (spec,) = cells_of([write(tmp_path, "x.yaml", "model_name: m\nserver_args: -tp 2\n")], arch="cpu")
    assert spec.gpus == 0


def test_only_the_named_backends_are_kept():
    specs = cells_of([DATA / "w4a8.yaml"], arch="gfx950", backends=["triton"])
    assert [spec.cell.backend for spec in specs] == ["triton"]


def test_an_unknown_backend_is_refused_with_a_suggestion():
    with pytest.raises(UsageError, match="no config here has a backend 'tritn'\n  Did you mean 'triton'"):
        cells_of([DATA / "w4a8.yaml"], arch="gfx950", backends=["tritn"])


def test_a_list_that_runners_yaml_knows_needs_no_arch(tmp_path):
    write(tmp_path, "runners.yaml", RUNNERS)
    write(tmp_path, "x.yaml", "model_name: m\n")
    (spec,) = cells_of([write(tmp_path, "models-a.txt", "x.yaml\n")], arch=None)
    assert (spec.cell.arch, spec.list_name) == ("gfx950", "models-a.txt")


def test_a_list_that_runners_yaml_does_not_know_needs_an_arch(tmp_path):
    write(tmp_path, "runners.yaml", RUNNERS)
    write(tmp_path, "x.yaml", "model_name: m\n")
    unknown = write(tmp_path, "models-spark.txt", "x.yaml\n")
    with pytest.raises(UsageError, match=r"models-spark\.txt: nothing says which arch.*\n  Pass --arch"):
        cells_of([unknown], arch=None)
    assert cells_of([unknown], arch="sm121")[0].cell.arch == "sm121"


def test_an_arch_that_contradicts_runners_yaml_is_refused(tmp_path):
    write(tmp_path, "runners.yaml", RUNNERS)
    write(tmp_path, "x.yaml", "model_name: m\n")
    with pytest.raises(UsageError, match="runs on gfx950, but the arch is gfx942"):
        cells_of([write(tmp_path, "models-a.txt", "x.yaml\n")], arch="gfx942")


def test_the_same_cell_twice_is_refused(tmp_path):
    file = write(tmp_path, "x.yaml", "model_name: m\n")
    with pytest.raises(ConfigError, match="cell cpu/x/default is made twice"):
        cells_of([file, file], arch="cpu")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is neither a config"):
        cells_of([tmp_path], arch="cpu")


def test_nothing_given_is_refused():
    with pytest.raises(UsageError, match="no config is given"):
        cells_of([], arch="cpu")


def test_a_parallel_size_that_is_no_number_names_the_backend(tmp_path):
    file = write(tmp_path, "x.yaml", "model_name: m\nserver_args: -tp two\n")
    with pytest.raises(ConfigError, match=r"x\.yaml:2: backend default: '-tp two' is not a positive"):
        cells_of([file], arch="cpu")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("metric_threshold: .5", ["gpqa_diamond", "independent", "responses", "vllm-eval", 1800, 0.05, 1.0]),
        ("accuracy_threshold: .5", ["gsm8k", "vllm_few_shot", "completions", "vllm-eval", 600, 0.08, 0.0]),
        ("task: {name: gsm8k, protocol: chat}", ["gsm8k", "chat", "chat", "plain", 600, 0.08, 1.0]),
    ],
)
def test_what_a_file_leaves_out_comes_from_its_format(tmp_path, text, found):
    (spec,) = cells_of([write(tmp_path, "x.yaml", f"model_name: m\n{text}\n")], arch="cpu")
    task = spec.task
    runner = [spec.launch_preset, spec.startup_max_wait_seconds, spec.tolerance, spec.sampling.temperature]
    assert [task.name, task.protocol, task.endpoint, *runner] == found
