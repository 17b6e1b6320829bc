"""badge.json: the endpoint badge of shields.io."""

import json

import pytest

from gate.model.result import Verdict
from gate.report.badge import render_badge
from tests.support import reports


def badge(report) -> dict[str, object]:
    return json.loads(render_badge(report))


def test_a_pass_is_green_and_counts_its_cells():
    assert badge(reports.report_of(reports.passed(), reports.passed(backend="triton"))) == {
        "schemaVersion": 1,
        "label": "eval gate",
        "message": "pass, 2 cells",
        "color": "brightgreen",
        "isError": False,
    }


def test_the_worst_cell_decides():
    shown = badge(reports.all_six())
    assert (shown["message"], shown["color"], shown["isError"]) == ("regression, 6 cells", "red", True)


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.PASS])
def test_only_a_pass_is_green(verdict):
    cell = reports.passed().model_copy(update={"verdict": verdict})
    report = reports.report_of(reports.passed()).model_copy(update={"cells": (cell,), "verdict": verdict})
    assert badge(report)["color"] != "brightgreen"


def test_a_report_without_cells_is_not_green():
    report = reports.report_of(reports.passed()).model_copy(update={"cells": ()})
    assert badge(report)["message"] == "not measured, 0 cells"
