"""From a report to the comment and the check run."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from github.IssueComment import IssueComment
from github.PullRequest import PullRequest

from gate.github.acceptance import accepted_on
from gate.github.checks import CHECK_NAME, CheckRuns
from gate.github.client import Hub, told
from gate.github.comment import StickyComment, note_on
from gate.github.hold import Hold
from gate.github.pulls import approved_by, require_head
from gate.model.result import GateReport
from gate.report.comment import Marker, render
from gate.report.context import Context
from gate.report.note import has_note, void_note


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
    """Post the check run as in progress; its address.

    What the comment says to be accepted for an earlier head is said to be void.
    """
    with told(hub.name):
        if target.pull is not None:
            require_head(target.pull, target.head_sha)
            note_on(
                hub, target.pull, target.head_sha, lambda old, marker: _void(old, marker, target.head_sha)
            )
        return CheckRuns(hub, target.head_sha, target.check_name).start(target.details_url).html_url


def _void(comment: IssueComment, marker: Marker, head_sha: str) -> str | None:
    return void_note(head_sha) if marker.head_sha != head_sha and has_note(comment.body) else None


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
        approved = None if context.attested else approved_by(hub, pull, target.head_sha)
        sticky = StickyComment(hub, pull, target.head_sha, lambda: require_head(pull, target.head_sha))

        def known(marker: Marker | None) -> Context:
            """Looked up before each write: an acceptance may come while a limit is waited for."""
            accepted = accepted_on(hub, pull, target.head_sha)
            return _followed(replace(context, accepted=accepted, approved_by=approved), marker)

        def body_of(marker: Marker | None) -> str:
            return render(report, known(marker)).comment

        comment = sticky.write(body_of)
        published = _publish_check(hub, target, report, known(sticky.find()), comment.html_url)
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
