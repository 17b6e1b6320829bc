"""evalscope's work folder."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate.errors import ConfigError, RecordError
from gate.importers.evalscope import read
from gate.importers.log import Wanted
from gate.model.sample import Finish, Outcome
from gate.settings import ChoiceColumns
from tests.support.imported import DATA

WANTED = Wanted("gpqa_diamond", None, ChoiceColumns())
REVIEWS = "reviews/model/gpqa_diamond_default.jsonl"
PREDICTIONS = "predictions/model/gpqa_diamond_default.jsonl"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A copy of the healthy run's work folder."""
    return Path(shutil.copytree(DATA / "evalscope/healthy", tmp_path / "log"))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the first line of a JSON Lines file."""
    first, *rest = path.read_text().splitlines()
    value = json.loads(first)
    edit(value)
    path.write_text("\n".join([json.dumps(value), *rest]) + "\n")


def test_reviews_and_predictions_are_one_run(log: Path):
    found = read([log], WANTED)
    assert (found.version, found.model, found.repeats, found.metric) == (
        "1.14.1",
        "stub/model",
        4,
        "accuracy",
    )
    assert found.settings == {"temperature": 1.0, "max_tokens": 512, "endpoint": "chat"}
    assert Counter(sample.repeat for sample in found.samples) == dict.fromkeys(range(4), 12)
    assert all(sample.tokens > 0 for sample in found.samples)
    assert found.lacks == ()


def test_an_answer_that_was_cut_off_is_invalid(log: Path):
    samples = read([log], WANTED).samples
    cut = [sample for sample in samples if sample.finish is Finish.LENGTH]
    assert cut
    assert {sample.outcome for sample in cut} == {Outcome.INVALID}


def test_without_predictions_tokens_and_finish_are_not_known(log: Path):
    shutil.rmtree(log / "predictions")
    found = read([log], WANTED)
    assert found.lacks == ("tokens", "finish")
    assert {sample.finish for sample in found.samples} == {Finish.OTHER}
    assert [s.question for s in found.samples] == [s.question for s in read([log], WANTED).samples]


def test_a_prompt_whose_template_is_not_known_is_the_question_itself(log: Path):
    known = {sample.question for sample in read([log], WANTED).samples}
    path = log / "configs/task_config.yaml"
    path.write_text(path.read_text().replace("{question}", "{asked}"))
    whole = {sample.question for sample in read([log], WANTED).samples}
    assert len(whole) == len(known) == 12
    assert not whole & known


def test_a_metric_of_its_own_name_is_taken(log: Path):
    assert read([log], WANTED._replace(metric="accuracy")).metric == "accuracy"
    with pytest.raises(RecordError, match="no metric f1, but: accuracy"):
        read([log], WANTED._replace(metric="f1"))


def scored(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["sample_score"]["score"].update(changes)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (scored(value={"accuracy": 0.5}), "neither 0 nor 1"),
        (scored(status="error"), "ended in an error"),
        (scored(value={"a": 1, "b": 0}, main_score_name=None), "no metric None, but: a, b"),
        (lambda v: v.pop("sample_score"), "sample_score: Field required"),
        (lambda v: v.update(messages=[]), "no question that is plain text"),
        (scored(value={"other": 1.0}, main_score_name="other"), "several metrics: accuracy, other"),
    ],
)
def test_a_review_that_is_no_outcome_is_refused(log: Path, edit: Callable[..., object], said: str):
    change(log / REVIEWS, edit)
    with pytest.raises(RecordError, match=said) as refused:
        read([log], WANTED)
    assert "modulo" not in str(refused.value)


def test_a_request_that_failed_is_no_wrong_answer(log: Path):
    change(log / PREDICTIONS, lambda v: v["model_output"].update(error="connection lost"))
    with pytest.raises(RecordError, match="ended in an error"):
        read([log], WANTED)


def test_folders_that_are_no_run_are_refused(log: Path, tmp_path: Path):
    with pytest.raises(RecordError, match="configs/task_config") as nothing:
        read([log / "reviews"], WANTED)
    assert "--work-dir" in str(nothing.value)
    with pytest.raises(RecordError, match="measured gpqa_diamond, not mmlu"):
        read([log], WANTED._replace(benchmark="mmlu"))
    shutil.copytree(log, tmp_path / "both/second")
    shutil.copytree(log, tmp_path / "both/first")
    with pytest.raises(RecordError, match="2 runs of evalscope"):
        read([tmp_path / "both"], WANTED)


def test_reviews_that_are_gone_empty_truncated_or_of_two_models_are_refused(log: Path):
    path = log / REVIEWS
    shutil.copytree(path.parent, log / "reviews/another")
    with pytest.raises(RecordError, match="several models"):
        read([log], WANTED)
    shutil.rmtree(log / "reviews/another")
    content = path.read_text()
    path.write_text(content[:-60])
    with pytest.raises(RecordError, match="truncated"):
        read([log], WANTED)
    path.write_text("\n")
    with pytest.raises(RecordError, match="no outcomes of single samples"):
        read([log], WANTED)
    path.unlink()
    with pytest.raises(RecordError, match="no outcomes of single samples"):
        read([log], WANTED)


def test_a_task_config_that_is_no_yaml_is_refused(log: Path):
    (log / "configs/task_config.yaml").write_text("datasets: [a\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read([log], WANTED)
