"""lm-eval's files: what is read, and every way in which they fail to be a run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.errors import RecordError
from gate.importers.lm_eval import read
from gate.importers.log import Wanted, without_addresses
from gate.model.sample import Outcome
from gate.settings import ChoiceColumns
from tests.support.imported import DATA

WANTED = Wanted("toy_gpqa", "exact_match,strict-match", ChoiceColumns())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A copy of the healthy run: four results files and their samples."""
    return Path(shutil.copytree(DATA / "lm-eval/healthy", tmp_path / "log"))


def change(path: Path, edit: Callable[[dict[str, Any]], object], *, line: int | None = None) -> None:
    """Edit one JSON file, or one line of it."""
    if line is None:
        value = json.loads(path.read_text())
        edit(value)
        path.write_text(json.dumps(value))
        return
    lines = path.read_text().splitlines()
    value = json.loads(lines[line])
    edit(value)
    path.write_text("\n".join([*lines[:line], json.dumps(value), *lines[line + 1 :]]) + "\n")


def test_every_results_file_is_a_repeat(log: Path):
    found = read([log], WANTED)
    assert (found.version, found.model, found.repeats, found.benchmark) == (
        "0.4.13",
        "stub/model",
        4,
        "toy_gpqa",
    )
    assert found.settings == {"temperature": 1.0, "max_tokens": 512, "endpoint": "chat"}
    assert len(found.samples) == 4 * 12
    assert {sample.repeat for sample in found.samples} == {0, 1, 2, 3}
    assert found.lacks == ("tokens", "finish")


def test_files_may_be_named_one_by_one_by_results_or_by_samples(log: Path):
    whole = read([log], WANTED)
    by_samples = sorted(log.rglob("samples_*.jsonl"))
    by_results = sorted(log.rglob("results_*.json"))
    assert read(by_samples, WANTED).samples == read(by_results, WANTED).samples == whole.samples


def test_an_answer_that_no_filter_reads_is_invalid(log: Path):
    outcomes = [sample.outcome for sample in read([log], WANTED).samples]
    lines = "".join(path.read_text() for path in log.rglob("samples_*.jsonl")).splitlines()
    rows = [row for line in lines if (row := json.loads(line))["filter"] == "strict-match"]
    assert outcomes.count(Outcome.INVALID) == sum(row["filtered_resps"] == ["[invalid]"] for row in rows) > 0
    assert outcomes.count(Outcome.CORRECT) == sum(row["exact_match"] for row in rows)


def test_a_group_is_the_samples_of_its_tasks(log: Path):
    for path in log.rglob("results_*.json"):
        change(path, lambda v: v.update(group_subtasks={"all": ["inner"], "inner": ["toy_gpqa"]}))
    assert read([log], WANTED._replace(benchmark="all")).samples == read([log], WANTED).samples


def first(log: Path, pattern: str) -> Path:
    return sorted(log.rglob(pattern))[0]


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda v: v.pop("configs"), "configs: Field required"),
        (lambda v: v["configs"]["toy_gpqa"].update(repeats=4), "several times in one run"),
        (lambda v: v["configs"]["toy_gpqa"].update(doc_to_text="other"), "protocol differ"),
        (lambda v: v.update(model_name="another"), "model differ"),
        (lambda v: v["configs"]["toy_gpqa"]["generation_kwargs"].update(temperature=0.5), "settings differ"),
        (lambda v: v["n-samples"]["toy_gpqa"].update(effective=13), "12 of the 13 questions"),
        (lambda v: v.update(configs={}), "not toy_gpqa"),
    ],
)
def test_a_results_file_that_does_not_fit_is_refused(log: Path, edit: Callable[..., object], said: str):
    change(sorted(log.rglob("results_*.json"))[-1], edit)
    with pytest.raises(RecordError, match=said) as refused:
        read([log], WANTED)
    assert "results_" in str(refused.value) or "samples_" in str(refused.value)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda v: v.update(exact_match=0.5), "neither 0 nor 1"),
        (lambda v: v.update(exact_match="1"), "neither 0 nor 1"),
        (lambda v: v.update(doc_id=1), "doc_id 1 is there twice"),
        (lambda v: v["doc"].pop("Correct Answer"), "no column 'Correct Answer', but: Incorrect Answer 1"),
        (lambda v: v.pop("resps"), "resps: Field required"),
        (lambda v: v.update(doc="text"), "doc: Input should be a valid dictionary"),
    ],
)
def test_a_sample_that_is_none_is_refused_with_its_line(log: Path, edit: Callable[..., object], said: str):
    path = first(log, "samples_*.jsonl")
    line = next(i for i, text in enumerate(path.read_text().splitlines()) if '"strict-match"' in text)
    change(path, edit, line=line)
    with pytest.raises(RecordError, match=said) as refused:
        read([log], WANTED)
    assert f"{path.name}:" in str(refused.value)
    assert "modulo" not in str(refused.value)


def test_a_truncated_samples_file_is_refused_with_its_line(log: Path):
    path = first(log, "samples_*.jsonl")
    path.write_text(path.read_text()[:-400])
    with pytest.raises(RecordError, match="truncated") as refused:
        read([log], WANTED)
    assert refused.value.where == f"{path}:24"


def test_lines_that_are_missing_make_the_run_incomplete(log: Path):
    path = first(log, "samples_*.jsonl")
    path.write_text("\n".join(path.read_text().splitlines()[3:]) + "\n")
    with pytest.raises(RecordError, match="incomplete: 9 of the 12"):
        read([log], WANTED)


def test_a_metric_that_is_not_there_is_named(log: Path):
    with pytest.raises(RecordError, match="no metric acc,none"):
        read([log], WANTED._replace(metric="acc,none"))


def test_of_several_metrics_one_has_to_be_chosen(log: Path):
    with pytest.raises(
        RecordError, match="2 metrics: exact_match,flexible-extract; exact_match,strict-match"
    ):
        read([log], WANTED._replace(metric=None))


def test_a_folder_without_logs_and_a_path_that_is_not_there_are_refused(tmp_path: Path):
    with pytest.raises(RecordError, match="no results_") as empty:
        read([tmp_path], WANTED)
    assert "--log_samples" in str(empty.value)
    with pytest.raises(RecordError, match="No such file"):
        read([tmp_path / "gone.json"], WANTED)


@given(st.integers(min_value=0, max_value=2**48))
def test_a_memory_address_is_no_part_of_the_protocol(address: int):
    text = f"<function process_docs at {address:#x}>"
    assert without_addresses({"a": [text]}) == {"a": ["<function process_docs>"]}


def test_tasks_of_a_group_that_were_asked_differently_are_refused(log: Path):
    for path in log.rglob("results_*.json"):

        def edit(value: dict[str, Any]) -> None:
            other = json.loads(json.dumps(value["configs"]["toy_gpqa"]))
            other["generation_kwargs"]["temperature"] = 0.5
            value["configs"]["second"] = other
            value["n-samples"]["second"] = {"effective": 12}
            value["group_subtasks"] = {"all": ["toy_gpqa", "second"]}

        change(path, edit)
    for path in log.rglob("samples_*.jsonl"):
        shutil.copy(path, path.with_name(path.name.replace("toy_gpqa", "second")))
    with pytest.raises(RecordError, match="different temperature"):
        read([log], WANTED._replace(benchmark="all"))


def test_an_answer_of_a_log_that_names_no_endpoint_leaves_it_to_the_config(log: Path):
    for path in log.rglob("results_*.json"):
        change(path, lambda v: v["config"].update(model="vllm"))
    assert "endpoint" not in read([log], WANTED).settings
