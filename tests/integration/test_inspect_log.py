"""inspect_ai's logs: every way in which they fail to be a run. Integration, because .eval needs Zstandard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backports.zstd import zipfile

from gate.errors import RecordError
from gate.importers.inspect_ai import read
from gate.importers.log import Wanted
from gate.model.sample import Finish, Outcome
from gate.settings import ChoiceColumns
from tests.support.imported import DATA

WANTED = Wanted("toy_gpqa", None, ChoiceColumns())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A copy of the JSON form: three questions, four epochs."""
    (path,) = (DATA / "inspect/three").glob("*.json")
    return Path(shutil.copy(path, tmp_path / "log.json"))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))
    return path


def test_a_log_says_nearly_everything(log: Path):
    found = read([log], WANTED)
    assert (found.version, found.model, found.repeats, found.metric) == (
        "0.3.285",
        "openai-api/stub/stub/model",
        4,
        "choice",
    )
    assert found.settings == {"temperature": 1.0, "max_tokens": 512}
    assert len(found.samples) == 12
    assert found.lacks == ()


def test_an_answer_that_was_cut_off_or_names_no_letter_is_invalid():
    samples = read([DATA / "inspect/healthy"], WANTED).samples
    cut = {sample.outcome for sample in samples if sample.finish is Finish.LENGTH}
    assert cut == {Outcome.INVALID}
    assert any(sample.outcome is Outcome.INVALID for sample in samples if sample.finish is Finish.STOP)


def test_a_responses_model_says_its_endpoint(log: Path):
    change(log, lambda v: v["eval"].update(model_args={"responses_api": True}))
    assert read([log], WANTED).settings["endpoint"] == "responses"


def test_messages_and_several_targets_are_questions_too(log: Path):
    def edit(value: dict[str, Any]) -> None:
        for sample in value["samples"]:
            parts = [{"type": "text", "text": sample["input"]}, {"type": "image", "image": "x"}]
            sample["input"] = [{"role": "user", "content": parts}, {"role": "user", "content": "and why?"}]
            sample["target"] = ["A", "B"]

    before = {sample.question for sample in read([log], WANTED).samples}
    after = {sample.question for sample in read([change(log, edit)], WANTED).samples}
    assert len(after) == len(before) == 3
    assert not after & before

    def open_answers(value: dict[str, Any]) -> None:
        for sample in value["samples"]:
            sample.update(choices=None, target="7")

    assert len({sample.question for sample in read([change(log, open_answers)], WANTED).samples}) == 3


def scored(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda value: value["samples"][0]["scores"]["choice"].update(changes)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda v: v.update(status="cancelled"), "its status is 'cancelled'"),
        (lambda v: v.update(invalidated=True), "invalidated by whoever"),
        (lambda v: v["eval"].update(task="other"), "measured other, not toy_gpqa"),
        (lambda v: v["eval"]["config"].update(log_samples=False), "no outcomes of single samples"),
        (lambda v: v.update(samples=[]), "no outcomes of single samples"),
        (lambda v: v["samples"].pop(), "11 of 12 samples"),
        (lambda v: v["samples"][0].update(error={"message": "x"}), "ended in an error"),
        (lambda v: v["samples"][0].update(scores=None), "no score by choice"),
        (lambda v: v["samples"][0]["scores"].update(other={"value": 1}), "2 scorers: choice, other"),
        (lambda v: v["samples"][0].update(target="Z"), "none of its 4 choices"),
        (lambda v: v["samples"][0].pop("epoch"), "epoch: Field required"),
        (scored(value="P"), "neither right nor wrong"),
        (scored(value=[1]), "neither right nor wrong"),
        (scored(value=0.5), "neither right nor wrong"),
        (scored(reason="grader_failed"), "was not scored: 'grader_failed'"),
    ],
)
def test_a_log_that_is_no_run_is_refused(log: Path, edit: Callable[..., object], said: str):
    with pytest.raises(RecordError, match=said) as refused:
        read([change(log, edit)], WANTED)
    assert "modulo" not in str(refused.value)


def test_a_scorer_of_its_own_name_is_taken_and_another_one_is_not_there(log: Path):
    assert read([log], WANTED._replace(metric="choice")).metric == "choice"
    with pytest.raises(RecordError, match="no score by match"):
        read([log], WANTED._replace(metric="match"))


def test_a_damaged_or_unfinished_archive_is_refused(tmp_path: Path):
    (whole,) = (DATA / "inspect/healthy").glob("*.eval")
    cut = tmp_path / "cut.eval"
    cut.write_bytes(whole.read_bytes()[:-2000])
    with pytest.raises(RecordError):
        read([cut], WANTED)
    unfinished = tmp_path / "unfinished.eval"
    with zipfile.ZipFile(unfinished, "w") as archive:
        archive.writestr("_journal/start.json", "{}")
    with pytest.raises(RecordError, match=r"no header\.json"):
        read([unfinished], WANTED)
    flipped = bytearray(whole.read_bytes())
    flipped[2000:2100] = bytes(100)
    (tmp_path / "flipped.eval").write_bytes(flipped)
    with pytest.raises(RecordError):
        read([tmp_path / "flipped.eval"], WANTED)
