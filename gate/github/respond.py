"""From a comment with slash commands to what is done about them, and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from github import GithubException
from github.IssueComment import IssueComment
from github.PullRequest import PullRequest

from gate.errors import GitHubError, HeadMovedError
from gate.github.acceptance import accepted_on
from gate.github.checks import CHECK_NAME, CheckRuns
from gate.github.client import Hub
from gate.github.commands import Command, Mistake, matching, parse, unmatched
from gate.github.comment import sticky_on
from gate.github.dispatch import Order, Workflows, dispatch, fits
from gate.github.event import CommentEvent
from gate.github.pulls import SHA, may_write, require_head
from gate.model.cell import Cell
from gate.report import escape

HELP: Final = (
    'Commands: `/gate status`, `/gate rerun [CELL...] [@SHA]`, `/gate refresh CELL... @SHA --reason "..."`.'
)


@dataclass(frozen=True)
class Settings:
    """What the workflow that listens says.

    Args:
        cells: those of the base branch's lists.
        workflows: what measures.
        bots: logins of bots that may give commands, as people with write access may.
        check_name: of the check run that `/gate status` tells of.
    """

    cells: tuple[Cell, ...]
    workflows: Workflows = field(default_factory=Workflows)
    bots: tuple[str, ...] = ()
    check_name: str = CHECK_NAME


class Outcome(NamedTuple):
    """What became of one command."""

    done: bool
    said: str


class Refusal(Exception):
    """A command that will not be done, and why."""


def respond(hub: Hub, event: CommentEvent, settings: Settings) -> tuple[Outcome, ...]:
    """Do what a comment asks for, if its author may; answer it.

    Only new comments count: an edit would let somebody change what somebody else wrote. A bot that is not
    listed gets no answer, for two bots could go on for ever.

    Raises:
        GithubException: GitHub cannot be reached, or the token lacks a permission.
    """
    if event.action != "created":
        return ()
    commands = parse(event.body)
    if not commands or (event.of_a_bot and event.login not in settings.bots):
        return ()
    issue = hub.repository.get_issue(event.number)
    comment = issue.get_comment(event.comment_id)
    hub.write(lambda: comment.create_reaction("eyes"))
    outcomes = _outcomes(hub, event, settings, comment, commands)
    _answer(hub, event, comment, outcomes)
    return outcomes


def _outcomes(
    hub: Hub,
    event: CommentEvent,
    settings: Settings,
    comment: IssueComment,
    commands: Sequence[Command | Mistake],
) -> tuple[Outcome, ...]:
    if not event.on_pull_request:
        return (Outcome(False, "this works on pull requests only"),)
    if not may_write(hub, event.login):
        return (Outcome(False, "only people with write access to this repository may give commands"),)
    if comment.body != event.body:
        return (Outcome(False, "the comment was edited meanwhile; write a new one"),)
    pull = hub.repository.get_pull(event.number)
    return tuple(_outcome(_Asked(hub, event, settings, pull), command) for command in commands)


def _outcome(asked: _Asked, command: Command | Mistake) -> Outcome:
    if isinstance(command, Mistake):
        return Outcome(False, f"{command.problem}. {HELP}")
    try:
        return Outcome(True, getattr(asked, command.name)(command))
    except Refusal as refusal:
        return Outcome(False, f"`{command.name}`: {refusal}")
    except (HeadMovedError, GitHubError) as error:
        return Outcome(False, f"`{command.name}`: {escape.prose(error.message)}")


class _Asked:
    """One comment's commands; each method does one of them and says what it did."""

    def __init__(self, hub: Hub, event: CommentEvent, settings: Settings, pull: PullRequest) -> None:
        self._hub = hub
        self._event = event
        self._settings = settings
        self._pull = pull

    def status(self, command: Command) -> str:
        head = self._head(command) if command.sha else self._pull.head.sha
        run = CheckRuns(self._hub, head, self._settings.check_name).latest()
        if run is None:
            return f"`status`: nothing was reported on `{head[:12]}` yet"
        state = (run.conclusion or run.status).replace("_", " ")
        title = f": {escape.prose(run.output.title)}" if run.output and run.output.title else ""
        lines = [f"`status` of `{head[:12]}`: [{state}]({run.html_url}){title}"]
        for cell, accepted in accepted_on(self._hub, self._pull, head).items():
            by, why = escape.code(f"@{accepted.by}"), escape.prose(accepted.reason)
            lines.append(f"  - regression of {escape.code(str(cell))} accepted by {by}: {why}")
        return "\n".join(lines)

    def rerun(self, command: Command) -> str:
        return self._order(
            command, self._settings.workflows.rerun, "is measured again where nothing was decided"
        )

    def refresh(self, command: Command) -> str:
        done = "is measured for a new baseline, in a run of fixed size; a pull request with it follows"
        return self._order(command, self._settings.workflows.refresh, done)

    def _order(self, command: Command, workflow: str, done: str) -> str:
        head, cells = self._head(command), self._cells(command)
        order = Order(self._pull.number, head, cells, self._event.login, command.reason or "")
        try:
            dispatch(self._hub, workflow, order, lambda: require_head(self._pull, head))
        except GithubException as error:
            if error.status not in (403, 404, 422):
                raise
            raise Refusal(
                f"the workflow {workflow} could not be started ({error.status}): is it on the default "
                "branch, with on: workflow_dispatch, and may this token write actions?"
            ) from error
        names = ", ".join(escape.code(str(cell)) for cell in cells[:10])
        more = f" and {len(cells) - 10} more" if len(cells) > 10 else ""  # noqa: PLR2004
        return f"`{command.name}`: {names}{more} at `{head[:12]}` {done}"

    def _cells(self, command: Command) -> tuple[Cell, ...]:
        if unknown := unmatched(command.cells, self._settings.cells):
            raise Refusal(f"no cell of the base branch is called {escape.code(unknown[0])}")
        cells = matching(command.cells, self._settings.cells)
        if not fits(cells):
            raise Refusal(f"{len(cells)} cells are more than one command can start; name fewer")
        return cells

    def _head(self, command: Command) -> str:
        """The whole commit that the command means, if it is the head.

        Somebody can make a commit with the first digits of another one. So digits, or none at all, mean the
        commit of our own comment, which must not have changed since the command was written.
        """
        meant = command.sha
        if meant is None or not SHA.fullmatch(meant):
            shown = sticky_on(self._hub, self._pull)
            if shown is None:
                raise Refusal("there is no report here yet; say which commit, with all its digits: @SHA")
            reported, marker = shown
            if meant is not None and not marker.head_sha.startswith(meant):
                raise Refusal(f"{escape.code('@' + meant)} is not the commit that the report here is about")
            if f"{reported.updated_at:%Y-%m-%dT%H:%M:%SZ}" >= self._event.created_at:
                raise Refusal("the report here has changed since; give all digits of the commit: @SHA")
            meant = marker.head_sha
        require_head(self._pull, meant)
        return meant


def _answer(hub: Hub, event: CommentEvent, comment: IssueComment, outcomes: Sequence[Outcome]) -> None:
    content = "+1" if all(outcome.done for outcome in outcomes) else "confused"
    hub.write(lambda: comment.create_reaction(content))
    lines = "\n".join(f"- {outcome.said}" for outcome in outcomes)
    text = f"{lines}\n\n<sub>[asked by]({comment.html_url}) {escape.code('@' + event.login)}</sub>\n"
    hub.write(lambda: hub.repository.get_issue(event.number).create_comment(text))
