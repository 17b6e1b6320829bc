"""A drill's verdict on the gate itself, and its page."""

from __future__ import annotations

from gate.model.probe import Numerics
from gate.model.result import Verdict
from gate.numerics.selftest import ScoreTest, Selftest, Trial, ratio, render

CHANGED = Numerics(state="changed", times=12.3, p_value=1e-9, path="decode", shift=0.3)
QUIET = Numerics(state="unchanged", times=0.5, p_value=1.0, path="prefill", shift=0.3)
LOUD = QUIET.model_copy(update={"shift": 0.1})
DROP = ScoreTest(verdict=Verdict.REGRESSION, difference=-0.2, samples=1200, seconds=80.4)
SAME = DROP.model_copy(update={"verdict": Verdict.PASS, "difference": 0.001})


def trial(name="fault", kind="fault", numerics=QUIET, score=None):
    return Trial(name=name, what="what it does", kind=kind, numerics=numerics, strict=numerics, score=score)


def drill(*trials):
    return Selftest(created="2026-11-24", machine="m", engine="vLLM 1", healthy_shift=0.1, trials=trials)


def test_a_harmful_fault_that_nobody_saw_fails_the_drill():
    found = drill(trial("quiet", score=SAME))
    assert ratio(found.trials[0], found) > 2
    assert ([t.name for t in found.missed], found.passed) == (["quiet"], False)
    assert "Missed of those: quiet." in render(found)
    assert "**nobody**" in render(found)


def test_one_detector_is_enough_and_a_harmless_fault_may_go_unseen():
    found = drill(
        trial("probe", numerics=CHANGED, score=SAME), trial("score", score=DROP), trial("none", numerics=LOUD)
    )
    assert found.passed
    text = render(found)
    assert "2 of 3 faults were seen. 2 of them" in text
    assert "| changed in decode 12x, p 1e-09 |" in text
    assert "regression -20.0 points, 1,200 samples, 80 s" in text


def test_a_healthy_variant_that_alarms_fails_the_drill():
    found = drill(trial("bf16", kind="healthy", numerics=CHANGED))
    assert ([t.name for t in found.false_alarms], found.passed) == (["bf16"], False)
    assert "False alarms on 1 healthy variants: bf16." in render(found)


def test_a_drill_that_was_interrupted_has_not_passed_and_says_what_is_left():
    found = drill(trial("probe", numerics=CHANGED)).model_copy(update={"pending": ("score probe",)})
    assert not found.passed
    assert "**Not done:** score probe." in render(found)
    assert "Not done" not in render(drill(trial("probe", numerics=CHANGED)))


def test_the_page_says_how_long_a_probe_takes_and_how_busy_the_machine_was():
    found = drill(trial()).model_copy(update={"probe_seconds": (4.2, 7.8), "load": 2.5})
    assert "A probe took 4.2 s, at most 7.8 s, beyond serving.\nLoad average" in render(found)
    assert "up to 2.5." in render(found)


def test_a_fault_that_moved_a_few_prompts_is_told_as_such():
    few = CHANGED.model_copy(update={"few": True})
    assert "| changed a few prompts in decode 12x, p 1e-09 |" in render(drill(trial(numerics=few)))
