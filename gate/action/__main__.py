"""The entry point of action.yml: one mode, one module.

`action.yml` maps each input to a variable (composite steps get no INPUT_*) and `exec`s this package, so that
the signals of a cancelled job reach the process that holds the engine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from gate.action import inputs
from gate.action.runner import annotation
from gate.errors import GateError, UsageError


def main(environ: Mapping[str, str] | None = None) -> int:
    """Run the mode that the inputs name; an error is shown on the job's page."""
    given = os.environ if environ is None else environ
    try:
        return _run(inputs.value(given, "mode") or "run", given)
    except GateError as error:
        print(annotation(str(error)))
        return error.exit_code


def _run(mode: str, environ: Mapping[str, str]) -> int:
    if mode == "run":
        from gate.action import run

        _refuse_tokens(environ)
        return run.run(environ, run.run_gate, print)
    if mode == "plan":
        from gate.action import plan

        return plan.run(environ, print)
    if mode == "report":
        from gate.action import report

        return report.run(environ, print)
    if mode == "command":
        from gate.action import command

        return command.run(environ, print)
    if mode == "baseline":
        from gate.action import baseline, run

        if environ.get("GATE_GITHUB_TOKEN"):
            return baseline.accept(environ, print)
        return baseline.collect(environ, run.run_gate)
    raise UsageError(
        f"mode {mode!r} is not supported", hint="set `mode:` to run, plan, report, command or baseline"
    )


def _refuse_tokens(environ: Mapping[str, str]) -> None:
    """The engine under test is contributors' code: where it runs there is nothing to steal."""
    if environ.get("GATE_GITHUB_TOKEN"):
        raise UsageError(
            "the input github-token is given to the job that runs the engine",
            hint="measure without a token, and report from a job of its own (mode: report)",
        )


if __name__ == "__main__":
    sys.exit(main())
