"""Against the anchor: what many small accepted drops add up to fails the cell, at a cost that is declared."""

import numpy as np
import pytest

from gate.config import GateSettings
from gate.decide import decide_cell, next_step, plan_budget
from gate.model.baseline import Anchor
from gate.model.result import AnchorLook, Verdict
from gate.stats.looks import look_statistics

PINNED = ("0123456789ab", "ba9876543210")


@pytest.fixture(scope="module")
def pinned(world_of):
    """A cell whose current baseline lies 12 points below what is pinned."""
    return anchored(world_of, 0.12)


def anchored(world_of, above, settings=None):
    settings = settings or GateSettings(margin=0.055)
    made = world_of(settings)
    higher = np.minimum(made.correct + round(32 * above / 0.6), 32)
    reference = made.reference._replace(anchor=Anchor(PINNED, higher, 32))
    return world_of(settings, reference=reference)


def live(world, shift, seed=1):
    for blocks in range(1, len(world.plan.blocks) + 1):
        rows = world.rows(blocks, shift, seed)
        if next_step(world.plan, rows).stop:
            break
    return world.record(rows)


def decided(world, record):
    return decide_cell(record, world.reference, settings=world.settings, family_size=1)


def test_a_fifth_of_the_error_is_set_aside_for_the_anchor(pinned):
    terms = pinned.budget.terms
    assert terms.alpha == pytest.approx(0.8 * 0.01)
    assert terms.alpha_anchor == pytest.approx(0.2 * 0.01)


def test_the_error_set_aside_costs_repeats(pinned, world_of):
    free = plan_budget(pinned.reference._replace(anchor=None), pinned.settings, family_size=1)
    assert pinned.budget.needed_repeats > free.needed_repeats
    assert free.terms.alpha_anchor == 0


def test_the_family_shares_both_parts(world_of):
    many = world_of(GateSettings(margin=0.1), family_size=4)
    budget = plan_budget(
        many.reference._replace(anchor=Anchor(PINNED, many.correct, 32)), many.settings, family_size=4
    )
    assert budget.terms.alpha == pytest.approx(0.8 * 0.01 / 4)
    assert budget.terms.alpha_anchor == pytest.approx(0.2 * 0.01 / 4)


def test_a_drop_that_the_baseline_has_taken_over_is_a_regression_against_the_anchor(pinned):
    result = decided(pinned, live(pinned, 0.0))
    assert result.verdict is Verdict.REGRESSION
    assert result.reason.startswith("a drop against the anchor is proven (-")
    assert "the current baseline has already taken over" in result.reason
    assert "gate baseline anchor cpu/tiny/default" in result.next_step
    assert result.anchor.dropped
    assert result.anchor.runs == PINNED


def test_the_look_against_the_anchor_is_the_stratified_test_at_the_stop(pinned):
    record = live(pinned, 0.0)
    result = decided(pinned, record)
    rows = np.array([[c == "1" for c in row] for row in record.outcomes])
    look = look_statistics(pinned.reference.anchor.correct, 32, rows.sum(axis=0), len(rows), margin=0.05)
    assert result.anchor.p_value == pytest.approx(float(look.drop.p_value))
    assert result.anchor.difference == pytest.approx(float(look.difference))
    assert result.anchor.alpha == pytest.approx(0.002)


def test_no_drop_since_the_anchor_passes_and_shows_the_look(world_of):
    level = anchored(world_of, 0.0)
    result = decided(level, live(level, 0.02))
    assert result.verdict is Verdict.PASS
    assert not result.anchor.dropped


def test_a_drop_against_the_current_baseline_stays_the_reason(pinned):
    result = decided(pinned, live(pinned, -0.3))
    assert result.verdict is Verdict.REGRESSION
    assert result.reason.startswith("a drop is proven")
    assert result.anchor.dropped


def test_a_tolerated_loss_is_tolerated_since_the_anchor_too(world_of):
    strict = anchored(world_of, 0.06)
    tolerant = anchored(world_of, 0.06, GateSettings(margin=0.055, tolerated_loss=0.05))
    record = live(tolerant, 0.01)
    result = decided(tolerant, record)
    assert result.verdict is Verdict.PASS
    assert not result.anchor.dropped
    declared = record.model_copy(update={"tolerated_loss": 0.0})
    assert decided(strict, declared).anchor.p_value < 0.1
    assert result.anchor.p_value > 0.5


def test_nothing_pinned_shows_no_look_against_it(world):
    result = decide_cell(live(world, 0.0), world.reference, settings=world.settings, family_size=1)
    assert result.anchor is None


@pytest.mark.parametrize("declared", [(), ("0123456789ab",)])
def test_a_record_that_declares_another_anchor_is_refused(pinned, declared):
    record = live(pinned, 0.0).model_copy(update={"anchor": declared})
    result = decided(pinned, record)
    assert result.verdict is Verdict.NOT_MEASURED
    assert "anchor [" in result.reason


def test_a_drop_against_the_anchor_fails_what_is_inconclusive_against_the_baseline(pinned):
    """The budget is spent and the main test proves nothing, but the look against the anchor does."""
    result = decided(pinned, live(pinned, -0.04, seed=1))
    assert result.looks[-1].samples == result.samples_budget
    assert result.looks[-1].z_regression < result.looks[-1].boundary_regression
    assert result.looks[-1].z_pass < result.looks[-1].boundary_pass
    assert result.verdict is Verdict.REGRESSION
    assert result.reason.startswith("a drop against the anchor is proven")


def test_a_p_value_that_equals_its_error_is_a_drop():
    look = AnchorLook(runs=PINNED, repeats=32, difference=-0.05, p_value=0.002, alpha=0.002)
    assert look.dropped
    assert not look.model_copy(update={"p_value": 0.0021}).dropped
