"""`mode: plan`: the matrix of what an event measures, from the base branch's configs, on a hosted runner."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from gate.action import inputs
from gate.action.runner import Runner
from gate.cells import cells_of, matrix, selected
from gate.decide.words import count
from gate.errors import Exit, GitHubError, UsageError
from gate.github.changes import changed_paths
from gate.github.client import Credentials, Hub, Pace, told
from gate.github.pulls import may_write, require_head
from gate.github.run_event import read_run_event


class Planned(NamedTuple):
    """What is measured, and which commits are compared."""

    event: str
    changed: tuple[str, ...] | None
    head_sha: str
    base_sha: str
    head_repository: str


def run(environ: Mapping[str, str], write: Callable[[str], object], pace: Pace | None = None) -> int:
    """Plan what the event measures; return the step's exit code.

    A label on a fork's pull request measures the head that it was set on, if whoever set it may write.

    The cells are those that the base branch selects for this event. A rerun of some of them keeps the family
    of all of them, for they share one error rate.

    Raises:
        GateError: a config, an input or the event is wrong, or GitHub cannot be reached.
    """
    runner = Runner(environ)
    planned = _planned(environ, pace)
    arch = inputs.value(environ, "arch")
    paths = [Path(path) for path in inputs.config_paths(environ)]
    specs = cells_of(paths, arch=None if arch in ("", "auto") else arch)
    chosen = selected(specs, planned.event, planned.changed)
    jobs = matrix(chosen)["include"]
    if wanted := _wanted(environ):
        jobs = [job for job in jobs if job["cell"] in wanted]
        if missing := sorted(wanted - {job["cell"] for job in jobs}):
            raise UsageError(
                f"{len(missing)} of the cells asked for are not among those of this event",
                hint="name cells of the base branch's lists, as arch/config/backend",
            )
    runner.output(
        {
            "matrix": json.dumps({"include": jobs}, separators=(",", ":")),
            "cells": str(len(jobs)),
            "head-sha": planned.head_sha,
            "base-sha": planned.base_sha,
            "head-repository": planned.head_repository,
        }
    )
    for job in jobs:
        write(f"{job['cell']} on {' '.join(job['runs-on'])}, at most {job['timeout-minutes']} minutes")
    write(f"{len(jobs)} of {count(len(specs), 'cell')}; cells that share one error rate: {len(chosen)}")
    return Exit.PASS


def _planned(environ: Mapping[str, str], pace: Pace | None) -> Planned:
    event = read_run_event(inputs.event_path(environ), environ)
    own = environ.get("GITHUB_REPOSITORY", "")
    if event.pull is None:
        return Planned(event.measured_on, None, event.head_sha, event.base_sha, own)
    hub = Hub(Credentials.from_environ(environ), own, pace=pace)
    with told(hub.name):
        pull = hub.repository.get_pull(event.pull)
        require_head(pull, event.head_sha)
        head = pull.head.repo.full_name if pull.head.repo is not None else None  # a fork that was deleted
        if event.labelled_by is not None and head != own and not may_write(hub, event.labelled_by):
            raise GitHubError(
                f"the label was set by {event.labelled_by}, who may not write to this repository",
                where=f"{own}#{event.pull}",
                hint="somebody who may sets it, or writes: /gate rerun @SHA",
            )
        return Planned("pull_request", changed_paths(pull), event.head_sha, pull.base.sha, head or own)


def _wanted(environ: Mapping[str, str]) -> set[str]:
    """The cells that a dispatched rerun names; none, all of them, where it names none."""
    text = inputs.value(environ, "cells")
    if not text:
        return set()
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UsageError("the input cells is no JSON list of cells", hint='write ["arch/config/backend"]')
    return set(names)
