"""`mode: report`: what another job measured is decided again and posted, from a hosted runner."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from gate.action import inputs
from gate.action.runner import Runner, annotation
from gate.decide import STRICT_FAIL_ON
from gate.errors import Exit, HeadMovedError
from gate.github.client import Credentials, Hub, Pace
from gate.github.run_event import read_run_event
from gate.github.second_stage import Stage, report_run
from gate.model.result import GateReport, Verdict
from gate.report.markdown import render_markdown
from gate.report.schema import report_json
from gate.reporting import fail_on_verdicts


def run(environ: Mapping[str, str], write: Callable[[str], object], pace: Pace | None = None) -> int:
    """Report the run that the event is about; return the step's exit code.

    The step fails only where nothing could be posted: whether the change may merge is for the check run to
    say, and a red job beside it would say the same thing twice.

    Args:
        environ: the step's environment.
        write: takes the lines of the job's log.
        pace: how patient to be with GitHub.

    Raises:
        GateError: nothing was posted, and why.
    """
    runner = Runner(environ)
    runner.output({"verdict": Verdict.NOT_MEASURED.value})
    event = read_run_event(inputs.event_path(environ), environ)
    event = event._replace(going_on=event.going_on or inputs.flag(environ, "announce"))
    hub = Hub(Credentials.from_environ(environ), environ.get("GITHUB_REPOSITORY", ""), pace=pace)
    folder = Path(environ.get("RUNNER_TEMP", "")) / "gate-report"
    try:
        found = report_run(hub, stage_of(environ), event, folder / "artifacts", datetime.now(UTC))
    except HeadMovedError as error:
        write(annotation(str(error), "notice"))
        return Exit.PASS
    runner.output({"check-url": found.check_url})
    if found.report is None or found.published is None:
        write(f"announced: {found.check_url}")
        return Exit.PASS
    runner.output(_outputs(found.report, folder) | {"conclusion": found.published.conclusion})
    runner.summary((folder / "report.md").read_text(encoding="utf-8"))
    write(f"{found.report.verdict.value}: the check concluded {found.published.conclusion}")
    return Exit.PASS


def stage_of(environ: Mapping[str, str]) -> Stage:
    """What the inputs say of reporting.

    Raises:
        UsageError: an input cannot be read.
    """
    arch = inputs.value(environ, "arch")
    defaults = Stage((), Path(), ())
    return Stage(
        paths=tuple(map(Path, inputs.config_paths(environ))),
        baselines=Path(inputs.value(environ, "baselines") or "baselines"),
        fail_on=fail_on_verdicts(inputs.value(environ, "fail-on") or None) or STRICT_FAIL_ON,
        arch=None if arch in ("", "auto") else arch,
        workflow=inputs.value(environ, "workflow") or defaults.workflow,
        attested=inputs.flag(environ, "attested"),
        check_name=inputs.value(environ, "check-name") or defaults.check_name,
    )


def _outputs(report: GateReport, folder: Path) -> dict[str, str]:
    """The step's outputs; the reports are written for whoever wants to keep them."""
    report_file, markdown_file = folder / "report.json", folder / "report.md"
    report_file.write_text(report_json(report), encoding="utf-8")
    markdown_file.write_text(render_markdown(report), encoding="utf-8")
    failed = [str(cell.cell) for cell in report.cells if cell.verdict in report.fail_on]
    return {
        "verdict": report.verdict.value,
        "failed-cells": json.dumps(failed, separators=(",", ":")),
        "report-json": str(report_file),
        "report-md": str(markdown_file),
    }
