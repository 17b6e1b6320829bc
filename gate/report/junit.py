"""report.junit.xml: a test case a cell, for CI that shows test results."""

from __future__ import annotations

from typing import Final
from xml.etree import ElementTree as ET

from gate.model.result import CellResult, GateReport, Verdict
from gate.report import words
from gate.report.escape import printable

# JUnit knows a test that found something (failure) and one that could not be carried out (error).
_ERRORS: Final = frozenset({Verdict.NOT_MEASURED, Verdict.INCOMPARABLE})


def render_junit(report: GateReport) -> str:
    """The report as JUnit XML, as Ant's schema and everybody's parser have it.

    A verdict that fails the run (`fail_on`) is a `failure`, or an `error` where nothing was measured; any
    other verdict but pass is `skipped`, so that nothing undecided is ever counted as passed.
    """
    suite = ET.Element("testsuite", name="vllm-eval-gate", timestamp=report.created)
    counts = dict.fromkeys(("failure", "error", "skipped"), 0)
    for cell in report.cells:
        if kind := _add(suite, cell, report):
            counts[kind] += 1
    suite.set("tests", str(len(report.cells)))
    suite.set("failures", str(counts["failure"]))
    suite.set("errors", str(counts["error"]))
    suite.set("skipped", str(counts["skipped"]))
    suite.set("time", f"{sum(cell.seconds for cell in report.cells):.3f}")
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=False) + "\n"


def _add(suite: ET.Element, cell: CellResult, report: GateReport) -> str | None:
    """Add the case of one cell; the name of what it ended in, None for a pass."""
    where = cell.cell
    case = ET.SubElement(
        suite,
        "testcase",
        classname=f"{where.arch}.{where.config}",
        name=where.backend,
        time=f"{cell.seconds:.3f}",
    )
    kind = None
    if cell.verdict is not Verdict.PASS or cell.verdict in report.fail_on:
        blocking = "error" if cell.verdict in _ERRORS else "failure"
        kind = blocking if cell.verdict in report.fail_on else "skipped"
        found = ET.SubElement(case, kind, message=printable(f"{cell.verdict.value}: {cell.reason}"))
        if kind != "skipped":
            found.set("type", cell.verdict.value)
        found.text = printable(cell.next_step)
    said = [words.score_sentence(cell)] if cell.score is not None else []
    said += [words.cost(cell)] if words.was_run(cell) else []
    said += [f"taken from its record: {words.from_record(cell)}"] if cell.from_record is not None else []
    said += [f"{fact}: {value}" for fact, value in words.ran(cell)]
    if said:
        ET.SubElement(case, "system-out").text = "\n".join(printable(line) for line in said)
    return kind
