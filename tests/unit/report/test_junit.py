"""report.junit.xml: what a CI that counts test results makes of the verdicts."""

import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.model.result import Verdict
from gate.report.junit import render_junit
from tests.support import reports


def suite_of(report) -> ET.Element:
    return ET.fromstring(render_junit(report)).find("testsuite")  # noqa: S314 - our own text


def test_six_verdicts_are_six_cases(snapshot):
    assert render_junit(reports.all_six()) == snapshot


def test_the_counts_are_those_of_the_cases():
    suite = suite_of(reports.all_six())
    cases = suite.findall("testcase")
    for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(suite.get(attribute)) == sum(case.find(kind) is not None for case in cases)
    assert int(suite.get("tests")) == len(cases) == 6


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.PASS])
def test_no_verdict_but_pass_counts_as_passed(verdict):
    cell = reports.passed().model_copy(update={"verdict": verdict})
    case = suite_of(reports.report_of(cell)).find("testcase")
    assert {child.tag for child in case} & {"failure", "error", "skipped"}


def test_a_verdict_that_does_not_fail_the_run_is_skipped_not_failed():
    report = reports.report_of(reports.inconclusive())
    lenient = report.model_copy(update={"fail_on": (Verdict.REGRESSION,)})
    suite = suite_of(lenient)
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "1")


@given(st.text())
def test_any_reason_gives_xml_that_a_parser_reads(reason):
    cell = reports.crashed().model_copy(update={"reason": reason, "next_step": reason})
    text = render_junit(reports.report_of(cell))
    ET.fromstring(text)  # noqa: S314 - our own text
    assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", text)
