"""What changed beside the score: by question, by group, in length, in finish reasons, in origin."""

import numpy as np
import pytest

from gate.decide import decide_cell
from gate.decide.changes import changes_of
from gate.decide.side import tally_of
from gate.model.record import QuestionGroups
from gate.model.result import Verdict
from gate.model.sample import Finish

QUESTIONS = 60


@pytest.fixture
def decided(world):
    def run(rows, reference=None, **changes):
        record = world.record(rows).model_copy(update=changes)
        return decide_cell(record, reference or world.reference, settings=world.settings, family_size=1)

    return run


def told(world, rows, reference):
    """Of seven blocks, wherever a sequential test would have stopped."""
    record = world.record(rows)
    return changes_of(record, tally_of(record, world.plan, 6), reference)


def test_a_question_always_right_that_is_now_wrong_is_lost_and_broken(world):
    place = int(np.argmax(world.correct == 32))
    rows = [row[:place] + "0" + row[place + 1 :] for row in world.rows(7, 0.0, seed=1)]
    changes = told(world, rows, world.reference)
    first = changes.questions[0]
    assert (first.question, first.before, first.after, first.broken) == (
        world.reference.questions[place],
        1.0,
        0.0,
        True,
    )
    assert changes.lost >= 1


def test_a_question_always_wrong_that_is_now_right_is_gained_and_not_broken(world):
    place = int(np.argmin(world.correct))
    reference = world.reference._replace(correct=np.where(np.arange(QUESTIONS) == place, 0, world.correct))
    rows = [row[:place] + "1" + row[place + 1 :] for row in world.rows(7, 0.0, seed=1)]
    changes = told(world, rows, reference)
    moved = {change.question: change for change in changes.questions}[reference.questions[place]]
    assert (moved.before, moved.after, moved.broken) == (0.0, 1.0, False)
    assert changes.gained >= 1


def test_each_group_has_its_own_score_and_a_question_without_one_counts_nowhere(decided, world):
    halves = QuestionGroups(names=("Biology", "Physics"), of="A" * 30 + "B" * 29 + ".")
    result = decided(world.rows(7, 0.0, seed=1), groups=halves)
    one, other = result.changes.groups
    assert (one.name, one.questions, other.name, other.questions) == ("Biology", 30, "Physics", 29)
    assert one.before == pytest.approx(world.correct[:30].mean() / 32)
    last = world.correct[-1] / 32
    whole = (30 * one.before + 29 * other.before + last) / QUESTIONS
    assert whole == pytest.approx(result.baseline_score)
    assert 0 < one.error < 0.1


def test_without_groups_there_are_none(decided, world):
    assert decided(world.rows(7, 0.0, seed=1)).changes.groups == ()


def test_lengths_and_finish_reasons_stand_beside_the_baselines(decided, world):
    reference = world.reference._replace(
        tokens=np.full(QUESTIONS, 20.0), finish={Finish.STOP: 95, Finish.LENGTH: 5}
    )
    changes = decided(world.rows(7, 0.0, seed=1), reference, tokens=((30,) * QUESTIONS,) * 5).changes
    assert (changes.tokens.before, changes.tokens.after) == (20, 30)
    assert changes.tokens.p_value < 0.001
    assert (changes.finish["length"].before, changes.finish["length"].after) == (0.05, 0)
    assert set(changes.finish) == {"stop", "length"}


def test_only_what_differs_in_origin_is_told_and_nothing_against_a_baseline_without_one(decided, world):
    rows = world.rows(7, 0.0, seed=1)
    reference = world.reference._replace(
        provenance={"driver": "6.4", "commit": "1" * 40, "not_pooled": "x", "ran.moe": "CK"}
    )
    found = decided(rows, reference, provenance={"driver": "6.4", "commit": "2" * 40})
    assert found.provenance_differences["commit"] == ("2" * 40, "1" * 40)
    assert found.provenance_differences["ran.moe"][1] == "CK"
    assert not {"driver", "not_pooled"} & set(found.provenance_differences)
    assert decided(rows).provenance_differences == {}


def test_where_no_length_is_known_none_is_told(world):
    reference = world.reference._replace(tokens=np.zeros(QUESTIONS))
    record = world.record(world.rows(7, 0.0, seed=1))
    silent = record.model_copy(update={"tokens": tuple((0,) * QUESTIONS for _ in record.outcomes)})
    assert changes_of(silent, tally_of(silent, world.plan, 6), reference).tokens is None


def test_what_has_no_score_tells_no_changes(decided, world):
    result = decided(world.rows(7, 0.0, seed=1)[:0])
    assert (result.verdict, result.changes) == (Verdict.NOT_MEASURED, None)


def test_a_majority_that_stays_or_was_a_tie_is_neither_lost_nor_gained(world):
    correct = np.array([32, 0, 16] * (QUESTIONS // 3))
    reference = world.reference._replace(correct=correct)
    asked = world.rows(7, 0.0, seed=1)

    def answered(row: str, pattern: str) -> str:
        return "".join("." if c == "." else p for c, p in zip(row, pattern, strict=True))

    same = [answered(row, "101" * (QUESTIONS // 3)) for row in asked]
    unmoved = told(world, same, reference)
    assert (unmoved.lost, unmoved.gained) == (0, 0)
    moved = told(world, [answered(row, "011" + "101" * (QUESTIONS // 3 - 1)) for row in asked], reference)
    assert (moved.lost, moved.gained) == (1, 1)


def test_half_right_is_neither_lost_nor_gained(world):
    """Six repeats: as many right as wrong is no majority on either side."""
    rows = ["1" * QUESTIONS] * 3 + ["0" * QUESTIONS] * 3
    record = world.record(rows)
    changes = changes_of(record, tally_of(record, world.plan, 7), world.reference)
    assert (changes.lost, changes.gained) == (0, 0)
