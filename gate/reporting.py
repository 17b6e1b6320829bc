"""From the results of cells to the report: what fails the run, the report itself, its files."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from gate.decide import DEFAULT_FAIL_ON, STRICT_FAIL_ON, WORST_FIRST, decide_run
from gate.errors import StorageError, UsageError
from gate.files import invalid_field, read_bytes, write_bytes
from gate.fingerprint import gate_version
from gate.model.result import CellResult, GateReport, Verdict
from gate.outputs import Outputs
from gate.records import KEPT
from gate.report.badge import render_badge
from gate.report.html import render_html
from gate.report.junit import render_junit
from gate.report.markdown import render_markdown
from gate.report.schema import report_json

REPORT_LIMIT: Final = 64_000_000
KNOWN: Final = {verdict.value: verdict for verdict in STRICT_FAIL_ON}


def fail_on_verdicts(text: str | None) -> tuple[Verdict, ...] | None:
    """The verdicts that make a run fail, from `regression,not_measured,...`, `default` or `strict`.

    None stays None: on a plain command line every verdict has its own exit code.

    Raises:
        UsageError: a word is no verdict, or nothing would ever fail.
    """
    if text is None:
        return None
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise UsageError("--fail-on is empty: nothing would ever fail", hint="leave it out")
    verdicts: list[Verdict] = []
    for word in words:
        if word in ("default", "strict"):
            verdicts += STRICT_FAIL_ON if word == "strict" else DEFAULT_FAIL_ON
        elif word in KNOWN:
            verdicts.append(KNOWN[word])
        else:
            raise UsageError(
                f"--fail-on does not know {word!r}", hint=f"one or more of: {', '.join(KNOWN)}, strict"
            )
    return tuple(dict.fromkeys(verdicts))


def assemble(
    results: Sequence[CellResult],
    *,
    fail_on: Sequence[Verdict] | None,
    commit: str | None,
    family_size: int,
    alpha: float,
    now: datetime,
) -> GateReport:
    """The report of all cells, worst first, with the verdict of the whole.

    Args:
        results: one a cell.
        fail_on: what `fail_on_verdicts` returned.
        commit: the commit under test, where there is one.
        family_size: C, the cells that share alpha.
        alpha: false-alarm rate of the whole run.
        now: the clock, with a time zone.
    """
    verdict, exit_code = decide_run(results, fail_on)
    return GateReport(
        gate_version=gate_version(),
        created=now.isoformat(timespec="seconds"),
        commit=commit,
        verdict=verdict,
        exit_code=exit_code,
        fail_on=tuple(STRICT_FAIL_ON if fail_on is None else fail_on),
        family_size=family_size,
        alpha=alpha,
        cells=tuple(sorted(results, key=lambda result: WORST_FIRST.index(result.verdict))),
    )


def write_report(outputs: Outputs, report: GateReport) -> None:
    """Write every form of the report, each all at once; raises StorageError."""
    forms = {
        outputs.report_json: report_json,
        outputs.report_markdown: render_markdown,
        outputs.report_junit: render_junit,
        outputs.badge: render_badge,
    }
    for path, render in forms.items():
        write_bytes(path, render(report).encode(), error=StorageError, hint=KEPT)


def write_page(source: Path, page: Path) -> None:
    """Write report.html from a report.json.

    Raises:
        UsageError: `source` is no report of this version; `page` cannot be written.
    """
    data = read_bytes(source, limit=REPORT_LIMIT, error=UsageError)
    try:
        report = GateReport.model_validate_json(data)
    except ValidationError as problem:
        raise UsageError(
            invalid_field(problem), where=str(source), hint="give the report.json of a run"
        ) from problem
    hint = "give another path, or make its folder writable"
    write_bytes(page, render_html(report).encode(), error=UsageError, hint=hint)
