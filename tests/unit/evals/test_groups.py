"""Groups of questions: names for reports, and never a question's text."""

import pytest

from gate.errors import DatasetError
from gate.evals.dataset import Dataset, Row
from gate.evals.groups import grouped, groups_of
from gate.model.record import QuestionGroups

DATASET = Dataset(b"", "", "q.csv")


def rows(*names):
    return [Row(number + 2, {"subject": name}) for number, name in enumerate(names)]


def ids(number):
    return [f"{i:012x}" for i in range(number)]


def test_each_question_gets_the_name_in_its_row_with_unusual_characters_replaced():
    found = groups_of(DATASET, rows("Physics", "organic chemistry", ""), ids(3), "subject")
    assert found == {ids(3)[0]: "Physics", ids(3)[1]: "organic_chemistry"}


def test_without_a_column_there_are_no_groups():
    assert groups_of(DATASET, rows("Physics"), ids(1), None) == {}
    assert grouped(ids(1), {}) is None


def test_a_text_is_no_name_and_the_error_does_not_repeat_it():
    text = "What is the air-speed velocity of an unladen swallow? " * 2
    with pytest.raises(DatasetError, match=r"q\.csv:2.*no name of a group") as caught:
        groups_of(DATASET, rows(text), ids(1), "subject")
    assert "swallow" not in str(caught.value)


def test_more_groups_than_letters_are_refused():
    with pytest.raises(DatasetError, match="names 53 groups; at most 52"):
        groups_of(DATASET, rows(*(f"g{i}" for i in range(53))), ids(53), "subject")


def test_a_record_holds_a_letter_for_each_question():
    a, b, c = ids(3)
    assert grouped([a, b, c], {a: "Physics", c: "Biology"}) == QuestionGroups(
        names=("Biology", "Physics"), of="B.A"
    )


def test_a_letter_without_a_group_is_refused():
    with pytest.raises(ValueError, match="no group has the letter 'B'"):
        QuestionGroups(names=("Biology",), of="AB")
