"""The verdict on a run whose size others fixed."""

from __future__ import annotations

import pytest

from gate.config import GateSettings
from gate.decide import decide_cell
from gate.model.result import Verdict

REPEATS = 6


@pytest.fixture
def fixed(world):
    """A whole run of REPEATS, as an importer makes it, and its verdict."""

    def run(shift=0.0, *, repeats=REPEATS, seed=1, settings=world.settings, family_size=1, **changes):
        whole = world.rows(len(world.plan.blocks), shift, seed)[:repeats]
        declared = {
            "family_size": 1,
            "baseline_repeats": 0,
            "baseline_sha256": None,
            "max_repeats": repeats,
            "look_at": (repeats * len(world.questions),),
        }
        record = world.record(whole, **(declared | changes))
        return decide_cell(
            record, world.reference, settings=settings, family_size=family_size, fixed_repeats=REPEATS
        )

    return run


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.0, Verdict.PASS), (-0.2, Verdict.REGRESSION), (-0.06, Verdict.INCONCLUSIVE)],
)
def test_it_is_looked_at_once_at_its_end(fixed, world, shift: float, verdict: Verdict):
    result = fixed(shift, settings=GateSettings(margin=0.05))
    assert result.verdict is verdict, result.reason
    assert len(result.looks) == 1
    assert result.samples_used == REPEATS * len(world.questions) == result.samples_budget
    assert result.looks[0].boundary_regression == pytest.approx(2.3263, abs=1e-3)


def test_settings_and_baseline_of_today_may_be_held_against_an_old_record(fixed):
    assert fixed(family_size=5, baseline_sha256="9" * 64, alpha=0.05).verdict in {
        Verdict.PASS,
        Verdict.INCONCLUSIVE,
    }


@pytest.mark.parametrize("repeats", [REPEATS - 1, REPEATS + 1])
def test_a_size_that_was_chosen_afterwards_proves_nothing(fixed, repeats: int):
    result = fixed(-0.2, repeats=repeats)
    assert result.verdict is Verdict.NOT_MEASURED
    assert f"max_repeats {repeats}, not {REPEATS}" in result.reason


def test_a_margin_that_no_run_of_this_size_proves_is_inconclusive_and_not_refused(fixed):
    result = fixed(settings=GateSettings(margin=0.005))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "a drop of" in result.reason


def test_a_margin_above_the_score_is_refused(fixed):
    result = fixed(settings=GateSettings(margin=0.7))
    assert result.verdict is Verdict.NOT_MEASURED
    assert "leaves no room between" in result.reason


def test_a_run_for_the_baseline_is_not_judged(fixed):
    assert fixed(purpose="baseline").verdict is Verdict.NOT_MEASURED


def test_no_record_can_claim_a_fixed_size_for_itself(world):
    rows = world.rows(len(world.plan.blocks))[:REPEATS]
    record = world.record(rows, max_repeats=REPEATS, look_at=(REPEATS * len(world.questions),))
    result = decide_cell(record, world.reference, settings=world.settings, family_size=1)
    assert result.verdict is Verdict.NOT_MEASURED
    assert "measured under another plan" in result.reason


MADE = "2026-11-24T10:00:00"


@pytest.mark.parametrize(
    ("stored", "run", "temperature", "copied"),
    [
        pytest.param(("s", None), {"stream": "s"}, 1.0, True, id="the same answers"),
        pytest.param(("s", MADE), {"stream": "s"}, 1.0, True, id="the same answers at some time"),
        pytest.param(("t", MADE), {"stream": "s"}, 1.0, False, id="other answers"),
        pytest.param(("s", MADE), {"stream": "s", "provenance": {"measured": MADE}}, 0.0, True, id="greedy"),
        pytest.param(("s", MADE), {"stream": "s"}, 0.0, False, id="greedy, an unchanged build"),
        pytest.param(("s", None), {"stream": "s"}, 0.0, False, id="greedy, at a time that nobody knows"),
    ],
)
def test_a_run_of_the_baseline_is_not_compared_with_itself(world, stored, run, temperature, copied):
    """Nothing was measured by importing the baseline's own log once more; it would always pass."""
    mark = world.fingerprint.model_copy(update={"temperature": temperature})
    reference = world.reference._replace(fingerprint=mark, origins=frozenset({stored}))
    repeats = 1 if temperature == 0 else REPEATS
    whole = world.rows(len(world.plan.blocks))[:repeats]
    size = {"max_repeats": repeats, "look_at": (repeats * len(world.questions),)}
    record = world.record(whole, fingerprint=mark, **size, **run)
    result = decide_cell(
        record, reference, settings=GateSettings(margin=0.3), family_size=1, fixed_repeats=repeats
    )
    assert ("is a run of the baseline" in result.reason) == copied, result.reason
    assert (result.verdict is Verdict.NOT_MEASURED) == copied
