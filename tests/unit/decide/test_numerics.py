"""What a drift of the log-probabilities does to a verdict, and what it never does."""

from __future__ import annotations

import pytest

from gate.decide import with_numerics
from gate.model.cell import Cell
from gate.model.probe import Numerics
from gate.model.result import CellResult, Verdict
from gate.settings import ProbeSettings

CELL = Cell(arch="cpu", config="tiny", backend="triton")
WARN, FAIL = ProbeSettings(), ProbeSettings(on_drift="fail")
CHANGED = Numerics(
    state="changed",
    calibrated=True,
    times=7.2,
    p_value=1e-9,
    path="decode",
    worst=(3, 1),
    flips=4,
    positions=90,
)
UNCHANGED = Numerics(state="unchanged", calibrated=True, times=0.4, p_value=1.0)
BROKEN = Numerics(state="broken", calibrated=True, reason="3 positions hold something that is not a number")
INCOMPARABLE = Numerics(
    state="incomparable", reason="not the same (x: 1 here, 2 there)", differences={"x": ("1", "2")}
)
COMMAND = "gate baseline probe configs/tiny.yaml --backend triton"


def result(verdict: Verdict) -> CellResult:
    return CellResult(cell=CELL, verdict=verdict, reason="as measured", next_step="as advised")


def judged(verdict, numerics, settings=WARN):
    return with_numerics(result(verdict), numerics, settings)


@pytest.mark.parametrize("verdict", list(Verdict))
@pytest.mark.parametrize("settings", [WARN, FAIL])
def test_unchanged_numerics_change_nothing_but_the_report(verdict, settings):
    found = judged(verdict, UNCHANGED, settings)
    assert found == result(verdict).model_copy(update={"numerics": UNCHANGED})


@pytest.mark.parametrize("numerics", [CHANGED, INCOMPARABLE, UNCHANGED, None])
@pytest.mark.parametrize("verdict", list(Verdict))
def test_by_default_a_drift_warns_and_never_changes_a_verdict(verdict, numerics):
    assert judged(verdict, numerics).verdict is verdict


def test_a_changed_kernel_beside_an_unchanged_score_is_spelled_out_with_what_to_do():
    step = judged(Verdict.PASS, CHANGED).next_step
    assert step.startswith(
        "score unchanged, numerics changed in decode: 7.2 times the noise floor (p = 1e-09)"
    )
    assert "worst prompts 3, 1" in step
    assert "another token is the likeliest at 4 of 90 positions" in step
    assert step.endswith(f"Look at the kernel; if the change is meant, renew the probe: {COMMAND}")


def test_advice_on_a_red_cell_stays():
    assert judged(Verdict.REGRESSION, CHANGED).next_step == "as advised"


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.INCONCLUSIVE])
def test_where_the_config_declares_it_a_drift_is_a_regression(verdict):
    found = judged(verdict, CHANGED, FAIL)
    assert found.verdict is Verdict.REGRESSION
    assert found.reason.endswith("; the config declares that this fails")
    assert found.next_step == f"Look at the kernel; if the change is meant, renew the probe: {COMMAND}"


def test_an_uncalibrated_floor_never_fails_a_cell():
    assert (
        judged(Verdict.PASS, CHANGED.model_copy(update={"calibrated": False}), FAIL).verdict is Verdict.PASS
    )


def test_broken_numbers_beside_an_uncalibrated_floor_are_no_regression_and_not_green():
    found = judged(Verdict.PASS, BROKEN.model_copy(update={"calibrated": False}), FAIL)
    assert found.verdict is Verdict.NOT_MEASURED


@pytest.mark.parametrize("settings", [WARN, FAIL])
@pytest.mark.parametrize("verdict", list(Verdict))
def test_broken_numbers_are_never_green(verdict, settings):
    found = judged(verdict, BROKEN, settings).verdict
    if verdict is Verdict.REGRESSION or settings is FAIL:
        assert found is Verdict.REGRESSION
    else:
        assert found is Verdict.NOT_MEASURED


def test_broken_numbers_say_what_is_broken():
    found = judged(Verdict.NOT_MEASURED, BROKEN)
    assert found.reason == (
        "the engine's numbers are broken: 3 positions hold something that is not a number; "
        "the evaluation was not started"
    )


def test_declared_to_fail_and_not_compared_is_not_green():
    found = judged(Verdict.PASS, INCOMPARABLE, FAIL)
    assert found.verdict is Verdict.INCOMPARABLE
    assert "x: 1 here, 2 there" in found.reason


def test_declared_to_fail_and_not_probed_is_not_green():
    found = judged(Verdict.PASS, None, FAIL)
    assert found.verdict is Verdict.NOT_MEASURED
    assert COMMAND in found.next_step


@pytest.mark.parametrize("verdict", [Verdict.REGRESSION, Verdict.NOT_MEASURED, Verdict.NO_BASELINE])
def test_a_verdict_that_is_not_green_keeps_its_reason(verdict):
    assert judged(verdict, CHANGED, FAIL).reason == "as measured"
