"""`mode: baseline`: without a token it collects, on the GPU machine; with one it opens the pull request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gate.action import inputs
from gate.action.run import Gate, Inputs
from gate.action.runner import Runner
from gate.errors import Exit

if TYPE_CHECKING:
    from gate.github.client import Pace

DEFAULT_REPEATS = "32"


def collect(environ: Mapping[str, str], gate: Gate) -> int:
    """Collect one run of fixed size of the checked-out commit; return the step's exit code.

    The store that the command writes is this machine's copy, which nobody reads: what counts is the record,
    and whoever has a token decides on it.

    Args:
        environ: the step's environment.
        gate: runs `gate` with these arguments and returns its exit code.

    Raises:
        UsageError: an input is missing.
    """
    runner, given = Runner(environ), Inputs.from_environ(environ)
    options = {
        "--repeats": inputs.value(environ, "repeats") or DEFAULT_REPEATS,
        "--reason": inputs.value(environ, "reason"),
        "--accepted-by": inputs.value(environ, "accepted-by"),
        "--accepted-head": given.head_sha or environ.get("GATE_HEAD_SHA", ""),
    }
    # It may differ from what is stored in everything: that is what is being accepted.
    meant = ["--new-epoch", "--new-fingerprint"]
    code = gate(["baseline", "collect", *meant, *given.measuring(environ, options)])
    runner.output({"records": str(given.out(environ).absolute() / "run-1" / "records")})
    return code


def accept(environ: Mapping[str, str], write: Callable[[str], object], pace: Pace | None = None) -> int:
    """Open the pull request with what was collected, and record the acceptance; return the step's exit code.

    With `to-branch` what was collected is committed there instead.

    Raises:
        GateError: the event is none of `/gate refresh`, a record is missing or refused, or GitHub said no.
    """
    from gate.github.checks import CHECK_NAME
    from gate.github.client import Credentials, Hub
    from gate.github.collected import Collected, accept_collected, read_order
    from gate.github.download import fetch_artifacts

    runner = Runner(environ)
    order = read_order(inputs.event_path(environ))
    hub = Hub(Credentials.from_environ(environ), environ.get("GITHUB_REPOSITORY", ""), pace=pace)
    folder = Path(environ.get("RUNNER_TEMP", "")) / "gate-baseline"
    artifacts = fetch_artifacts(hub, int(environ.get("GITHUB_RUN_ID") or 0), folder)
    collected = Collected(
        order=order,
        artifacts=tuple(artifacts),
        checkout=Path.cwd(),
        configs=Path(inputs.config_paths(environ)[0]).parent,
        baselines=Path(inputs.value(environ, "baselines") or "baselines"),
        to_branch=inputs.value(environ, "to-branch") or None,
        check_name=inputs.value(environ, "check-name") or CHECK_NAME,
    )
    done = accept_collected(hub, collected)
    runner.output({"pull-request-url": done.url})
    write(f"accepted: {done.url}")
    return Exit.PASS
