"""`gate publish`: from a report to the comment and the check run, in Actions or anywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from github.PullRequest import PullRequest

from gate.cells import cells_of
from gate.check import CheckRequest, check_records
from gate.errors import UsageError
from gate.github.acceptance import accepted_on
from gate.github.checks import CHECK_NAME, CheckRuns
from gate.github.client import Credentials, Hub, Pace, told
from gate.github.comment import StickyComment
from gate.github.hold import Hold
from gate.github.pulls import SHA, approved_by, require_head
from gate.github.tracking import track
from gate.model import Cell, GateReport
from gate.report.comment import Marker, render
from gate.report.context import Context, Place


class Target(NamedTuple):
    """Where a report goes: a commit's check run, and a pull request's comment where there is one."""

    head_sha: str
    pull: PullRequest | None = None
    details_url: str | None = None
    check_name: str = CHECK_NAME


class Published(NamedTuple):
    """What was posted, and how the check run concluded."""

    conclusion: str
    check_url: str
    comment_url: str | None


def announce(hub: Hub, target: Target) -> str:
    """Post the check run as in progress; its address."""
    with told(hub.name):
        if target.pull is not None:
            require_head(target.pull, target.head_sha)
        return CheckRuns(hub, target.head_sha, target.check_name).start(target.details_url).html_url


def publish(hub: Hub, target: Target, report: GateReport, context: Context) -> Published:
    """Post the comment and conclude the check run.

    Args:
        hub: the repository.
        target: where to.
        report: decided from records with settings and baselines that can be trusted.
        context: what the caller knows; earlier heads, acceptances and approvals are read from GitHub.

    Raises:
        HeadMovedError: the pull request has another head: nothing is posted.
        GitHubError: GitHub said no.
    """
    with told(hub.name):
        if target.pull is None:
            return _publish_check(hub, target, report, context, None)
        pull = target.pull
        require_head(pull, target.head_sha)
        known = replace(
            context,
            accepted=accepted_on(hub, pull, target.head_sha),
            approved_by=None if context.attested else approved_by(hub, pull, target.head_sha),
        )
        sticky = StickyComment(hub, pull, target.head_sha, lambda: require_head(pull, target.head_sha))

        def body_of(marker: Marker | None) -> str:
            return render(report, _followed(known, marker)).comment

        comment = sticky.write(body_of)
        published = _publish_check(hub, target, report, _followed(known, sticky.find()), comment.html_url)
        # Seconds later: whoever was in the middle of writing about an earlier head has finished by now.
        if sticky.settle() is None:
            sticky.write(body_of)
        return published


def _publish_check(
    hub: Hub, target: Target, report: GateReport, context: Context, comment_url: str | None
) -> Published:
    rendered = render(report, context)
    text = Hold.of(report, context.accepted.keys(), trusted=context.trusted).text()
    checks = CheckRuns(hub, target.head_sha, target.check_name)
    run = checks.finish(rendered, target.details_url, text=text)
    return Published(rendered.conclusion, run.html_url, comment_url)


def _followed(context: Context, marker: Marker | None) -> Context:
    return replace(context, earlier=marker.followed_by(context.head_sha) if marker else ())


def _places(request: CheckRequest) -> dict[Cell, Place]:
    """Where the cells are defined, for annotations: only paths below the repository can have one."""
    specs = cells_of(request.paths, arch=request.arch, backends=request.backends)
    return {spec.cell: Place(spec.source, 1) for spec in specs if not Path(spec.source).is_absolute()}


@dataclass(frozen=True)
class PublishRequest:
    """What the command line asked for; `check` None only announces that a measurement goes on."""

    check: CheckRequest | None
    repository: str
    head_sha: str
    pull: int | None = None
    details_url: str | None = None
    check_name: str = CHECK_NAME
    attested: bool = False
    track: bool = False


def run(
    request: PublishRequest, environ: Mapping[str, str], pace: Pace | None = None
) -> tuple[GateReport | None, Published | str]:
    """Decide again from the records, and post; the report and what was posted.

    Raises:
        UsageError: the commit is not a whole one, the repository no name, or there is no token.
        RecordError, ConfigError, BaselineError: a file at hand is wrong.
        GitHubError: GitHub said no, or the head has moved.
    """
    if not SHA.fullmatch(request.head_sha):
        raise UsageError(
            f"{request.head_sha[:80]!r} is not a whole commit", hint="give --sha all of its digits"
        )
    if request.repository.count("/") != 1 or request.repository.strip("/") != request.repository:
        raise UsageError(f"{request.repository[:80]!r} is not a repository", hint="give --repo OWNER/NAME")
    report = None if request.check is None else check_records(request.check)
    hub = Hub(Credentials.from_environ(environ), request.repository, pace=pace)
    with told(f"{request.repository}#{request.pull}"):
        pull = None if request.pull is None else hub.repository.get_pull(request.pull)
    target = Target(request.head_sha, pull, request.details_url, request.check_name)
    if report is None:
        return None, announce(hub, target)
    report = report.model_copy(update={"commit": request.head_sha})
    context = Context(
        head_sha=request.head_sha,
        details_url=request.details_url,
        attested=request.attested,
        places=_places(request.check) if request.check else {},
        commands=pull is not None,
    )
    published = publish(hub, target, report, context)
    if request.track:
        track(hub, report, target.head_sha, details_url=target.details_url, check_name=target.check_name)
    return report, published
