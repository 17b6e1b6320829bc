"""gsm8k is asked and graded as vLLM's tests/evals/gsm8k/gsm8k_eval.py does it, or as a chat."""

from __future__ import annotations

import json

import pytest

from gate.errors import DatasetError
from gate.evals.endpoints import Asker
from gate.evals.gsm8k import TEST, TRAIN, load_gsm8k
from gate.evals.load import load_task
from gate.evals.task import Answer
from gate.model.sample import Finish, Outcome
from gate.sequence import question_id
from gate.settings import Sampling, TaskSettings

STREAM = "5" * 32
TRAIN_ROWS = [("How many?", "2+2=4\n#### 4"), ("And now?", "5\n#### 5"), ("Unused?", "#### 6")]
TEST_ROWS = [("Dogs?", "so\n#### 1,234"), ("Cold?", "#### -10"), ("Third?", "#### 3")]


@pytest.fixture
def path(tmp_path):
    for name, rows in (("train", TRAIN_ROWS), ("test", TEST_ROWS)):
        lines = [json.dumps({"question": q, "answer": a}) for q, a in rows]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path / "test.jsonl"


@pytest.fixture
def task_of(path, tmp_path):
    def load(**settings):
        return load_task(
            TaskSettings(name="gsm8k", **settings),
            Sampling(),
            reasoning_effort=None,
            served_model="m",
            dataset_path=path,
            cache_dir=tmp_path / "cache",
        )

    return load


def grade(task, question, text, finish=Finish.STOP):
    return task.grade(question, 0, STREAM, Answer(text, finish, 9))


DOGS, COLD = question_id("Dogs?", "1,234"), question_id("Cold?", "-10")


def test_the_few_shot_prompt_is_that_of_vllm(task_of):
    request = task_of(num_fewshot=2).request(DOGS, 0, STREAM)
    assert request.path == "/v1/completions"
    assert request.body["prompt"] == (
        "Question: How many?\nAnswer: 2+2=4\n#### 4\n\n"
        "Question: And now?\nAnswer: 5\n#### 5\n\n"
        "Question: Dogs?\nAnswer:"
    )
    assert request.body["stop"] == ["Question", "Assistant:", "<|separator|>"]
    assert request.body["max_tokens"] == 256


def test_chat_sends_the_same_prompt_as_a_message_and_no_stop_strings(task_of):
    body = task_of(protocol="chat", num_fewshot=1).request(DOGS, 0, STREAM).body
    assert body["messages"][0]["content"].startswith("Question: How many?")
    assert not {"stop", "max_tokens", "max_completion_tokens"} & body.keys()


def test_the_first_questions_of_the_file_are_asked(task_of):
    assert task_of(num_fewshot=1, num_questions=2).questions == tuple(sorted([DOGS, COLD]))
    assert len(task_of(num_fewshot=1).questions) == 3


@pytest.mark.parametrize(
    ("question", "text", "finish", "outcome"),
    [
        (DOGS, "... #### 1234", Finish.STOP, Outcome.CORRECT),
        (DOGS, "1,234 dogs", Finish.LENGTH, Outcome.CORRECT),
        (DOGS, "1,234 dogs or 7", Finish.STOP, Outcome.WRONG),
        (DOGS, "7", Finish.LENGTH, Outcome.INVALID),
        (DOGS, "none", Finish.STOP, Outcome.INVALID),
        (DOGS, "", Finish.TIMEOUT, Outcome.INVALID),
        (COLD, "10 degrees", Finish.STOP, Outcome.CORRECT),
    ],
)
def test_vllms_protocol_grades_the_last_digits_of_what_there_is(task_of, question, text, finish, outcome):
    assert grade(task_of(num_fewshot=1), question, text, finish) is outcome


@pytest.mark.parametrize(
    ("question", "text", "finish", "outcome"),
    [
        (DOGS, "1,234.00", Finish.STOP, Outcome.CORRECT),
        (DOGS, "1234", Finish.LENGTH, Outcome.INVALID),
        (DOGS, "none", Finish.STOP, Outcome.INVALID),
        (COLD, "-10", Finish.STOP, Outcome.CORRECT),
        (COLD, "10", Finish.STOP, Outcome.WRONG),
    ],
)
def test_chat_grades_the_last_number_of_a_whole_answer(task_of, question, text, finish, outcome):
    assert grade(task_of(protocol="chat", num_fewshot=1), question, text, finish) is outcome


def test_the_fingerprint_holds_protocol_examples_and_stop_strings(task_of):
    tasks = [
        task_of(num_fewshot=1),
        task_of(num_fewshot=2),
        task_of(num_fewshot=0),
        task_of(protocol="chat", num_fewshot=1),
    ]
    assert len({task.prompt_sha256 for task in tasks}) == 4
    assert [task.grader for task in tasks[2:]] == ["vllm-gsm8k/1", "gate-number/1"]
    assert {task.chance for task in tasks} == {0.0}
    assert (tasks[0].endpoint, tasks[0].max_tokens) == ("completions", 256)


def test_no_examples_need_no_train_file(task_of, path):
    path.with_name("train.jsonl").unlink()
    assert task_of(num_fewshot=0).request(DOGS, 0, STREAM).body["prompt"] == "Question: Dogs?\nAnswer:"
    with pytest.raises(DatasetError, match=r"train\.jsonl: the data set cannot be read"):
        task_of(num_fewshot=1)


def test_more_examples_than_there_are_is_an_error(task_of):
    with pytest.raises(DatasetError, match=r"train\.jsonl: 3 examples, but num_fewshot is 4"):
        task_of(num_fewshot=4)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "Dogs?", "answer": "#### 1,234"}, "line 1"),
        ({"question": "secret", "answer": "####"}, "the column 'answer' ends in no number"),
        ({"question": "secret", "answer": 4}, "the column 'answer' ends in no number"),
        ({"question": " ", "answer": "#### 4"}, "the column 'question' holds no text"),
        ({"question": 3, "answer": "#### 4"}, "the column 'question' holds no text"),
        ({"question": "secret"}, "the data set lacks the column 'answer'"),
    ],
)
def test_a_bad_row_is_located_and_never_quoted(task_of, path, row, message):
    path.write_text(path.read_text() + json.dumps(row) + "\n")
    with pytest.raises(DatasetError, match=rf"test\.jsonl:4: .*{message}") as caught:
        task_of(num_fewshot=1)
    assert "secret" not in str(caught.value)


def test_without_a_path_both_files_are_fetched_and_verified(tmp_path):
    fetched = []

    def fetch(url):
        fetched.append(url)
        return b"altered"

    settings = TaskSettings(name="gsm8k")
    asker = Asker("completions", "m", Sampling(), None)
    with pytest.raises(DatasetError, match=rf"test\.jsonl: .*not {TEST.sha256}"):
        load_gsm8k(settings, asker, dataset_path=None, cache_dir=tmp_path, fetch=fetch)
    (tmp_path / f"{TEST.sha256}.jsonl").write_bytes(b"")
    assert fetched == [TEST.url]
    assert TRAIN.url != TEST.url


def test_reprs_hide_the_questions(task_of):
    task = task_of(num_fewshot=1)
    shown = f"{task!r} {task.request(DOGS, 0, STREAM)!r} {list(task.problems.values())!r}"
    assert not any(word in shown for word in ("Dogs", "many", "1234"))
