"""The run is as bad as its worst cell, and never green by default of cells."""

import itertools

import pytest

from gate.decide import DEFAULT_FAIL_ON, STRICT_FAIL_ON, WORST_FIRST, conclude_run, decide_run
from gate.model.cell import Cell
from gate.model.result import CellResult, Verdict


def results(*verdicts):
    cell = Cell(arch="cpu", config="tiny", backend="default")
    return [CellResult(cell=cell, verdict=v, reason="") for v in verdicts]


EXITS = {
    Verdict.PASS: 0,
    Verdict.REGRESSION: 1,
    Verdict.INCONCLUSIVE: 3,
    Verdict.NO_BASELINE: 3,
    Verdict.NOT_MEASURED: 4,
    Verdict.INCOMPARABLE: 4,
}


def test_every_verdict_has_its_place_and_its_exit_code():
    assert set(WORST_FIRST) == set(EXITS) == set(Verdict)
    assert all(decide_run(results(v)) == (v, code) for v, code in EXITS.items())


@pytest.mark.parametrize(("worse", "better"), list(itertools.combinations(WORST_FIRST, 2)))
def test_the_worse_of_two_cells_decides(worse, better):
    assert decide_run(results(better, worse)) == (worse, EXITS[worse])


@pytest.mark.parametrize("fail_on", [None, (), DEFAULT_FAIL_ON, STRICT_FAIL_ON])
def test_no_cells_are_never_green(fail_on):
    assert decide_run([], fail_on) == (Verdict.NOT_MEASURED, 4)


@pytest.mark.parametrize(
    ("verdicts", "fail_on", "verdict", "code"),
    [
        (["inconclusive"], DEFAULT_FAIL_ON, "inconclusive", 0),
        (["inconclusive", "pass"], STRICT_FAIL_ON, "inconclusive", 3),
        (["not_measured", "pass"], DEFAULT_FAIL_ON, "not_measured", 4),
        (["regression", "no_baseline"], (Verdict.NO_BASELINE,), "regression", 3),
        (["pass"], STRICT_FAIL_ON, "pass", 0),
    ],
)
def test_fail_on_decides_the_exit_and_leaves_the_verdict(verdicts, fail_on, verdict, code):
    assert decide_run(results(*map(Verdict, verdicts)), fail_on) == (verdict, code)


def test_a_check_without_a_single_cell_is_never_green():
    assert conclude_run([], DEFAULT_FAIL_ON) == "failure"


@pytest.mark.parametrize("verdict", [Verdict.NO_BASELINE, Verdict.INCONCLUSIVE])
def test_what_does_not_fail_a_check_is_neutral_and_only_a_pass_is_a_success(verdict):
    assert conclude_run(results(Verdict.PASS, verdict), DEFAULT_FAIL_ON) == "neutral"
    assert conclude_run(results(Verdict.PASS), DEFAULT_FAIL_ON) == "success"
