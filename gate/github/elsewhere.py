"""`gate publish`: the second stage outside of Actions, with records that lie in a folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gate.errors import UsageError
from gate.github.client import Credentials, Hub, Pace
from gate.github.pulls import SHA
from gate.github.run_event import RunEvent
from gate.github.second_stage import Reported, Stage, report_run


@dataclass(frozen=True)
class PublishRequest:
    """What the command line asked for.

    Args:
        records: the folder of the run records.
        stage: what the base branch says.
        repository: `owner/name`.
        head_sha: the commit that was measured.
        base_sha: what it was compared with; None is the pull request's base.
        pull: number of the pull request; None where there is none.
        event: what started the measurement, for `when:`.
        details_url: https address of the build.
        pending: only announce that a measurement goes on.
    """

    records: Path
    stage: Stage
    repository: str
    head_sha: str
    base_sha: str | None
    pull: int | None
    event: str
    details_url: str | None
    pending: bool


def publish_records(
    request: PublishRequest, environ: Mapping[str, str], now: datetime, pace: Pace | None = None
) -> Reported:
    """Decide again from the records, and post.

    A folder without records is a measurement that failed: every cell is `not_measured`.

    Raises:
        UsageError: a commit is not a whole one, the repository no name, or there is no token.
        ConfigError, BaselineError: a file at hand is wrong.
        GitHubError: GitHub said no, or the head has moved.
    """
    for option, commit in (("--sha", request.head_sha), ("--base-sha", request.base_sha)):
        if commit is not None and not SHA.fullmatch(commit):
            raise UsageError(f"{option} {commit[:80]!r} is not a whole commit", hint="give all of its digits")
    if request.repository.count("/") != 1 or request.repository.strip("/") != request.repository:
        raise UsageError(f"{request.repository[:80]!r} is not a repository", hint="give --repo OWNER/NAME")
    event = RunEvent(
        run_id=0,
        measured_on=request.event,
        going_on=request.pending,
        of_another_run=False,
        pull=request.pull,
        head_sha=request.head_sha,
        base_sha=request.base_sha or "",
        url=request.details_url or "",
    )

    def here(_hub: Hub, _run_id: int, _folder: Path) -> Sequence[Path]:
        return [request.records] if request.records.is_dir() else []

    hub = Hub(Credentials.from_environ(environ), request.repository, pace=pace)
    return report_run(hub, request.stage, event, request.records, now, fetch=here)
