"""What a drill makes of its probes: who is held against what, and what is left to do."""

from __future__ import annotations

import pytest

from gate.errors import MeasurementError
from gate.model.result import Verdict
from gate.numerics.drill import assembled
from gate.numerics.exercises import Done, Drill, Exercise
from gate.numerics.selftest import ScoreTest, Selftest
from tests.support import probes

DRILL = Drill(1, ("swap_nibbles", "down_bias_lost"))
NOISE = {"base": 0.0, "rerun": 0.001, "variant": 0.1, "again": 0.1005, "fault": 0.3, "score": 0.0}
SCORE = ScoreTest(verdict=Verdict.PASS, difference=0.0, samples=67, seconds=9.0)


def done(one: Exercise, number: int, noise: dict[str, float]) -> Done:
    """What an exercise found, where its noise is that of its part; a variant and its repetition are alike."""
    if one.part == "score":
        return Done(exercise=one.key, score=SCORE.model_copy(update={"samples": 100 + number}), load=1.0)
    seed = 1000 + len(one.name) if one.part in ("variant", "again") else number
    probe = probes.probe(prefill=noise[one.part], decode=noise[one.part], seed=seed)
    seconds = 30.0 if one.concurrency == 1 else 2.0 + number / 100
    return Done(exercise=one.key, probe=probe.model_copy(update={"seconds": seconds}), load=number / 10)


def drilled(until: int | None = None, **noise: float) -> Selftest:
    every = DRILL.exercises
    found = {one.key: done(one, n, NOISE | noise) for n, one in enumerate(every[:until])}
    return assembled(every, found, "vLLM 1")


def by_name(found: Selftest, kind: str) -> dict:
    return {trial.name: trial for trial in found.trials if trial.kind == kind}


def test_a_fault_is_held_against_all_healthy_variants_and_strictly_against_reruns_alone():
    fault = by_name(drilled(), "fault")["swap_nibbles"]
    assert fault.numerics.state == "changed"
    assert fault.strict.state == "changed"
    assert fault.strict.times > 3 * fault.numerics.times
    small = by_name(drilled(fault=0.11), "fault")["swap_nibbles"]
    assert (small.numerics.state, small.strict.state) == ("unchanged", "changed")


def test_a_healthy_variant_is_held_against_itself_and_not_against_another_arithmetic():
    healthy = by_name(drilled(), "healthy")
    again = [trial for trial in healthy.values() if trial.what == "its own baseline"]
    assert len(again) == 3
    assert {trial.numerics.state for trial in healthy.values()} == {"unchanged"}
    assert len(healthy) == 7


def test_a_variant_that_does_not_repeat_itself_fails_the_drill():
    found = drilled(again=0.4)
    assert [trial.what for trial in found.false_alarms] == ["its own baseline"] * 3
    assert not found.passed


def test_a_rerun_that_differs_from_the_baseline_fails_the_drill():
    assert {trial.what for trial in drilled(rerun=0.3).false_alarms} == {"the baseline"}


def test_each_fault_has_its_own_score_and_the_healthy_one_is_with_the_first_healthy_trial():
    found = drilled()
    order = [one.name for one in DRILL.exercises if one.part == "score"]
    first = len(DRILL.exercises) - len(order) + 100
    scores = {trial.name: trial.score.samples for trial in found.trials if trial.score}
    assert scores == {
        "swap_nibbles": first,
        "down_bias_lost": first + 1,
        "concurrency 8": first + 2,
    }
    assert order[-1] == "healthy"


def test_healthy_is_what_the_largest_healthy_variant_moves():
    found = drilled()
    moved = [t.numerics.shift for t in by_name(drilled(fault=0.1), "fault").values()]
    assert found.healthy_shift == pytest.approx(max(moved), rel=0.3)


def test_an_interrupted_drill_tells_what_it_has_and_what_is_left():
    found = drilled(until=7)
    left = [one.key for one in DRILL.exercises[7:]]
    assert (list(found.pending), found.passed) == (left, False)
    assert drilled().pending == ()


def test_the_time_of_a_probe_is_that_at_full_concurrency():
    found = drilled()
    full = [n for n, one in enumerate(DRILL.exercises) if one.concurrency == 32 and one.part != "score"]
    assert found.probe_seconds == pytest.approx(
        (2 + full[len(full) // 2] / 100, 2 + full[-1] / 100), abs=0.02
    )
    assert found.load == pytest.approx((len(DRILL.exercises) - 1 - 3) / 10, abs=0.11)


def test_without_the_baselines_probe_there_is_nothing_to_tell():
    with pytest.raises(MeasurementError, match="before the baseline was probed"):
        drilled(until=0)
