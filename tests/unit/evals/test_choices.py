"""Any multiple-choice file: options in columns or in a list, the right one by letter, index or text."""

from __future__ import annotations

import json

import pytest

from gate.errors import ConfigError, DatasetError
from gate.evals.choices import render
from gate.evals.load import load_task
from gate.evals.task import Answer
from gate.model.sample import Finish, Outcome
from gate.settings import Sampling, TaskSettings

STREAM = "5" * 32
LISTED = {"question": "q", "correct": "answer", "choices": "options"}


@pytest.fixture
def task_of(tmp_path):
    def load(content, columns=None, name="data.jsonl", endpoint="chat", **settings):
        path = tmp_path / name
        if not isinstance(content, str):
            content = "".join(json.dumps(row) + "\n" for row in content)
        path.write_text(content, encoding="utf-8")
        return load_task(
            TaskSettings(
                name="choices",
                dataset=str(path),
                endpoint=endpoint,
                **({"columns": columns} if columns else {}),
                **settings,
            ),
            Sampling(),
            reasoning_effort=None,
            served_model="m",
            dataset_path=None,
            cache_dir=tmp_path / "cache",
        )

    return load


def right_options(task):
    """The option text that each question takes for right, found by answering every letter."""
    found = []
    for question in task.questions:
        prompt = task.request(question, 0, STREAM).body["messages"][0]["content"]
        options = [line for line in prompt.splitlines() if line.startswith("(")]
        for line in options:
            answer = Answer(f"Answer: {line[1]}", Finish.STOP, 1)
            if task.grade(question, 0, STREAM, answer) is Outcome.CORRECT:
                found.append(line[4:])
    return sorted(found)


@pytest.mark.parametrize(
    ("options", "answer", "right"),
    [
        (["x", "y", "z"], "B", "y"),
        (["x", "y", "z"], "c", "z"),
        (["x", "y", "z"], 0, "x"),
        (["x", "y", "z"], "1", "y"),
        (["x", "y", "z"], " z ", "z"),
        (["1", "0"], "1", "1"),
        (["1", "0"], 1, "0"),
        (["B", "A"], "A", "A"),
        (["x", "y"], "A", "x"),
        ([str(n) for n in range(10, 20)], "J", "19"),
        ([3, 4], "B", "4"),
    ],
)
def test_the_right_option_is_named_by_text_letter_or_index(task_of, options, answer, right):
    task = task_of([{"q": "Which?", "options": options, "answer": answer}], LISTED)
    assert right_options(task) == [right]
    assert task.chance == 1 / len(options)


def test_a_csv_may_hold_a_list_of_options(task_of):
    task = task_of('q,options,answer\nWhich?,"[""x"", ""y""]",B\n', LISTED, name="data.csv")
    assert right_options(task) == ["y"]


def test_a_csv_with_a_column_for_each_option_is_like_gpqa(task_of):
    columns = {"question": "q", "correct": "yes", "incorrect": ["no", "never"]}
    task = task_of("q,yes,no,never\nWhich?,x,y,z\nWho?,a,b,c\n", columns, name="data.csv", num_questions=1)
    assert len(task.questions) == 1
    assert right_options(task_of("q,yes,no,never\nWhich?,x,y,z\n", columns, name="data.csv")) == ["x"]


def test_the_prompt_lists_the_options_and_their_letters():
    assert render("Which?", ["x", "y"]).splitlines() == [
        "Which?",
        "",
        "(A) x",
        "(B) y",
        "",
        "Express your final answer as the corresponding option 'A', or 'B'.",
    ]


def test_chance_is_the_mean_over_questions(task_of):
    rows = [{"q": str(n), "options": [*"abcd"][: n + 2], "answer": 0} for n in (0, 2)]
    assert task_of(rows, LISTED).chance == pytest.approx(3 / 8)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"options": ["x"], "answer": 0}, "1 options; 2 to 10 can be asked"),
        ({"options": [str(n) for n in range(11)], "answer": 0}, "11 options; 2 to 10"),
        ({"options": ["x", "x"], "answer": 0}, "two options are the same"),
        ({"options": ["x", "y"], "answer": "C"}, "'answer' names none of the 2 options"),
        ({"options": ["x", "y"], "answer": 2}, "'answer' names none of the 2 options"),
        ({"options": ["x", "y"], "answer": None}, "'answer' names none of the 2 options"),
        ({"options": "x, y", "answer": 0}, "'options' holds no JSON list"),
        ({"options": 3, "answer": 0}, "'options' holds no JSON list"),
        ({"q": 3, "options": ["x", "y"], "answer": 0}, "'q' holds no text"),
        ({"q": " ", "options": ["x", "y"], "answer": 0}, "'q' holds no text"),
    ],
)
def test_a_bad_row_is_located_and_never_quoted(task_of, row, message):
    with pytest.raises(DatasetError, match=rf"data\.jsonl:1: .*{message}") as caught:
        task_of([{"q": "secret", **row}], LISTED)
    assert "secret" not in str(caught.value)


def test_completions_need_a_token_limit(task_of):
    with pytest.raises(ConfigError, match="16 tokens"):
        task_of([{"q": "?", "options": ["x", "y"], "answer": 0}], LISTED, endpoint="completions")


def test_the_declared_hash_is_checked(task_of):
    with pytest.raises(DatasetError, match="SHA-256"):
        task_of([{"q": "?", "options": ["x", "y"], "answer": 0}], LISTED, dataset_sha256="0" * 64)


def test_a_column_may_name_each_questions_group(task_of):
    columns = {"question": "q", "correct": "yes", "incorrect": ["no"], "group": "subject"}
    content = "q,yes,no,subject\nWhich?,x,y,high school physics\nWho?,a,b,law\n"
    assert sorted(task_of(content, columns, name="data.csv").groups.values()) == [
        "high_school_physics",
        "law",
    ]
    with pytest.raises(DatasetError, match="lacks the column 'subject'"):
        task_of("q,yes,no\nWhich?,x,y\n", columns, name="data.csv")
