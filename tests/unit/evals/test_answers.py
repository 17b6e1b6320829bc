"""Letters and numbers are read as the harnesses that everyone compares with read them."""

from __future__ import annotations

import json
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.evals.answers import last_integer, last_number, read_letter, read_letter_gpt_oss


@pytest.fixture(scope="module")
def table(root):
    return json.loads((root / "tests/data/gpt_oss_0.0.9.json").read_text())


def test_every_text_reads_as_the_real_gpt_oss_reads_it(table):
    assert len(table["answers"]) >= 150
    assert [(text, read_letter_gpt_oss(text)) for text, _ in table["answers"]] == [
        (text, letter) for text, letter in table["answers"]
    ]


def test_without_the_fallback_a_letter_or_nothing_is_read(table):
    read = {text: read_letter(text) for text, _ in table["answers"]}
    assert set(read.values()) == {"A", "B", "C", "D", None}
    assert read[""] is None
    assert read["**Answer: B**"] == "B"


@pytest.mark.parametrize(
    ("text", "theirs", "ours"),
    [
        ("Answer: depends", "D", None),
        ("Because of symmetry.", "B", None),
        ("A molecule", "A", None),
        ("Answer: E", "A", None),
        ("Answer: CD", "C", None),
        ("A is wrong.\nB is wrong.\nD", "A", "D"),
        ("D) the fourth", "D", "D"),
        ("B - the second", "B", "B"),
        ("**C**", "C", "C"),
        ("x\n **C**: so it is", "C", "C"),
        ("hm", "h", None),
    ],
)
def test_a_words_first_letter_is_an_answer_to_gpt_oss_alone(text, theirs, ours):
    assert (read_letter_gpt_oss(text), read_letter(text)) == (theirs, ours)


@given(st.text(st.sampled_from("ABCDabc E*_()[]{}\\:.-\n answerboxedtextbf"), max_size=60))
def test_long_runs_of_space_read_as_short_ones(text):
    stretched = text.replace(" ", " " * 80).replace("\n", " \n" * 50)
    assert read_letter(stretched) == read_letter(text.replace("\n", " \n"))


@given(st.text())
def test_any_text_reads_as_an_option_or_none(text):
    assert read_letter(text) in {"A", "B", "C", "D", None}


@pytest.mark.parametrize("loop", ["\n", "\\boxed{A", "\\textbf{A", "(", "**A) ", "Answer:\n", "_ "])
def test_a_model_stuck_in_a_loop_is_read_in_time(loop):
    started = time.process_time()
    read_letter(loop * (20_000 // len(loop)))
    assert time.process_time() - started < 2


def test_letters_beyond_d_are_read_where_the_question_has_them():
    assert read_letter("Answer: G", "ABCDEFGHIJ") == "G"
    assert read_letter("Answer: C", "AB") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so 4 + 5 = 9.", 9),
        ("#### 1,234", 1234),
        ("it costs $12.50", 50),
        ("-7", 7),
        ("0", 0),
        ("00", 0),
        ("007", None),
        ("", None),
        ("none", None),
        ("٣", None),
        ("1" * 4300, int("1" * 4300)),
        ("1" * 4301, None),
    ],
)
def test_the_last_integer_is_read_as_vllm_reads_it(text, number):
    assert last_integer(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("so 4 + 5 = 9.", "9"),
        ("#### -1,234.50", "-1234.5"),
        ("it costs $12.50 in all", "12.50"),
        ("minus .5", ".5"),
        ("between 3-4", "4"),
        ("x2", None),
        ("none", None),
    ],
)
def test_the_last_number_keeps_sign_and_decimals(text, number):
    assert last_number(text) == (None if number is None else Decimal(number))


@given(st.text(st.sampled_from("0123456789.,-x $"), max_size=20))
def test_every_number_that_is_found_is_one(text):
    number = last_number(text)
    assert number is None or number.is_finite()
