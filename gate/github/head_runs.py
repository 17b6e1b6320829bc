"""The runs that measured one head: what the first of them decided stays decided, in whatever order they end.

A rerun is for what was not measured. Were it to judge again, whoever may start one could go on until chance
pleases; and of the cells that it does not name it has no records.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from github.PullRequest import PullRequest
from github.WorkflowRun import WorkflowRun

from gate.github.client import Hub

MOST_RUNS: Final = 10
"""So many are read, the oldest ones: the first that decided a cell is what counts."""
_MOST_LISTED: Final = 300


def run_name(head_sha: str) -> str:
    """What a workflow calls a run that a command started, of which GitHub knows no head (its `run-name`)."""
    return f"gate {head_sha}"


def runs_of_head(hub: Hub, pull: PullRequest, head_sha: str, workflow: str, run_id: int) -> tuple[int, ...]:
    """Ids of the runs of a workflow that measured this head, oldest first, `run_id` among them.

    Args:
        hub: the repository.
        pull: the pull request; a run of another repository's commit of the same SHA is none of it.
        head_sha: its head.
        workflow: path of the workflow that may measure.
        run_id: the run that is reported on; the others may have come before or after it.
    """
    fork = pull.head.repo.full_name if pull.head.repo is not None else None
    found = {
        run.id
        for run in itertools.chain(_of_the_head(hub, head_sha, fork), _of_commands(hub, pull, head_sha))
        if run.path.partition("@")[0] == workflow
    }
    return tuple(sorted({*sorted(found)[:MOST_RUNS], run_id}))


def _of_the_head(hub: Hub, head_sha: str, fork: str | None) -> Iterator[WorkflowRun]:
    runs = hub.repository.get_workflow_runs(event="pull_request", head_sha=head_sha)
    return (run for run in runs if run.head_repository.full_name == fork)


def _of_commands(hub: Hub, pull: PullRequest, head_sha: str) -> Iterator[WorkflowRun]:
    """Those of the default branch: who may push branches may not write what another one's run is called."""
    since = f">={pull.created_at:%Y-%m-%dT%H:%M:%SZ}"
    runs = hub.repository.get_workflow_runs(event="workflow_dispatch", created=since)
    default = hub.repository.default_branch
    return (
        run
        for run in itertools.islice(runs, _MOST_LISTED)
        if run.head_branch == default and run.display_title == run_name(head_sha)
    )
