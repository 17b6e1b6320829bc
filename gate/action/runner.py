"""What a step tells its runner: outputs, the job summary, annotations."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gate.errors import UsageError

# GitHub refuses a job summary of more than 1 MiB a step.
SUMMARY_BYTES: Final = 1024 * 1024
_SUMMARY_CUT: Final = "\n\nThe report is longer than a job summary may be; the rest is in report.md.\n"


class Runner:
    """The files by which a runner takes what a step says.

    Raises:
        UsageError: this is not a step of GitHub Actions.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._output = _runner_file(environ, "GITHUB_OUTPUT")
        self._summary = _runner_file(environ, "GITHUB_STEP_SUMMARY")

    def output(self, outputs: Mapping[str, str]) -> None:
        """Set outputs; the last one of a name wins."""
        _append(self._output, render_outputs(outputs))

    def summary(self, text: str) -> None:
        """Add to the job summary, cut at a line where GitHub would refuse it."""
        data = text.encode()
        if len(data) > SUMMARY_BYTES:
            room = SUMMARY_BYTES - len(_SUMMARY_CUT.encode())
            text = (data[: data.rindex(b"\n", 0, room)] + _SUMMARY_CUT.encode()).decode()
        _append(self._summary, text)


def render_outputs(outputs: Mapping[str, str]) -> str:
    """Lines for GITHUB_OUTPUT; no value can end its own block, because the delimiter is random."""
    delimiter = f"gate-{secrets.token_hex(16)}"
    return "".join(f"{name}<<{delimiter}\n{value}\n{delimiter}\n" for name, value in outputs.items())


def annotation(text: str, level: str = "error") -> str:
    """A workflow command that shows an error (or a notice) on the job's page."""
    escaped = text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} title=vllm-eval-gate::{escaped}"


def _runner_file(environ: Mapping[str, str], name: str) -> Path:
    if not environ.get(name):
        raise UsageError(
            f"{name} is not set", hint="gate.action is for GitHub Actions; on a command line use `gate run`"
        )
    return Path(environ[name])


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
