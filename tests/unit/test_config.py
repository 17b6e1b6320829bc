"""A config either loads, or says in which line what is wrong and what was probably meant."""

import re
from pathlib import Path

import pytest

from gate.config import load_config, load_list, parse_config
from gate.engine import EngineChoice
from gate.errors import ConfigError, Exit
from gate.plan import Origins
from gate.request import RunRequest, select

FULL = Path(__file__).parents[1] / "data" / "configs" / "w4a8.yaml"


def problem(text: str, source: str = "configs/x.yaml") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, source)
    assert caught.value.exit_code == Exit.USAGE
    return caught.value


def broken(old: str, new: str) -> ConfigError:
    text = FULL.read_text()
    assert text.count(old) == 1, f"{old!r} must stand once in {FULL.name}"
    return problem(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "line", "message", "hint"),
    [
        ("metric_threshold", "metric_treshold", 3, "unknown key 'metric_treshold'", "'metric_threshold'?"),
        ("moe: TRITON", "mo: TRITON", 11, "no parser knows the fact 'mo'", "'moe'?"),
        ("  emulation: {server_args", "  emulation: {sever_args", 12, "'backends.emulation.sever_args'", "?"),
        ("[moe_activation]", "[moe_activaton]", 11, "the fallback 'moe_activaton'", "'moe_activation'?"),
        ("task: gpqa_diamond", "task: gpqa", 7, "task.name: 'gpqa' is not known", "'gpqa_diamond'?"),
        ("margin: 0.03", "margin: 1.5", 8, "gate.margin: 1.5: input should be less than 1", ""),
        ("max_minutes: 90", "max_minutes: .inf", 8, "gate.max_minutes: inf: input should be a finite", ""),
        ("margin: 0.03", "margin: '0.03'", 8, "gate.margin: '0.03': input should be a valid number", ""),
        ("task: gpqa_diamond", "task: gpqa_dimond", 7, "task.name: 'gpqa_dimond' is", "'gpqa_diamond'?"),
        ("task: gpqa_diamond", "task: {name: gsm8k, protocol: gpt_oss}", 7, "the protocol of gsm8k is", ""),
        ("task: gpqa_diamond", "task: choices", 7, "the task choices needs `dataset: PATH`", ""),
        ("fp8 -tp 2", "'fp8", 5, "cannot be split into words: no closing quotation", ""),
        ("fp8 -tp 2", "fp8 --kv_cache_dtype=fp8", 5, "the same option stands twice", ""),
        ("fp8 -tp 2", "fp8 --port 80", 5, "--port belongs to the gate", ""),
        ('"1"', "true", 6, "env.VLLM_ROCM_USE_AITER: True", '"true"'),
        ("  triton:", "  aiter:", 11, "backends.aiter stands twice: first in line 10, again in line 11", ""),
        ("reasoning_effort: low", "reasoning_effort: lo", 4, "reasoning_effort: 'lo' is not known", "'low'?"),
        ("task: gpqa_diamond", "accuracy_threshold: .5", 7, "the same thing as metric_threshold", ""),
        ("task: gpqa_diamond", "max_tokens: 9\nsampling: {max_tokens: 9}", 7, "as sampling.max_tokens", ""),
        ("task: gpqa_diamond", "num_fewshot: 9\ntask: {name: gsm8k, num_fewshot: 9}", 7, "as task.num", ""),
        ("task: gpqa_diamond", "use_chat_completions: true\ntask: gsm8k", 7, "as task.protocol", ""),
        ("task: gpqa_diamond", "model_revision: main", 7, "model_revision: 'main'", ""),
    ],
)
def test_a_problem_is_reported_with_its_line_and_a_suggestion(old, new, line, message, hint):
    error = broken(old, new)
    assert error.where == f"configs/x.yaml:{line}"
    assert message in error.message
    assert hint in (error.hint or "")


