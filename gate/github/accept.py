"""The last step of an accepted change, on a hosted runner: a pull request with the new baseline, the words.

The collection measured exactly one head; whoever asked for it accepts what it found. So everything is asked
again here: is that still the head, may this person still write.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from github.IssueComment import IssueComment
from github.PullRequest import PullRequest

from gate.decide import Conclusion
from gate.errors import GitHubError, UsageError
from gate.github.acceptance import AcceptedCells, accepted_on
from gate.github.branches import Files, commit_on_branch, commit_on_new_branch, open_pull
from gate.github.checks import CHECK_NAME, CheckRuns
from gate.github.client import ACTIONS_LOGIN, Hub, told
from gate.github.comment import note_on
from gate.github.dispatch import Order
from gate.github.hold import Hold
from gate.github.pulls import may_write, require_head
from gate.model.canonical import sha256_of
from gate.model.cell import Cell
from gate.report import escape
from gate.report.comment import Marker
from gate.report.context import Accepted
from gate.report.note import accepted_note

_CONCLUSIONS: Final[dict[str, Conclusion]] = {
    name: name for name in ("success", "failure", "neutral", "action_required")
}
_NO_CI: Final = (
    "This pull request was opened with the token of Actions, which starts no workflows: close and open it "
    "again for CI to run, or give the job the token of an App."
)


@dataclass(frozen=True)
class NewBaselines:
    """What the collection made.

    Args:
        files: path from the repository's root -> the whole new content.
        based_on: the commit of the default branch that they were made from.
        table: before and after, as Markdown.
        tree: hash of the tree that was measured: by it the run is found on the default branch after a squash.
        provenance: of the runs, what may be shown.
        to_branch: commit on this branch instead of opening a pull request; not where it is protected.
    """

    files: Files
    based_on: str
    table: str
    tree: str
    provenance: Mapping[str, str]
    to_branch: str | None = None


class AcceptedChange(NamedTuple):
    """What was done: where the new baseline is, and how the check concludes now (None: not at all)."""

    url: str
    comment_url: str
    conclusion: str | None


def accept(hub: Hub, order: Order, new: NewBaselines, *, check_name: str = CHECK_NAME) -> AcceptedChange:
    """Open the pull request, record the acceptance, and let the check say so.

    Run again, it finds what it did before and does the rest.

    Raises:
        HeadMovedError: the pull request was pushed to: what was measured is not what would be merged.
        GitHubError: who asked may not write any more, or GitHub said no.
        UsageError: there is no reason, no cell or no file; or the commit would go to the pull request's own
            branch, where it would void what it accepts.
    """
    if not (order.reason.strip() and order.cells and new.files):
        raise UsageError(
            "an acceptance needs a reason, cells and new baselines",
            hint="run `/gate refresh` again from the comment, with --reason",
        )
    with told(f"{hub.name}#{order.pull}"):
        pull = hub.repository.get_pull(order.pull)
        require_head(pull, order.head_sha)
        if not may_write(hub, order.requested_by):
            raise GitHubError(
                f"{order.requested_by} may not write to this repository", hint="nothing was accepted"
            )
        if (
            new.to_branch == pull.head.ref
            and pull.head.repo is not None
            and pull.head.repo.full_name == hub.name
        ):
            raise UsageError(
                f"a commit on {new.to_branch} would be a new head of #{order.pull}, and void the acceptance",
                hint="leave `to-branch` empty, or name the default branch",
            )
        url = _commit(hub, order, new) if new.to_branch else _open(hub, order, new)
        then = "it counts once this pull request is merged" if new.to_branch else "merge it after this one"
        comment_url = _record(hub, pull, order, f"The new baseline is in {url}; {then}.")
        accepted = accepted_on(hub, pull, order.head_sha)
        _note(hub, pull, order, accepted)
        return AcceptedChange(url, comment_url, _conclude(hub, order, accepted, check_name))


def _open(hub: Hub, order: Order, new: NewBaselines) -> str:
    # Named after its content: the same job again makes the same branch, another collection another one.
    branch = f"gate/baseline-{order.pull}-{order.head_sha[:12]}-{sha256_of(dict(new.files))[:8]}"
    title = f"Baseline: accept {_named(order.cells)} of #{order.pull}"
    commit_on_new_branch(hub, branch, new.files, _message(title, order, new), new.based_on)
    return open_pull(hub, branch, title, _body(hub, order, new)).html_url


def _commit(hub: Hub, order: Order, new: NewBaselines) -> str:
    message = _message(f"Accept the baseline of {_named(order.cells)}", order, new)
    commit = commit_on_branch(hub, new.to_branch or "", new.files, message, new.based_on)
    return hub.repository.get_commit(commit).html_url


def _record(hub: Hub, pull: PullRequest, order: Order, where: str) -> str:
    record = AcceptedCells(
        head_sha=order.head_sha, by=order.requested_by, reason=order.reason, cells=order.cells
    )
    words = (
        f"Regression accepted by {escape.code('@' + order.requested_by)}: {escape.prose(order.reason)}\n\n"
        f"For {_shown(order.cells)} at `{order.head_sha[:12]}` only: a push makes it void. "
        f"{where}\n\n{record.marker()}\n"
    )

    def comment() -> str:
        for existing in pull.get_issue_comments():
            if existing.user and existing.user.login == hub.login and record.marker() in existing.body:
                return existing.html_url
        require_head(pull, order.head_sha)
        created = pull.create_issue_comment(words)
        hub.wrote_as(created.user.login)
        return created.html_url

    return hub.write(comment)


def _note(hub: Hub, pull: PullRequest, order: Order, accepted: Mapping[Cell, Accepted]) -> None:
    """Let the report say it at once; where it is about another head, the next report will."""

    def note(_comment: IssueComment, marker: Marker) -> str | None:
        return accepted_note(accepted, order.head_sha) if marker.head_sha == order.head_sha else None

    note_on(hub, pull, order.head_sha, note)


def _conclude(hub: Hub, order: Order, accepted: Collection[Cell], check_name: str) -> str | None:
    """Let the check run conclude as it would have, had the acceptances been there."""
    checks = CheckRuns(hub, order.head_sha, check_name)
    run = checks.latest()
    hold = Hold.find(run.output.text or "") if run is not None and run.output is not None else None
    if run is None or hold is None or run.status != "completed":
        return None
    left = Hold(tuple(cell for cell in hold.cells if cell not in accepted), hold.after)
    if left.cells:
        checks.conclude(
            run, _CONCLUSIONS[run.conclusion], f"{_named(left.cells)} not accepted yet", left.text()
        )
        return run.conclusion
    title = f"Regression accepted by @{order.requested_by}: {escape.printable(order.reason, 180)}"
    checks.conclude(run, hold.after, title, left.text())
    return hold.after


def _message(title: str, order: Order, new: NewBaselines) -> str:
    reason = escape.printable(order.reason)
    return (
        f"{title}\n\n{reason}\n\n"
        f"Accepted-by: {order.requested_by}\nFor-head: {order.head_sha}\nTree: {new.tree}\n"
    )


def _body(hub: Hub, order: Order, new: NewBaselines) -> str:
    rows = "\n".join(
        f"| {escape.prose(name)} | {escape.code(value)} |" for name, value in sorted(new.provenance.items())
    )
    note = f"\n> {_NO_CI}\n" if hub.login == ACTIONS_LOGIN else ""
    return (
        f"New baselines for #{order.pull}, measured in runs of fixed size.\n{note}\n{new.table}\n\n"
        f"**Reason:** {escape.prose(order.reason)}\n\n"
        f"| | |\n| --- | --- |\n"
        f"| accepted by | {escape.code('@' + order.requested_by)} |\n"
        f"| for head | `{order.head_sha}` |\n| tree | {escape.code(new.tree)} |\n{rows}\n\n"
        f"**Merge #{order.pull} first:** "
        "what was measured must be on the default branch before it is what others are held against.\n"
    )


def _named(cells: tuple[Cell, ...]) -> str:
    return str(cells[0]) if len(cells) == 1 else f"{len(cells)} cells"


def _shown(cells: tuple[Cell, ...]) -> str:
    names = ", ".join(escape.code(str(cell)) for cell in cells[:10])
    return f"{names} and {len(cells) - 10} more" if len(cells) > 10 else names  # noqa: PLR2004
