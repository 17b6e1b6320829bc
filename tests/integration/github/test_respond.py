"""Slash commands from the event to the dispatch, the reactions and the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.errors import UsageError
from gate.github.acceptance import AcceptedCells
from gate.github.client import ACTIONS_LOGIN
from gate.github.event import CommentEvent, read_event
from gate.github.respond import Outcome, Settings, respond
from gate.model.cell import Cell
from gate.model.result import Verdict
from gate.report.comment import Marker
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.calls import Reply
from tests.support.github_fake.state import Pull, Repository
from tests.support.hubs import hub

AITER = Cell(arch="gfx950", config="gpt-oss-20b", backend="aiter")
TRITON = Cell(arch="gfx950", config="gpt-oss-20b", backend="triton")
SETTINGS = Settings(cells=(AITER, TRITON))
DISPATCH = "actions/create-workflow-dispatch"
LATER = "2026-11-24T10:00:00Z"

Say = Callable[..., tuple[Outcome, ...]]


@pytest.fixture
def say(fake: FakeGitHub, repository: Repository, pull: Pull) -> Say:
    """Somebody writes a comment, and the workflow that listens does its work."""
    repository.workflows |= {"gate.yml", "gate-baseline.yml"}

    def said(
        body: str, login: str = "mia", *, settings: Settings = SETTINGS, edited: bool = False, **changes: Any
    ) -> tuple[Outcome, ...]:
        comment = repository.comment(pull.number, login, body + (" (edited)" if edited else ""))
        event = CommentEvent(
            "created", pull.number, True, comment["id"], body, login, login.endswith("[bot]"), LATER
        )
        return respond(hub(fake), event._replace(**changes), settings)

    return said


def answer(repository: Repository, pull: Pull) -> str:
    return str(repository.comments_on(pull.number)[-1]["body"])


def reactions(repository: Repository) -> list[str]:
    return [reaction["content"] for reaction in repository.reactions]


def test_a_refresh_starts_the_collection_of_exactly_this_head(
    say: Say, repository: Repository, pull: Pull
) -> None:
    say(f'/gate refresh aiter @{pull.head} --reason "int4 is worth it"')
    assert repository.dispatches == [
        {
            "workflow": "gate-baseline.yml",
            "ref": "main",
            "inputs": {
                "pull-request": str(pull.number),
                "head-sha": pull.head,
                "cells": '["gfx950/gpt-oss-20b/aiter"]',
                "requested-by": "mia",
                "reason": "int4 is worth it",
            },
        }
    ]
    assert reactions(repository) == ["eyes", "+1"]
    assert f"`gfx950/gpt-oss-20b/aiter` at `{pull.head[:12]}` is measured" in answer(repository, pull)


def test_a_rerun_without_names_is_of_every_cell(say: Say, repository: Repository, pull: Pull) -> None:
    say(f"/gate rerun @{pull.head}")
    (started,) = repository.dispatches
    assert started["workflow"] == "gate.yml"
    assert json.loads(started["inputs"]["cells"]) == [str(AITER), str(TRITON)]


def test_several_commands_are_answered_in_one_comment(say: Say, repository: Repository, pull: Pull) -> None:
    outcomes = say(f"/gate status\n/gate rerun triton @{pull.head}\n/gate frobnicate")
    assert [outcome.done for outcome in outcomes] == [True, True, False]
    assert len(repository.comments_on(pull.number)) == 2
    assert reactions(repository) == ["eyes", "confused"]
    assert "the commands are status, rerun and refresh" in answer(repository, pull)


@pytest.mark.parametrize("login", ["contributor", "tess", "stranger"])
def test_somebody_without_write_access_is_answered_and_nothing_is_started(
    say: Say, repository: Repository, pull: Pull, login: str
) -> None:
    say(f"/gate rerun @{pull.head}", login)
    assert repository.dispatches == []
    assert reactions(repository) == ["eyes", "confused"]
    assert "only people with write access" in answer(repository, pull)


@pytest.mark.parametrize("login", ["wim", "mia", "adam"])
def test_write_access_or_more_is_enough(say: Say, repository: Repository, pull: Pull, login: str) -> None:
    say(f"/gate rerun @{pull.head}", login)
    assert len(repository.dispatches) == 1


def test_a_bot_is_not_even_answered_unless_it_is_listed(say: Say, repository: Repository, pull: Pull) -> None:
    repository.roles["merge[bot]"] = "write"
    assert say(f"/gate rerun @{pull.head}", "merge[bot]") == ()
    assert repository.reactions == []
    assert repository.dispatches == []
    say(f"/gate rerun @{pull.head}", "merge[bot]", settings=replace(SETTINGS, bots=("merge[bot]",)))
    assert len(repository.dispatches) == 1


def test_a_listed_bot_needs_write_access_all_the_same(say: Say, repository: Repository, pull: Pull) -> None:
    say(f"/gate rerun @{pull.head}", "merge[bot]", settings=replace(SETTINGS, bots=("merge[bot]",)))
    assert repository.dispatches == []


@pytest.mark.parametrize("changes", [{"action": "edited"}, {"action": "deleted"}])
def test_only_new_comments_give_commands(
    say: Say, fake: FakeGitHub, repository: Repository, pull: Pull, changes: dict[str, Any]
) -> None:
    assert say(f"/gate rerun @{pull.head}", **changes) == ()
    assert fake.writes() == []


def test_a_comment_that_was_edited_before_it_was_read_is_refused(
    say: Say, repository: Repository, pull: Pull
) -> None:
    say(f"/gate rerun @{pull.head}", edited=True)
    assert repository.dispatches == []
    assert "was edited meanwhile" in answer(repository, pull)


def test_a_commit_that_is_not_the_head_is_refused(say: Say, repository: Repository, pull: Pull) -> None:
    old = pull.head
    pull.push("something else\n")
    say(f'/gate refresh aiter @{old} --reason "as reviewed"')
    assert repository.dispatches == []
    assert f"its head is {pull.head[:12]} by now" in answer(repository, pull)


def test_a_push_between_the_check_and_the_start_is_noticed(
    say: Say, fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    limited = Reply(403, {"message": "secondary rate limit"}, {"Retry-After": "60"})
    fake.fail(DISPATCH, reply=limited, meanwhile=lambda: pull.push("sneaked in\n"))
    say(f"/gate rerun @{pull.head}")
    assert repository.dispatches == []


@pytest.mark.parametrize("given", ["", " @{digits}"])
def test_without_a_whole_commit_the_one_of_our_report_is_meant(
    say: Say, repository: Repository, pull: Pull, given: str
) -> None:
    repository.comment(pull.number, ACTIONS_LOGIN, f"report\n{Marker(pull.head, Verdict.REGRESSION)}")
    say("/gate rerun aiter" + given.format(digits=pull.head[:7]))
    assert [d["inputs"]["head-sha"] for d in repository.dispatches] == [pull.head]


@pytest.mark.parametrize("given", ["", " @{digits}"])
def test_a_report_that_changed_after_the_command_was_written_pins_nothing(
    say: Say, repository: Repository, pull: Pull, given: str
) -> None:
    report = repository.comment(pull.number, ACTIONS_LOGIN, f"report\n{Marker(pull.head, Verdict.PASS)}")
    report["updated_at"] = LATER
    say("/gate rerun aiter" + given.format(digits=pull.head[:7]))
    assert repository.dispatches == []
    assert "give all digits of the commit" in answer(repository, pull)


def test_digits_of_another_commit_than_the_reports_are_refused(
    say: Say, repository: Repository, pull: Pull
) -> None:
    repository.comment(pull.number, ACTIONS_LOGIN, f"report\n{Marker('a' * 40, Verdict.PASS)}")
    say(f"/gate rerun aiter @{pull.head[:7]}")
    assert repository.dispatches == []
    assert "is not the commit that the report here is about" in answer(repository, pull)


def test_without_a_report_the_commit_must_be_whole(say: Say, repository: Repository, pull: Pull) -> None:
    repository.comment(pull.number, "contributor", f"report\n{Marker(pull.head, Verdict.PASS)}")
    say("/gate rerun aiter")
    assert repository.dispatches == []
    assert "there is no report here yet" in answer(repository, pull)


def test_a_cell_that_does_not_exist_is_named(say: Say, repository: Repository, pull: Pull) -> None:
    say(f"/gate rerun atier @{pull.head}")
    assert repository.dispatches == []
    assert "no cell of the base branch is called `atier`" in answer(repository, pull)


def test_a_workflow_that_is_not_there_says_what_is_missing(
    say: Say, repository: Repository, pull: Pull
) -> None:
    repository.workflows.clear()
    say(f"/gate rerun @{pull.head}")
    assert "the workflow gate.yml could not be started (404)" in answer(repository, pull)


def test_more_cells_than_a_dispatch_holds_are_refused(say: Say, repository: Repository, pull: Pull) -> None:
    many = tuple(Cell(arch="gfx950", config=f"config-{n:04}", backend="b" * 40) for n in range(2000))
    say(f"/gate rerun @{pull.head}", settings=Settings(cells=many))
    assert repository.dispatches == []
    assert "name fewer" in answer(repository, pull)


def test_on_an_issue_there_is_nothing_to_do_and_it_says_so(
    say: Say, repository: Repository, pull: Pull
) -> None:
    say("/gate status", on_pull_request=False)
    assert "on pull requests only" in answer(repository, pull)


def test_the_status_tells_of_the_check_run_and_of_acceptances(
    say: Say, fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    say("/gate status")
    assert "nothing was reported" in answer(repository, pull)
    github = hub(fake).repository
    run = github.create_check_run("vllm-eval-gate", pull.head, external_id=f"vllm-eval-gate:{pull.head}")
    run.edit(conclusion="failure", output={"title": "Regression: a <drop>", "summary": "s"})
    record = AcceptedCells(head_sha=pull.head, by="mia", reason="@everyone look", cells=(AITER,))
    repository.comment(pull.number, ACTIONS_LOGIN, record.marker())
    say(f"/gate status @{pull.head}")
    said = answer(repository, pull)
    assert "[failure](https://github.com/org/engine/runs/" in said
    assert "a &#60;drop" in said
    assert "accepted by" in said
    assert "@everyone" not in said


def test_nobody_is_mentioned_and_nothing_quoted_in_an_answer(
    say: Say, repository: Repository, pull: Pull
) -> None:
    say('/gate refresh @everyone <img src=x> --reason "@everyone"\n/gate <script>')
    said = answer(repository, pull)
    assert "everyone" not in said
    assert "<img" not in said
    assert "<script" not in said


def test_a_comment_without_commands_is_nobodys_business(say: Say, fake: FakeGitHub, pull: Pull) -> None:
    assert say("Nice work.") == ()
    assert fake.writes() == []


def test_the_event_is_read_from_its_file(tmp_path: Path) -> None:
    event = {
        "action": "created",
        "issue": {"number": 7, "pull_request": {"url": "..."}},
        "comment": {
            "id": 5,
            "body": "/gate status",
            "user": {"login": "merge[bot]", "type": "Bot"},
            "created_at": LATER,
        },
    }
    path = tmp_path / "event.json"
    path.write_text(json.dumps(event))
    assert read_event(path) == CommentEvent("created", 7, True, 5, "/gate status", "merge[bot]", True, LATER)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"action": "created", "issue": {"number": 7}}'])
def test_an_event_of_another_kind_is_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "event.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="not the event of a comment"):
        read_event(path)
