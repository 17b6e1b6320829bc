"""`mode: command`: slash commands in a new comment, on a hosted runner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from gate.action import inputs
from gate.cells import cells_of
from gate.errors import Exit
from gate.github.checks import CHECK_NAME
from gate.github.client import Credentials, Hub, Pace
from gate.github.dispatch import Workflows
from gate.github.event import read_event
from gate.github.respond import Settings, respond


def run(environ: Mapping[str, str], write: Callable[[str], object], pace: Pace | None = None) -> int:
    """Do what the comment of the event asks for, if its author may; return the step's exit code.

    Raises:
        GateError: an input or the event is wrong, or GitHub cannot be reached.
    """
    event = read_event(inputs.event_path(environ))
    arch = inputs.value(environ, "arch")
    specs = cells_of(
        [Path(path) for path in inputs.config_paths(environ)], arch=None if arch in ("", "auto") else arch
    )
    defaults = Workflows()
    settings = Settings(
        cells=tuple(spec.cell for spec in specs),
        workflows=Workflows(
            rerun=Path(inputs.value(environ, "workflow") or defaults.rerun).name,
            refresh=Path(inputs.value(environ, "baseline-workflow") or defaults.refresh).name,
        ),
        bots=tuple(inputs.words(environ, "bots")),
        check_name=inputs.value(environ, "check-name") or CHECK_NAME,
    )
    hub = Hub(Credentials.from_environ(environ), environ.get("GITHUB_REPOSITORY", ""), pace=pace)
    for outcome in respond(hub, event, settings):
        write("done" if outcome.done else "not done; the answer says why")
    return Exit.PASS
