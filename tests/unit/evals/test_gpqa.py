"""GPQA: exactly as gpt_oss.evals 0.0.9 under its protocol, independently permuted under ours."""

from __future__ import annotations

import hashlib
import json

import pytest

from gate.errors import DatasetError
from gate.evals.gpqa import PUBLISHED
from gate.evals.load import load_task
from gate.evals.task import Answer
from gate.model.sample import Finish, Outcome
from gate.sequence import question_id
from gate.settings import Sampling, TaskSettings
from tests.support.questions import write_questions

STREAM = "5" * 32


@pytest.fixture(scope="module")
def table(root):
    return json.loads((root / "tests/data/gpt_oss_0.0.9.json").read_text())


@pytest.fixture
def task_of(root, tmp_path):
    def load(path=root / "tests/data/gpt_oss_questions.csv", **settings):
        return load_task(
            TaskSettings(name="gpqa_diamond", **settings),
            Sampling(),
            reasoning_effort=None,
            served_model="m",
            dataset_path=path,
            cache_dir=tmp_path,
        )

    return load


def prompt_of(task, question, repeat=0, stream=STREAM):
    return task.request(question, repeat, stream).body["input"][0]["content"]


def scores(task, table, repeats):
    """[prompt's SHA-256, score] of every sample, as tests/tools/make_gpt_oss_table.py writes them."""
    rows = []
    texts = [text for text, _ in table["answers"]]
    for repeat in range(repeats):
        for question in task.order.questions:
            digest = hashlib.sha256(prompt_of(task, question, repeat).encode()).hexdigest()
            text = texts[int(digest[:8], 16) % len(texts)]
            outcome = task.grade(question, repeat, STREAM, Answer(text, Finish.STOP, 1))
            rows.append([digest, int(outcome is Outcome.CORRECT)])
    return rows


def test_prompts_permutations_and_scores_equal_those_of_the_real_gpt_oss(task_of, table):
    assert scores(task_of(protocol="gpt_oss"), table, table["repeats"]) == table["samples"]


def test_a_subset_is_the_one_that_the_real_gpt_oss_draws(task_of, table):
    assert scores(task_of(protocol="gpt_oss", num_questions=7), table, 1) == table["subset"]


def test_permutations_of_gpt_oss_come_in_its_order_whatever_is_asked_first(task_of, table):
    task = task_of(protocol="gpt_oss")
    ids, total = task.order.questions, len(task.questions)
    late = task.order(STREAM, ids[3], 2, 4)
    early = task.order(STREAM, ids[0], 0, 4)
    assert [list(early), list(late)] == [table["permutations"][0], table["permutations"][2 * total + 3]]


def test_gpt_oss_grades_what_there_is_of_a_truncated_answer(task_of):
    task = task_of(protocol="gpt_oss")
    question = task.questions[0]
    grades = {
        task.grade(question, 0, STREAM, Answer(f"Answer: {letter}", Finish.LENGTH, 9)) for letter in "ABCD"
    }
    assert grades == {Outcome.CORRECT, Outcome.INVALID}


def test_gpt_oss_counts_an_unreadable_answer_as_wrong_and_no_answer_as_invalid(task_of):
    task = task_of(protocol="gpt_oss")
    grades = [task.grade(task.questions[0], 0, STREAM, Answer(text, Finish.STOP, 9)) for text in ("hm", "")]
    assert grades == [Outcome.WRONG, Outcome.INVALID]


@pytest.mark.parametrize("finish", [Finish.LENGTH, Finish.REPETITION, Finish.TIMEOUT, Finish.OTHER])
def test_independently_asked_an_unfinished_answer_is_invalid(task_of, finish):
    task = task_of()
    question = task.questions[0]
    grades = {task.grade(question, 0, STREAM, Answer(f"Answer: {x}", finish, 9)) for x in "ABCD"}
    assert grades == {Outcome.INVALID}


def test_independently_asked_one_letter_is_right_three_wrong_and_the_rest_invalid(task_of, tmp_path):
    task = task_of(write_questions(tmp_path / "q.csv", 5))
    question = task.questions[0]
    grades = [
        task.grade(question, 0, STREAM, Answer(text, Finish.STOP, 9))
        for text in ("Answer: A", "Answer: B", "Answer: C", "Answer: D", "hm", "")
    ]
    assert sorted(grades[:4]) == [Outcome.WRONG] * 3 + [Outcome.CORRECT]
    assert grades[4:] == [Outcome.INVALID] * 2


