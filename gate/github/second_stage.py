"""The second stage, on a hosted runner: what a run uploaded is decided again, and posted.

Nothing of the pull request is checked out or run here; the folder at hand is the base branch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from github.PullRequest import PullRequest

from gate.cells import CellSpec, cells_of
from gate.github.artifact import ArtifactError
from gate.github.changes import changed_paths, touched
from gate.github.checks import CHECK_NAME
from gate.github.client import Hub, told
from gate.github.download import fetch_artifacts
from gate.github.head_runs import runs_of_head
from gate.github.publish import Published, Target, announce, publish
from gate.github.pulls import head_of_run, pull_of, require_head
from gate.github.received import Heads
from gate.github.redecide import Base, Redecided, continued, redecide, refused
from gate.github.run_event import RunEvent
from gate.github.tracking import track
from gate.model.cell import Cell
from gate.model.result import GateReport, Verdict
from gate.report.context import Context, Place

_HARNESS: Final = ("workflows", "the gate's pin", "more files than GitHub lists")
"""Whoever changes one of these may have changed what measures."""

_TRACKED: Final = ("push", "schedule")
"""What happens without a pull request: what regresses is kept in an issue per config."""
Fetch = Callable[[Hub, int, Path], Sequence[Path]]
"""Gets what a run uploaded: of which repository, of which run, where to."""


@dataclass(frozen=True)
class Stage:
    """What the base branch says of reporting.

    Args:
        paths: its configs and lists, relative to its root.
        baselines: its store.
        fail_on: the verdicts that fail the check.
        arch: of configs that no list maps to hardware.
        workflow: path of the only workflow whose runs are reported on.
        attested: whether that workflow measures with the pinned gate outside of the engine's container and
            user, which only those who set up its runners can say.
        check_name: of the check run.
    """

    paths: tuple[Path, ...]
    baselines: Path
    fail_on: tuple[Verdict, ...]
    arch: str | None = None
    workflow: str = ".github/workflows/gate.yml"
    attested: bool = False
    check_name: str = CHECK_NAME


class Reported(NamedTuple):
    """What was posted; no report and no verdict where a run has only begun."""

    report: GateReport | None
    published: Published | None
    check_url: str


def report_run(
    hub: Hub, stage: Stage, event: RunEvent, folder: Path, now: datetime, *, fetch: Fetch = fetch_artifacts
) -> Reported:
    """Announce a run that has begun; decide and post one that has ended, however it ended.

    Args:
        hub: the repository.
        stage: what the base branch says.
        event: the run.
        folder: where to fetch what it uploaded.
        now: the clock, with a time zone.
        fetch: where from.

    Raises:
        HeadMovedError: the pull request has another head by now: nothing is posted.
        GitHubError: it is a run of another workflow, no pull request has this head, or GitHub said no.
        ConfigError, BaselineError: a file of the base branch is wrong.
    """
    with told(hub.name):
        pull = _pull(hub, stage, event)
        target = Target(event.head_sha, pull, event.url or None, stage.check_name)
        if event.going_on:
            return Reported(None, None, announce(hub, target))
        changed = None if pull is None else changed_paths(pull)
        specs = cells_of(stage.paths, arch=stage.arch)
        base = Base(specs, stage.baselines, _event(event), changed, stage.fail_on)
        base_sha = event.base_sha or (pull.base.sha if pull is not None else "")
        heads = Heads(event.head_sha, base_sha)
        touches = () if pull is None else _touches(stage, changed)
        pinned = stage.attested and not set(touches) & set(_HARNESS)

        def decided(run_id: int) -> Redecided:
            try:
                files = fetch(hub, run_id, folder / str(run_id))
                return redecide(files, base, heads, now=now, pinned=pinned, merged=pull is None)
            except ArtifactError as error:
                return refused(error, base, heads, now=now)

        runs = _runs(hub, stage, event, pull)
        found = reduce(
            lambda earlier, later: continued(earlier, later, base, heads, now=now), map(decided, runs)
        )
    context = Context(
        head_sha=event.head_sha,
        base_sha=heads.base_sha or None,
        details_url=event.url or None,
        attested=found.attested,
        merged=pull is None,
        touches=touches,
        not_selected=found.not_selected,
        unknown=found.strangers,
        unreadable=found.unreadable,
        places=_places(specs),
        commands=pull is not None,
    )
    published = publish(hub, target, found.report, context)
    if pull is None and event.measured_on in _TRACKED:
        track(hub, found.report, event.head_sha, details_url=event.url or None, check_name=stage.check_name)
    return Reported(found.report, published, published.check_url)


def _pull(hub: Hub, stage: Stage, event: RunEvent) -> PullRequest | None:
    """The pull request that was measured, by what GitHub says of it; its head must be the one measured."""
    if event.of_another_run:
        head = head_of_run(hub, event.run_id, workflow=stage.workflow, event=event.measured_on)
        return pull_of(hub, head) if event.measured_on == "pull_request" else None
    if event.pull is None:
        return None
    pull = hub.repository.get_pull(event.pull)
    require_head(pull, event.head_sha)
    return pull


def _runs(hub: Hub, stage: Stage, event: RunEvent, pull: PullRequest | None) -> tuple[int, ...]:
    """The runs that measured the head; outside of Actions, and without a pull request, the one at hand."""
    if pull is None or not event.run_id:
        return (event.run_id,)
    return runs_of_head(hub, pull, event.head_sha, stage.workflow, event.run_id)


def _event(event: RunEvent) -> str:
    """The event that `when:` is asked about: a rerun of a pull request is one of the pull request."""
    return "pull_request" if event.pull is not None else event.measured_on


def _touches(stage: Stage, changed: tuple[str, ...] | None) -> tuple[str, ...]:
    configs = [PurePosixPath(path.as_posix()) for path in stage.paths]
    return touched(changed, configs, PurePosixPath(stage.baselines.as_posix()))


def _places(specs: tuple[CellSpec, ...]) -> dict[Cell, Place]:
    return {spec.cell: Place(spec.source, spec.line) for spec in specs if not Path(spec.source).is_absolute()}
