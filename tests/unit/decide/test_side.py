"""What else changed is said in the notes and never changes the verdict."""

import numpy as np
import pytest

from gate.decide import decide_cell
from gate.decide.side import tally_of, warnings
from gate.model.result import Verdict
from gate.model.sample import Finish


@pytest.fixture
def decided(world):
    """A passing record, with parts replaced, against a baseline, with parts replaced."""
    rows = world.rows(7, 0.0, seed=1)

    def run(reference=None, **changes):
        reference = (reference or world.reference)._replace(
            tokens=np.where(np.arange(60) % 2, 19.0, 21.0),
            finish={Finish.STOP: 60 * 32 - 10, Finish.LENGTH: 10},
        )
        record = world.record(rows).model_copy(update=changes)
        return decide_cell(record, reference, settings=world.settings, family_size=1)

    return run


def test_a_run_like_its_baseline_has_nothing_to_say(decided):
    assert (decided().verdict, decided().notes) == (Verdict.PASS, ())


def test_invalid_answers_that_rise_are_said(decided, world):
    rows = [row.replace("0", "x") for row in world.rows(7, 0.0, seed=1)]
    result = decided(outcomes=tuple(rows))
    assert result.verdict is Verdict.PASS
    assert result.notes[0].startswith("invalid answers rose from 0.0% to 3")


def test_answers_that_become_longer_are_said(decided):
    result = decided(tokens=((30,) * 60,) * 5)
    assert result.notes == ("answers changed length by +50.0% (p = 1e-12)",)


def test_answers_cut_off_more_often_are_said(decided):
    finish = ("l" * 10 + "s" * 50,) + ("s" * 60,) * 4
    result = decided(finish=finish)
    assert result.notes == ("3.3% of the answers were cut off at the token limit, 0.5% before (p = 9e-05)",)


def test_answers_that_end_in_repetition_are_said(decided):
    assert "ended in repetition, 0.0% before" in decided(finish=("r" * 60,) + ("s" * 60,) * 4).notes[0]


def test_a_baseline_without_finish_reasons_is_not_compared(decided, world):
    rows = world.rows(7, 0.0, seed=1)
    silent = world.record(rows, finish=("l" * 60,) * 5)
    assert decide_cell(silent, world.reference, settings=world.settings, family_size=1).notes == ()


def test_a_question_that_broke_is_named_by_its_id(world):
    place = int(np.argmax(world.correct == 32))
    rows = [row[:place] + "0" + row[place + 1 :] for row in world.rows(7, 0.0, seed=1)]
    said = warnings(tally_of(world.record(rows), world.plan, 6), world.reference)
    assert said == (f"questions that broke: {world.questions[place]} (100% to 0%)",)


def test_of_many_broken_questions_only_some_are_named(world):
    record = world.record(["0" * 60] * 8)
    said = warnings(tally_of(record, world.plan, 9), world.reference_of(np.full(60, 32)))
    assert said[0].count("(100% to 0%)") == 5
    assert said[0].endswith("and 55 more")


def test_within_the_first_pass_finish_reasons_are_not_compared(world):
    rows = world.rows(1, -0.9)
    record = world.record(rows, finish=tuple(row.replace("0", "l").replace("1", "l") for row in rows))
    reference = world.reference._replace(finish={Finish.STOP: 60 * 32})
    result = decide_cell(record, reference, settings=world.settings, family_size=1)
    assert not any("token limit" in note for note in result.notes)
