"""The GitHub Action's `mode: run`: inputs -> `gate run` -> outputs and job summary.

`action.yml` maps each input to a variable (composite steps get no INPUT_*) and `exec`s this module, so that
the signals of a cancelled job reach the process that holds the engine.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, NamedTuple

from gate import cli
from gate.errors import Exit, GateError, UsageError
from gate.model import GateReport, Verdict

PREFIX: Final = "GATE_INPUT_"
DEFAULT_OUT: Final = "gate-out"
# GitHub refuses a job summary of more than 1 MiB a step.
SUMMARY_BYTES: Final = 1024 * 1024
_SUMMARY_CUT: Final = "\n\nThe report is longer than a job summary may be; the rest is in report.md.\n"

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
    out_dir: str

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Inputs:
        """Read GATE_INPUT_*; a missing variable is an empty input."""
        return cls(**{field.name: environ.get(variable(field.name), "").strip() for field in fields(cls)})

    def out(self, environ: Mapping[str, str]) -> Path:
        """Where the run leaves its files: out-dir, else gate-out below the runner's temp folder."""
        return Path(self.out_dir or Path(environ.get("RUNNER_TEMP", "")) / DEFAULT_OUT)

    def arguments(self, environ: Mapping[str, str]) -> list[str]:
        """The command line of `gate`.

        Raises:
            UsageError: no config is named, or a quote is not closed.
        """
        options = {
            "--arch": self.arch,
            "--baselines": self.baselines,
            "--engine-command": self.engine_command,
            "--engine-image": self.engine_image,
            "--confirm-with": self.base_engine_command,
            "--confirm-with-image": self.base_engine_image,
            "--model": self.model_dir,
            "--hf-home": self.hf_home,
            "--dataset-path": self.dataset_path,
            "--fail-on": self.fail_on,
            "--family-size": self.cells_in_family,
            "--head-sha": environ.get("GATE_HEAD_SHA", ""),
            "--base-sha": environ.get("GATE_BASE_SHA", ""),
            "--out": str(self.out(environ)),
        }
        given = [f"{option}={value}" for option, value in options.items() if value]
        backends = [f"--backend={name}" for name in self.backends.replace(",", " ").split()]
        return ["run", *backends, *given, "--", *self._config_paths()]

    def _config_paths(self) -> list[str]:
        try:
            paths = shlex.split(self.configs)
        except ValueError as error:
            raise UsageError(f"the input configs cannot be split: {error}", hint="close the quote") from error
        if not paths:
            raise UsageError("the input configs is empty", hint="name configs (*.yaml) or lists (*.txt)")
        return paths


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


def variable(name: str) -> str:
    """The environment variable of an input: engine-command or engine_command -> GATE_INPUT_ENGINE_COMMAND."""
    return PREFIX + name.replace("-", "_").upper()


def run(environ: Mapping[str, str], gate: Gate, write: Callable[[str], object]) -> int:
    """Run gate with the action's inputs; write outputs and summary; return the step's exit code.

    The outputs say `not_measured` from the start: a process that is killed has said so already.

    Args:
        environ: the step's environment.
        gate: runs `gate` with these arguments and returns its exit code.
        write: takes the lines of the job's log.
    """
    outputs, summary = _runner_file(environ, "GITHUB_OUTPUT"), _runner_file(environ, "GITHUB_STEP_SUMMARY")
    inputs = Inputs.from_environ(environ)
    out = inputs.out(environ).absolute()
    _append(
        outputs, render_outputs(Result(Verdict.NOT_MEASURED, (), None, None, Exit.NOT_MEASURED).outputs())
    )
    for stale in (out / "report.json", out / "report.md"):
        stale.unlink(missing_ok=True)
    try:
        code = gate(inputs.arguments(environ))
    except GateError as error:
        write(str(error))
        code = error.exit_code
    result = result_of(out, code)
    _append(outputs, render_outputs(result.outputs()))
    _append(summary, render_summary(result))
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


def render_outputs(outputs: Mapping[str, str]) -> str:
    """Lines for GITHUB_OUTPUT; no value can end its own block, because the delimiter is random."""
    delimiter = f"gate-{secrets.token_hex(16)}"
    return "".join(f"{name}<<{delimiter}\n{value}\n{delimiter}\n" for name, value in outputs.items())


def render_summary(result: Result) -> str:
    """The job summary: report.md, cut at a line where GitHub would refuse it."""
    if result.report_md is None:
        return (
            f"## vllm-eval-gate: {result.verdict.value}\n\n"
            f"The run ended (exit {result.exit_code}) before there was a report; the step's log says why.\n"
        )
    text = result.report_md.read_bytes()
    if len(text) > SUMMARY_BYTES:
        room = SUMMARY_BYTES - len(_SUMMARY_CUT.encode())
        text = text[: text.rindex(b"\n", 0, room)] + _SUMMARY_CUT.encode()
    return text.decode()


def annotation(text: str) -> str:
    """A workflow command that shows an error on the job's page."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::error title=vllm-eval-gate::{escaped}"


def _runner_file(environ: Mapping[str, str], name: str) -> Path:
    if not environ.get(name):
        raise UsageError(
            f"{name} is not set", hint="gate.action is for GitHub Actions; on a command line use `gate run`"
        )
    return Path(environ[name])


def _if_file(path: Path) -> Path | None:
    return path if path.is_file() else None


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def run_gate(arguments: Sequence[str]) -> int:
    """Run the command line in this process, which the runner's signals reach; return its exit code."""
    try:
        cli.main(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else Exit.NOT_MEASURED
    return Exit.PASS


def main() -> int:
    """The entry point of action.yml's run step."""
    try:
        return run(os.environ, run_gate, print)
    except GateError as error:
        print(annotation(str(error)))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