@pytest.mark.parametrize(
    ("text", "where", "message"),
    [
        ("", "x.yaml:1", "is empty"),
        ("# only a comment\n", "x.yaml:1", "is empty"),
        ("- a\n- b\n", "x.yaml:1", "is not a mapping"),
        ("model_name: a\nenv: {A: 1\n", "x.yaml:3", "is not valid YAML"),
        ("model_name: a\n---\nmodel_name: b\n", "x.yaml:2", "is not valid YAML"),
        ("server_args: --a\n", "x.yaml:1", "model_name is missing"),
        ('model_name: "a\\0b"\n', "x.yaml:1", "model_name"),
        ("model_name: a\nbackends: {}\n", "x.yaml:2", "backends"),
        ("a: &a\n  b: *a\n", "x.yaml:1", "refers to itself"),
        ("model_name: a\n<<: {b: 1}\n", "x.yaml:2", "merge key"),
        ("? [a]\n: b\n", "x.yaml:1", "not plain text"),
        ("model_name: a\nmax_tokens: !!int x\n", "x.yaml:2", "cannot read 'x' as int"),
        ("model_name: a\nmax_tokens: !!int\n", "x.yaml:2", "cannot read '' as int"),
        ("[" * 5000, "x.yaml:1", "nested too deeply"),
    ],
)
def test_text_that_is_no_config_is_an_error(text, where, message):
    error = problem(text, "x.yaml")
    assert (error.where, message in error.message) == (where, True), str(error)


def test_a_tag_that_would_run_code_is_refused(tmp_path):
    trace = tmp_path / "ran"
    error = problem(f"model_name: !!python/object/apply:os.mkdir [{trace}]\n")
    assert "'!!python/object/apply:os.mkdir' is not allowed" in error.message
    assert not trace.exists()


def test_a_file_that_is_not_utf_8_names_the_line(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_bytes(b"model_name: a\n# caf\xe9\n")
    with pytest.raises(ConfigError, match=r"x\.yaml:2: is not UTF-8: byte 0xe9"):
        load_config(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nope\.yaml: cannot be read: No such file"):
        load_config(tmp_path / "nope.yaml")


def test_a_file_far_too_large_for_a_config_is_refused(tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigError, match=r"x\.yaml: has 1000001 bytes"):
        load_config(tmp_path / "x.yaml")


@pytest.mark.parametrize("name", ["a b.yaml", "${{x}}.yaml", "-a.yaml"])
def test_a_file_name_that_cannot_be_a_config_id_is_refused(tmp_path, name):
    (tmp_path / name).write_text("model_name: m\n")
    with pytest.raises(ConfigError, match="cannot be a config id"):
        load_config(tmp_path / name)


def test_a_list_reads_one_file_name_a_line_and_ignores_comments(tmp_path):
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("model_name: m\n")
    (tmp_path / "models-x.txt").write_text("# all\n\na.yaml  # first\n  b.yaml\n")
    assert load_list(tmp_path / "models-x.txt") == (tmp_path / "a.yaml", tmp_path / "b.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", r"models-x\.txt: names no config"),
        ("# nothing\n", r"models-x\.txt: names no config"),
        ("a.yaml\n\nab.yaml\n", r"models-x\.txt:3: names 'ab\.yaml', which is not there\n  .*'a\.yaml'\?"),
        ("a.yaml\na.yaml\n", r"models-x\.txt:2: 'a\.yaml' stands twice, first in line 1"),
    ],
)
def test_a_wrong_list_names_the_line(tmp_path, text, expected):
    (tmp_path / "a.yaml").write_text("model_name: m\n")
    (tmp_path / "models-x.txt").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_list(tmp_path / "models-x.txt")
    assert re.search(expected, str(caught.value))


def test_a_wrong_config_is_reported_before_the_engine_is_looked_for(tmp_path):
    (tmp_path / "x.yaml").write_text("model_nam: m\n")
    request = RunRequest(
        paths=(tmp_path / "x.yaml",),
        origins=Origins(tmp_path, tmp_path, None, None, None),
        out=tmp_path,
        engine=EngineChoice("no-such-engine"),
    )
    with pytest.raises(ConfigError, match="unknown key 'model_nam'"):
        select(request)