def test_the_letter_that_is_right_stands_before_the_right_option(task_of, tmp_path):
    task = task_of(write_questions(tmp_path / "q.csv", 5))
    for repeat in range(5):
        for question in task.questions:
            prompt = prompt_of(task, question, repeat)
            letter = next(line[1] for line in prompt.splitlines() if line[4:].startswith("right"))
            answer = Answer(f"**Answer: {letter}**", Finish.STOP, 9)
            assert task.grade(question, repeat, STREAM, answer) is Outcome.CORRECT


def test_the_right_text_twice_is_right_under_either_letter(task_of):
    task = task_of()
    question = question_id("The right text stands twice", "twice")
    grades = [
        task.grade(question, 0, STREAM, Answer(f"Answer: {letter}", Finish.STOP, 9)) for letter in "ABCD"
    ]
    assert grades.count(Outcome.CORRECT) == 2


def test_independent_permutations_differ_between_repeats_and_streams(task_of, tmp_path):
    task = task_of(write_questions(tmp_path / "q.csv", 1))
    question = task.questions[0]
    prompts = {prompt_of(task, question, repeat, stream) for repeat in range(20) for stream in ("a", "b")}
    assert len(prompts) > 16


def test_a_number_of_questions_is_a_fixed_subset(task_of):
    task = task_of()
    assert task_of(num_questions=5).questions == task.questions[:5]
    assert task_of(num_questions=500).questions == task.questions


def test_the_fingerprint_tells_the_protocols_apart(task_of):
    ours, theirs = task_of(), task_of(protocol="gpt_oss")
    assert ours.prompt_sha256 == theirs.prompt_sha256
    assert ours.dataset_sha256 == theirs.dataset_sha256
    assert (ours.grader, theirs.grader) == ("gate-letter/1", "gpt_oss.evals/0.0.9")
    assert ours.chance == 0.25
    assert (ours.endpoint, ours.max_tokens) == ("responses", None)


def test_no_question_text_in_the_repr_of_anything(task_of, tmp_path):
    path = write_questions(tmp_path / "q.csv", 3)
    task = task_of(path)
    request = task.request(task.questions[0], 0, STREAM)
    answer = Answer("What is 1?", Finish.STOP, 9)
    shown = f"{task!r} {request!r} {answer!r} {task.items!r} {task.asker!r}"
    assert "What is" not in shown
    assert "right" not in shown
    assert "low" not in shown


def test_the_same_question_twice_is_refused_by_line(task_of, tmp_path):
    path = write_questions(tmp_path / "q.csv", 2)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(DatasetError, match=r"q\.csv:4: the question is the same as that of line 2"):
        task_of(path)


def test_a_missing_column_is_named(task_of, tmp_path):
    path = write_questions(tmp_path / "q.csv", 2)
    path.write_text(path.read_text().replace("Incorrect Answer 2", "Incorrect"))
    with pytest.raises(DatasetError, match=r"q\.csv:1: the data set lacks the column 'Incorrect Answer 2'"):
        task_of(path)


def test_the_published_file_is_the_one_that_gpt_oss_reads():
    assert PUBLISHED.url.endswith("/simple-evals/gpqa_diamond.csv")
    assert PUBLISHED.sha256.startswith("41d1213cd7a4998605a26c2798500652")


@pytest.mark.parametrize("protocol", ["independent", "gpt_oss"])
def test_the_domain_of_a_question_is_its_group_where_the_file_names_one(task_of, tmp_path, protocol):
    plain = write_questions(tmp_path / "q.csv", 3)
    header, *lines = plain.read_text().splitlines()
    named = tmp_path / "named.csv"
    domains = ("Physics", "Biology", "Physics")
    named.write_text(
        "\n".join([f"{header},High-level domain", *map(",".join, zip(lines, domains, strict=True))])
    )
    groups = task_of(named, protocol=protocol).groups
    assert sorted(groups.values()) == ["Biology", "Physics", "Physics"]
    assert task_of(plain, protocol=protocol).groups == {}
