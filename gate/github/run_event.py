"""The event that tells a reporting job which run measured what."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from gate.errors import UsageError

STARTED: Final = ("requested", "in_progress")
"""What `workflow_run` says of a run that goes on."""


class RunEvent(NamedTuple):
    """A run to report on.

    Args:
        run_id: of the run that measures.
        measured_on: the event that started it.
        going_on: whether it has only begun.
        of_another_run: whether the reporting job runs in a workflow of its own (`workflow_run`), and must
            find the pull request by the head that GitHub says this run had.
        pull: number of the pull request, where the event says it.
        head_sha: the commit that was measured.
        base_sha: what it is compared with, where there is no pull request.
        url: of the run, for people.
        labelled_by: who set the label that started it.
    """

    run_id: int
    measured_on: str
    going_on: bool
    of_another_run: bool
    pull: int | None
    head_sha: str
    base_sha: str
    url: str
    labelled_by: str | None = None


def read_run_event(path: Path, environ: Mapping[str, str]) -> RunEvent:
    """The event of a reporting job: `workflow_run`, or whatever started the workflow that it is a part of.

    Raises:
        UsageError: it is something else.
    """
    name = environ.get("GITHUB_EVENT_NAME", "")
    try:
        event: dict[str, Any] = json.loads(path.read_bytes())
        if name == "workflow_run":
            return _of_another_run(event)
        place = (environ[f"GITHUB_{part}"] for part in ("SERVER_URL", "REPOSITORY", "RUN_ID"))
        own = RunEvent(
            run_id=int(environ["GITHUB_RUN_ID"]),
            measured_on=name,
            going_on=False,
            of_another_run=False,
            pull=None,
            head_sha=environ["GITHUB_SHA"],
            base_sha=str(event.get("before") or ""),
            url="{}/{}/actions/runs/{}".format(*place),
        )
        if name == "pull_request":
            pull = event["pull_request"]
            head_sha, base_sha = str(pull["head"]["sha"]), str(pull["base"]["sha"])
            own = own._replace(pull=int(pull["number"]), head_sha=head_sha, base_sha=base_sha)
            labelled = event.get("action") == "labeled"
            return own._replace(labelled_by=str(event["sender"]["login"])) if labelled else own
        if name == "workflow_dispatch" and (event.get("inputs") or {}).get("pull-request"):
            inputs = event["inputs"]
            own = own._replace(pull=int(inputs["pull-request"]), head_sha=str(inputs["head-sha"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UsageError(
            f"is not an event of {name or 'a workflow'} that can be reported on",
            where=str(path),
            hint="mode: report belongs into a job of its own, on workflow_run or after the jobs that measure",
        ) from problem
    return own


def _of_another_run(event: Mapping[str, Any]) -> RunEvent:
    run = event["workflow_run"]
    return RunEvent(
        run_id=int(run["id"]),
        measured_on=str(run["event"]),
        going_on=event["action"] in STARTED,
        of_another_run=True,
        pull=None,
        head_sha=str(run["head_sha"]),
        base_sha="",
        url=str(run["html_url"]),
    )
