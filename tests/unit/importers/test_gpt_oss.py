"""gpt_oss.evals' one file with single outcomes."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate.errors import RecordError
from gate.importers.gpt_oss import read
from gate.importers.log import Wanted
from gate.model.sample import Outcome
from gate.settings import ChoiceColumns
from tests.support.imported import DATA

WANTED = Wanted("gpqa", None, ChoiceColumns())


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A copy of the healthy run's file."""
    (path,) = (DATA / "gpt-oss/healthy").glob("*_allresults.json")
    return Path(shutil.copy(path, tmp_path))


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    value = json.loads(path.read_text())
    edit(value)
    path.write_text(json.dumps(value))
    return path


def test_the_name_of_the_file_says_model_effort_and_temperature(log: Path):
    found = read([log], WANTED)
    assert (found.model, found.version) == ("stub/model", None)
    assert found.settings == {"reasoning_effort": "low", "temperature": 1.0}
    assert found.date == "2026-11-24T09:49:55"


def test_a_renamed_file_says_neither_and_is_read_all_the_same(log: Path):
    renamed = log.rename(log.with_name("mine_allresults.json"))
    found = read([renamed], WANTED)
    assert (found.model, found.settings, found.date) == (None, {}, None)
    assert len(found.samples) == 96


def test_each_question_is_there_as_often_as_it_was_asked_whatever_its_options_order(log: Path):
    counts = Counter(sample.question for sample in read([log], WANTED).samples)
    assert len(counts) == 12
    assert set(counts.values()) == {8}


def test_an_answer_without_a_letter_is_invalid(log: Path):
    outcomes = Counter(sample.outcome for sample in read([log], WANTED).samples)
    pages = json.loads(log.read_text())["htmls"]
    letters = sum(f"<p>Extracted Answer: {letter}</p>" in page for page in pages for letter in "ABCD")
    assert outcomes[Outcome.INVALID] == len(pages) - letters > 0
    assert outcomes[Outcome.CORRECT] == sum("<p>Score: 1.0</p>" in page for page in pages)


def test_a_question_with_one_answer_and_no_options_is_read_whole(log: Path):
    def as_aime(value: dict[str, Any]) -> None:
        for convo in value["convos"]:
            convo[0]["content"] = "What is 3 + 4?"
        value["htmls"] = [
            "<p>Correct Answer: 7</p>\n<p>Extracted Answer: 7</p>\n<p>Score: 1.0</p>" for _ in value["htmls"]
        ]

    samples = read([change(log, as_aime)], WANTED).samples
    assert {sample.outcome for sample in samples} == {Outcome.CORRECT}
    assert len({sample.question for sample in samples}) == 1


def answered(text: str) -> Callable[[dict[str, Any]], None]:
    def edit(value: dict[str, Any]) -> None:
        value["convos"][5][-1]["content"] = text

    return edit


def test_a_refused_request_is_no_wrong_answer(log: Path):
    with pytest.raises(RecordError, match="the server refused") as refused:
        read([change(log, answered("No response (bad request)."))], WANTED)
    assert "result 5" in str(refused.value)


def test_an_empty_answer_is_refused_unless_somebody_vouches_for_it(log: Path):
    change(log, answered(""))
    with pytest.raises(RecordError, match="--accept-empty"):
        read([log], WANTED)
    found = read([log], WANTED._replace(accept_empty=True))
    assert found.notes == {"empty_answers": "1"}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda v: v.pop("htmls"), "htmls: Field required"),
        (lambda v: v["htmls"].pop(), "not one conversation for each result"),
        (lambda v: v.update(htmls=[], convos=[]), "not one conversation for each result"),
        (lambda v: v["htmls"].__setitem__(0, "<p>Score: 0.4</p>"), "not a question with one right answer"),
        (lambda v: v["convos"].__setitem__(0, []), "not a question with one right answer"),
        (lambda v: v["convos"][0][0].pop("content"), "content: Field required"),
    ],
)
def test_a_file_that_is_no_run_is_refused(log: Path, edit: Callable[..., object], said: str):
    with pytest.raises(RecordError, match=said) as refused:
        read([change(log, edit)], WANTED)
    assert "modulo" not in str(refused.value)


def test_a_truncated_file_is_refused(log: Path):
    log.write_text(log.read_text()[:-50])
    with pytest.raises(RecordError, match=r"truncated|not JSON"):
        read([log], WANTED)


def test_another_benchmark_and_a_debug_run_are_refused(log: Path):
    with pytest.raises(RecordError, match="measured gpqa, not aime25"):
        read([log], WANTED._replace(benchmark="aime25"))
    debug = log.rename(log.with_name(log.name.replace("_allresults", "_DEBUG_allresults")))
    with pytest.raises(RecordError, match="--debug"):
        read([debug], WANTED)


def test_one_run_at_a_time(log: Path, tmp_path: Path):
    with pytest.raises(RecordError, match="2 logs are named"):
        read([log, log], WANTED)
    shutil.copy(log, tmp_path / "another_allresults.json")
    with pytest.raises(RecordError, match="holds 2 of"):
        read([tmp_path], WANTED)
    with pytest.raises(RecordError, match="is not there"):
        read([tmp_path / "gone"], WANTED)
