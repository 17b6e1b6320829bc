import csv
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.embedded import questions

KINDS = st.sampled_from(questions.KINDS)


@given(KINDS, st.integers(0, 2**32))
def test_a_question_has_four_different_options_of_one_digit(kind, seed):
    question = questions.draw(questions.generator(seed), kind)

    options = {question.correct, *question.wrong}

    assert len(options) == 4
    assert options <= set(range(10))


@given(KINDS, st.integers(0, 2**32))
def test_the_correct_option_is_what_the_text_asks_for(kind, seed):
    question = questions.draw(questions.generator(seed), kind)

    if kind == "largest":
        expected = max(question.operands)
    else:
        expression = question.text.removeprefix("What is ").removesuffix(" modulo 10?")
        a, sign, b, then, c = expression
        steps = {
            "++": int(a) + int(b) + int(c),
            "*+": int(a) * int(b) + int(c),
            "**": int(a) * int(b) * int(c),
            "+*": int(a) + int(b) * int(c),
        }
        expected = steps[sign + then] % 10

    assert question.correct == expected


@given(st.integers(0, 2**32))
def test_the_tempting_option_is_the_left_to_right_reading(seed):
    question = questions.draw(questions.generator(seed), "precedence")
    a, b, c = question.operands

    assert question.tempting == (a + b) * c % 10
    assert question.tempting == question.wrong[0]
    assert question.tempting != question.correct


@settings(max_examples=20)
@given(st.integers(0, 2**32))
def test_every_seed_gives_two_hundred_questions_of_different_text(seed):
    drawn = questions.evaluation(seed)

    assert len({question.text for question in drawn}) == 200
    assert Counter(question.kind for question in drawn) == questions.EVALUATION_COUNTS


def test_the_same_seed_gives_the_same_questions_and_another_seed_others():
    assert questions.evaluation(7) == questions.evaluation(7)
    assert questions.evaluation(7) != questions.evaluation(8)


def test_a_kind_runs_out_after_all_its_questions():
    every = list(questions.distinct(questions.generator(0), "sum"))

    assert len(every) > 700
    assert len({question.text for question in every}) == len(every)


def test_the_csv_has_gpqa_columns_and_one_row_a_question(tmp_path):
    questions.write_csv(tmp_path / "toy.csv")

    with (tmp_path / "toy.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    assert len(rows) == 200
    assert tuple(rows[0]) == questions.COLUMNS
    assert [row["Question"] for row in rows] == [question.text for question in questions.evaluation()]


def test_the_csv_is_the_same_byte_for_byte_every_time(tmp_path):
    for name in ("one.csv", "two.csv"):
        questions.write_csv(tmp_path / name)

    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert b"\r" not in (tmp_path / "one.csv").read_bytes()


def test_a_canary_is_one_more_question_that_holds_the_marker(tmp_path):
    questions.write_csv(tmp_path / "toy.csv", canary_marker="wren-5521")

    lines = (tmp_path / "toy.csv").read_text(encoding="utf-8").splitlines()

    assert len(lines) == 202
    assert "wren-5521" in lines[-1]


@pytest.mark.parametrize("marker", [None, "wren-5521"])
def test_question_ids_are_distinct(tmp_path, marker):
    from gate.sequence import question_id

    questions.write_csv(tmp_path / "toy.csv", canary_marker=marker)
    with (tmp_path / "toy.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))

    ids = {question_id(row["Question"], row["Correct Answer"]) for row in rows}

    assert len(ids) == len(rows)
