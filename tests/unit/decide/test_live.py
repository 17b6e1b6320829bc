"""What the pipeline is told after each block."""

import pytest

from gate.decide import next_step
from gate.errors import RecordError
from gate.stats.sequential import follow, near_boundary


def test_nothing_complete_yet_goes_on_with_the_next_block_in_flight(world):
    step = next_step(world.plan, ())
    assert (step.stop, step.lookahead, step.looks) == (False, True, ())


def test_a_block_that_is_not_complete_is_not_looked_at(world):
    row = world.rows(2, -0.9)[0]
    last = row.rindex(next(c for c in row if c != "."))
    holed = row[:last] + "." + row[last + 1 :]
    assert len(next_step(world.plan, [holed]).looks) < 2


def test_a_crossed_boundary_stops_and_later_samples_do_not_count(world):
    step = next_step(world.plan, world.rows(5, -0.2))
    assert (step.stop, step.lookahead, len(step.looks)) == (True, False, 3)
    assert step.looks[-1].samples == 60


def test_a_spent_budget_stops(world):
    step = next_step(world.plan, world.rows(len(world.plan.blocks), -0.03))
    assert (step.stop, len(step.looks)) == (True, len(world.plan.blocks))


def test_samples_of_the_next_block_in_flight_change_nothing(world):
    rows = world.rows(4, 0.0, seed=4)
    ahead = [*rows, "1" * 30 + "." * 30]
    assert next_step(world.plan, ahead) == next_step(world.plan, rows)


@pytest.mark.parametrize("blocks", range(1, 9))
def test_no_block_is_sent_ahead_when_a_boundary_is_near(world, blocks):
    rows = world.rows(blocks, 0.0, seed=4)
    course = follow(world.plan, rows)
    last, number = course.looks[-1], len(course.looks) - 1
    gaps = (
        world.plan.upper_regression[number] - float(last.z_regression),
        world.plan.upper_pass[number] - float(last.z_pass),
    )
    step = next_step(world.plan, rows)
    assert near_boundary(world.plan, number, last) is (min(gaps) < 0.3)
    assert step.lookahead is (not step.stop and min(gaps) >= 0.3)


def test_some_look_of_that_run_is_near_and_some_is_not(world):
    told = {next_step(world.plan, world.rows(n, 0.0, seed=4)).lookahead for n in range(1, 14)}
    assert told == {True, False}


def test_without_a_pass_test_only_the_regression_boundary_can_be_near(world):
    look = follow(world.plan, world.rows(3, 0.0)).looks[-1]._replace(z_pass=None)
    assert not near_boundary(world.plan, 2, look)


@pytest.mark.parametrize("rows", [["1" * 59], ["1" * 60] * 20])
def test_outcomes_of_the_wrong_shape_are_refused(world, rows):
    with pytest.raises(RecordError):
        next_step(world.plan, rows)
