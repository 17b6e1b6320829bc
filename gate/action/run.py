"""`mode: run`: inputs -> `gate run` -> outputs and job summary."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, NamedTuple

from gate import cli
from gate.action import inputs
from gate.action.runner import Runner, annotation
from gate.errors import Exit, GateError
from gate.model.result import GateReport, Verdict

DEFAULT_OUT: Final = "gate-out"

Gate = Callable[[Sequence[str]], int]


@dataclass(frozen=True)
class Inputs:
    """The inputs of `mode: run` as they arrive: text, empty where nothing was given.

    The names of the fields are those of action.yml's inputs, with _ for -.
    """

    configs: str
    backends: str
    arch: str
    baselines: str
    engine_command: str
    engine_image: str
    base_engine_command: str
    base_engine_image: str
    model_dir: str
    hf_home: str
    dataset_path: str
    fail_on: str
    cells_in_family: str
    head_sha: str
    base_sha: str
    out_dir: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Inputs:
        """Read GATE_INPUT_*; a missing variable is an empty input."""
        return cls(**{field.name: inputs.value(environ, field.name) for field in fields(cls)})

    def out(self, environ: Mapping[str, str]) -> Path:
        """Where the run leaves its files: out-dir, else gate-out below the runner's temp folder."""
        return Path(self.out_dir or Path(environ.get("RUNNER_TEMP", "")) / DEFAULT_OUT)

    def arguments(self, environ: Mapping[str, str]) -> list[str]:
        """The command line of `gate`.

        Raises:
            UsageError: no config is named, or a quote is not closed.
        """
        options = {
            "--confirm-with": self.base_engine_command,
            "--confirm-with-image": self.base_engine_image,
            "--fail-on": self.fail_on,
            "--family-size": self.cells_in_family,
            "--head-sha": self.head_sha or environ.get("GATE_HEAD_SHA", ""),
            "--base-sha": self.base_sha or environ.get("GATE_BASE_SHA", ""),
        }
        return ["run", *self.measuring(environ, options)]

    def measuring(self, environ: Mapping[str, str], more: Mapping[str, str]) -> list[str]:
        """What `run` and `baseline collect` both take, with more options of one of them; empty ones left out.

        Raises:
            UsageError: no config is named, or a quote is not closed.
        """
        options = {
            "--arch": self.arch,
            "--baselines": self.baselines,
            "--engine-command": self.engine_command,
            "--engine-image": self.engine_image,
            "--model": self.model_dir,
            "--hf-home": self.hf_home,
            "--dataset-path": self.dataset_path,
            "--out": str(self.out(environ)),
        }
        given = [f"{option}={value}" for option, value in {**options, **more}.items() if value]
        backends = [f"--backend={name}" for name in self.backends.replace(",", " ").split()]
        paths = inputs.config_paths({inputs.variable("configs"): self.configs})
        return [*backends, *given, "--", *paths]


class Result(NamedTuple):
    """What became of the run: the step's outputs and its exit code."""

    verdict: Verdict
    failed_cells: tuple[str, ...]
    report_json: Path | None
    report_md: Path | None
    exit_code: int

    def outputs(self) -> dict[str, str]:
        """The step's outputs, by the names of action.yml."""
        return {
            "verdict": self.verdict.value,
            "report-json": str(self.report_json or ""),
            "report-md": str(self.report_md or ""),
            "failed-cells": json.dumps(self.failed_cells, separators=(",", ":")),
        }


def run(environ: Mapping[str, str], gate: Gate, write: Callable[[str], object]) -> int:
    """Run gate with the action's inputs; write outputs and summary; return the step's exit code.

    The outputs say `not_measured` from the start: a process that is killed has said so already.

    Args:
        environ: the step's environment.
        gate: runs `gate` with these arguments and returns its exit code.
        write: takes the lines of the job's log.
    """
    runner = Runner(environ)
    given = Inputs.from_environ(environ)
    out = given.out(environ).absolute()
    runner.output(Result(Verdict.NOT_MEASURED, (), None, None, Exit.NOT_MEASURED).outputs())
    for stale in (out / "report.json", out / "report.md"):
        stale.unlink(missing_ok=True)
    try:
        code = gate(given.arguments(environ))
    except GateError as error:
        write(str(error))
        code = error.exit_code
    result = result_of(out, code)
    runner.output(result.outputs() | {"records": str(out / "records")})
    runner.summary(render_summary(result))
    if result.exit_code:
        write(
            annotation(f"{result.verdict.value}: {', '.join(result.failed_cells) or 'see the lines above'}")
        )
    return result.exit_code


def result_of(out: Path, code: int) -> Result:
    """What the report in `out` says, against the exit code of the process that wrote it.

    Only a complete report whose verdicts explain the exit code makes the step succeed.
    """
    report_json, report_md = _if_file(out / "report.json"), _if_file(out / "report.md")
    if report_json is None:
        failed = Exit.USAGE if code == Exit.USAGE else Exit.NOT_MEASURED
        return Result(Verdict.NOT_MEASURED, (), None, report_md, failed)
    report = GateReport.model_validate_json(report_json.read_bytes())
    blocking = tuple(str(cell.cell) for cell in report.cells if cell.verdict in report.fail_on)
    if code != report.exit_code or not report.cells:
        return Result(Verdict.NOT_MEASURED, blocking, report_json, report_md, code or Exit.NOT_MEASURED)
    worst = report.exit_code or Exit.NOT_MEASURED
    return Result(report.verdict, blocking, report_json, report_md, worst if blocking else Exit.PASS)


def render_summary(result: Result) -> str:
    """The job summary: report.md, or that there is none."""
    if result.report_md is None:
        return (
            f"## vllm-eval-gate: {result.verdict.value}\n\n"
            f"The run ended (exit {result.exit_code}) before there was a report; the step's log says why.\n"
        )
    return result.report_md.read_text(encoding="utf-8")


def _if_file(path: Path) -> Path | None:
    return path if path.is_file() else None


def run_gate(arguments: Sequence[str]) -> int:
    """Run the command line in this process, which the runner's signals reach; return its exit code."""
    try:
        cli.main(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else Exit.NOT_MEASURED
    return Exit.PASS
