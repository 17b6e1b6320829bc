"""Configs times backends times architecture make cells, and everything in a cell is merged."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gate.cells import cells_of, describe, matrix
from gate.errors import ConfigError, UsageError
from gate.model.cell import Cell
from gate.records import record_path
from gate.settings import When

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
    write(tmp_path, "models-a.txt", "x.yaml\n")
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


def test_a_cell_that_two_paths_name_is_there_once(tmp_path):
    file = write(tmp_path, "x.yaml", "model_name: m\n")
    listed = write(tmp_path, "models-a.txt", "x.yaml\n")
    assert len(cells_of([file, listed, file], arch="cpu")) == 1


def test_two_files_that_make_the_same_cell_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    files = [write(folder, "x.yaml", "model_name: m\n") for folder in (tmp_path, tmp_path / "other")]
    with pytest.raises(ConfigError, match=r"cell cpu/x/default is made twice, also by .*x\.yaml"):
        cells_of(files, arch="cpu")


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
        (
            "accuracy_threshold: .5",
            ["gsm8k", "vllm_few_shot", "completions", "vllm-eval-gsm8k", 1200, 0.08, 0.0],
        ),
        ("task: {name: gsm8k, protocol: chat}", ["gsm8k", "chat", "chat", "plain", 1200, 0.08, 1.0]),
    ],
)
def test_what_a_file_leaves_out_comes_from_its_format(tmp_path, text, found):
    (spec,) = cells_of([write(tmp_path, "x.yaml", f"model_name: m\n{text}\n")], arch="cpu")
    task = spec.task
    runner = [spec.launch_preset, spec.startup_max_wait_seconds, spec.tolerance, spec.sampling.temperature]
    assert [task.name, task.protocol, task.endpoint, *runner] == found


def two_cells(folder: Path, gpus: int = 8, tp: int = 2) -> Path:
    runner = f"{{arch: gfx950, runs_on: [self-hosted, gfx950], gpus: {gpus}}}"
    write(
        folder,
        "x.yaml",
        f"model_name: m\nserver_args: -tp {tp}\nbackends: {{a: , b: {{}}}}\n".replace(" ,", " {},"),
    )
    listed = write(folder, "models-a.txt", "x.yaml\n")
    write(folder, "runners.yaml", f"lists:\n  models-a.txt: {runner}\n")
    return listed


def test_the_matrix_has_one_job_a_cell_with_its_labels(tmp_path):
    jobs = matrix(cells_of([two_cells(tmp_path)], arch=None))["include"]
    assert [(job["cell"], job["backend"]) for job in jobs] == [("gfx950/x/a", "a"), ("gfx950/x/b", "b")]
    assert jobs[0]["runs-on"] == ["self-hosted", "gfx950"]
    assert (jobs[0]["config"], jobs[0]["arch"], jobs[0]["gpus"]) == (f"{tmp_path}/x.yaml", "gfx950", 2)


def test_every_job_of_the_matrix_is_told_the_family_its_time_and_a_name_for_its_artifact(tmp_path):
    jobs = matrix(cells_of([two_cells(tmp_path)], arch=None))["include"]
    assert {job["family-size"] for job in jobs} == {2}
    assert {job["timeout-minutes"] for job in jobs} == {360}
    assert [job["artifact"] for job in jobs] == ["gate-records-gfx950__x__a", "gate-records-gfx950__x__b"]
    write(tmp_path, "x.yaml", "model_name: m\nstartup_max_wait_seconds: 630\ngate: {max_minutes: 20}\n")
    (job,) = matrix(cells_of([tmp_path / "models-a.txt"], arch=None))["include"]
    assert (job["family-size"], job["timeout-minutes"]) == (1, 46)


def test_a_config_named_by_itself_gets_the_runner_of_its_arch(tmp_path):
    two_cells(tmp_path)
    jobs = matrix(cells_of([tmp_path / "x.yaml"], arch="gfx950", backends=["a"]))["include"]
    assert jobs[0]["runs-on"] == ["self-hosted", "gfx950"]


def test_the_matrix_refuses_an_arch_without_a_runner(tmp_path):
    two_cells(tmp_path)
    with pytest.raises(UsageError, match=r"x\.yaml: runners\.yaml beside it has no runner of arch sm90"):
        matrix(cells_of([tmp_path / "x.yaml"], arch="sm90"))


def test_the_matrix_refuses_a_cell_that_needs_more_gpus_than_a_host_has(tmp_path):
    with pytest.raises(UsageError, match=r"gfx950/x/a needs 16 GPUs, but its runner has 8\n  .*--base-url"):
        matrix(cells_of([two_cells(tmp_path, tp=16)], arch=None))


def test_the_matrix_refuses_more_jobs_than_actions_runs(tmp_path):
    backends = ", ".join(f"b{number}: {{}}" for number in range(257))
    file = write(tmp_path, "x.yaml", f"model_name: m\nbackends: {{{backends}}}\n")
    with pytest.raises(UsageError, match="257 cells, but an Actions matrix holds 256"):
        matrix(cells_of([file], arch="cpu"))


def test_a_row_shows_what_would_run_ready_to_be_pasted(tmp_path):
    text = (
        "model_name: m\nserver_args: >-\n  --c '{\"a\": 1}'\nenv: {V: a b}\nexpect: {moe: TRITON}\nseed: 1\n"
    )
    (row,) = describe(cells_of([write(tmp_path, "x.yaml", text)], arch=None, unknown_arch="any"))
    assert row == {
        "cell": "any/x/default",
        "model": "m",
        "task": "gpqa_diamond (independent, responses)",
        "gpus": 1,
        "server_args": "--c '{\"a\": 1}'",
        "env": "V='a b'",
        "expect": "moe=TRITON",
        "preset": "plain",
        "margin": 0.03,
        "notes": "seed is not used: every sample has a seed of its own",
    }


def test_a_pinned_revision_reaches_the_engine(tmp_path):
    text = f"model_name: m\nmodel_revision: {'a' * 40}\n"
    (spec,) = cells_of([write(tmp_path, "x.yaml", text)], arch="cpu")
    assert spec.server_args == ("--revision", "a" * 40)


def test_reasoning_effort_null_sends_none(tmp_path):
    (spec,) = cells_of([write(tmp_path, "x.yaml", "model_name: m\nreasoning_effort: null\n")], arch="cpu")
    assert spec.reasoning_effort is None


def test_a_cell_runs_where_its_config_and_its_list_agree(tmp_path):
    write(tmp_path, "x.yaml", 'model_name: m\nwhen: {paths: ["csrc/**", "!csrc/docs/**"]}\n')
    listed = write(tmp_path, "models-a.txt", "x.yaml\n")
    write(tmp_path, "runners.yaml", RUNNERS.replace("gpus: 8", "when: {events: [pull_request, schedule]}"))
    (spec,) = cells_of([listed], arch=None)
    assert spec.selected("pull_request", ("README.md", "csrc/moe/topk.cu"))
    assert not spec.selected("pull_request", ("README.md",))
    assert not spec.selected("pull_request", ("csrc/docs/a.md",))
    assert spec.selected("schedule", None)
    assert not spec.selected("push", None)


@pytest.mark.parametrize(
    ("pattern", "path", "selects"),
    [
        ("*.py", "a.py", True),
        ("*.py", "a/b.py", False),
        ("**/*.py", "a/b.py", True),
        ("**/*.py", "b.py", True),
        ("a/**", "a/b/c", True),
        ("a/**", "ab", False),
        ("a?c", "abc", True),
        ("a.c", "abc", False),
    ],
)
def test_path_patterns_are_githubs(pattern, path, selects):
    assert When(paths=(pattern,)).selects("pull_request", (path,)) is selects


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "lists:\n  models-b.txt: {arch: x, runs_on: [a]}\n",
            r":2: names the list 'models-b\.txt', .*\n  Did you mean",
        ),
        ("lists:\n  models-a.txt: {arch: x, run_on: [a]}\n", ":2: unknown key 'lists.models-a.txt.run_on'"),
        ("lists:\n  models-a.txt: {arch: x, runs_on: []}\n", r":2: lists\.models-a\.txt\.runs_on"),
        ("lists:\n  models-a.txt: {arch: x, runs_on: ['${{ x }}']}\n", r":2: .*runs_on\.0"),
        ("lists: {}\n", r":1: lists is empty\n  Fill it: docs/configs\.md"),
        ("lists:\n  models-a.txt: {arch: x}\n", r":2: .*runs_on is missing\n  Add it: docs/configs\.md"),
    ],
)
def test_a_wrong_runners_file_names_the_line(tmp_path, text, message):
    write(tmp_path, "x.yaml", "model_name: m\n")
    listed = write(tmp_path, "models-a.txt", "x.yaml\n")
    write(tmp_path, "runners.yaml", text)
    with pytest.raises(ConfigError, match=r"runners\.yaml" + message):
        cells_of([listed], arch=None)


_LETTERS = st.text("a_-", min_size=1, max_size=4).filter(lambda name: not name.startswith("-"))
_CELLS = st.builds(Cell, arch=_LETTERS, config=_LETTERS, backend=_LETTERS)


@given(first=_CELLS, second=_CELLS)
@example(first=Cell(arch="a", config="a__b", backend="c"), second=Cell(arch="a", config="a", backend="b__c"))
@example(first=Cell(arch="a", config="a_", backend="b"), second=Cell(arch="a", config="a", backend="_b"))
@example(first=Cell(arch="a", config="a-b", backend="c"), second=Cell(arch="a", config="a", backend="b-c"))
def test_no_two_cells_share_a_file(first, second):
    assert (first.file_stem == second.file_stem) == (first == second)


def test_a_cell_of_usual_names_has_a_file_that_says_them():
    cell = Cell(arch="gfx950", config="gpt-oss_20b", backend="aiter")
    assert cell.file_stem == "gfx950__gpt-oss_20b__aiter"


def test_cells_whose_names_hold_the_separator_make_artifacts_and_records_of_their_own(tmp_path):
    write(tmp_path, "runners.yaml", "lists:\n  models-a.txt: {arch: gfx950, runs_on: [x], gpus: 1}\n")
    write(tmp_path, "a__b.yaml", "model_name: m\nbackends: {c: {}}\n")
    write(tmp_path, "a.yaml", "model_name: m\nbackends: {b__c: {}}\n")
    write(tmp_path, "models-a.txt", "a__b.yaml\na.yaml\n")
    specs = cells_of([tmp_path / "models-a.txt"], arch=None)
    assert len({job["artifact"] for job in matrix(specs)["include"]}) == 2
    assert len({record_path(tmp_path, spec.cell) for spec in specs}) == 2
