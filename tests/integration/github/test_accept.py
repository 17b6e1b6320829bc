"""Accepting an intended change: the pull request with the new baseline, the words, what makes them void."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gate.baseline.store import parse
from gate.errors import GateError, GitHubError, HeadMovedError, UsageError
from gate.github.accept import AcceptedChange
from gate.github.acceptance import AcceptedCells, accepted_on
from gate.github.branches import commit_on_branch, commit_on_new_branch
from gate.github.checks import CheckRuns
from gate.github.client import told
from gate.github.collected import Collected, accept_collected, read_order
from gate.github.dispatch import Order
from gate.github.hold import MOST_CELLS, Hold
from gate.model.cell import Cell
from gate.model.result import Verdict
from gate.report.comment import Marker, Rendered
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.calls import Reply
from tests.support.github_fake.state import Fields, Pull, Repository
from tests.support.hubs import hub
from tests.support.measured import CELL
from tests.support.refreshing import TRITON, Checkout

STORED = f"baselines/{CELL.arch}/{CELL.config}/{CELL.backend}.json"
REASON = "int4 is worth it"


@pytest.fixture
def checkout(tmp_path: Path, repository: Repository) -> Checkout:
    """The default branch, checked out on the hosted runner."""
    made = Checkout(tmp_path / "runner")
    repository.git.fetch(_Local(made.folder), "refs/heads/main", "refs/heads/main")  # type: ignore[arg-type]
    return made


class _Local:
    def __init__(self, folder: Path) -> None:
        self.folder = folder


@pytest.fixture
def pull(repository: Repository, fork: Repository, checkout: Checkout) -> Pull:
    return repository.open_pull(fork, "topic")


@pytest.fixture
def order(pull: Pull) -> Order:
    return Order(pull.number, pull.head, (CELL,), "mia", REASON)


Take = Callable[..., AcceptedChange]


@pytest.fixture
def take(fake: FakeGitHub, checkout: Checkout, order: Order) -> Take:
    """The hosted job, after a collection of the head that found a lower score."""

    def taken(*, token: str | None = None, record: dict[str, Any] | None = None, **changes: Any) -> Any:
        meant = replace(order, **{k: v for k, v in changes.items() if hasattr(order, k)})
        given = {k: v for k, v in changes.items() if not hasattr(order, k)}
        origin = {"commit": meant.head_sha, "dirty": "false", "tree": "e" * 40, "engine_version": "0.32.0"}
        stream = "c" * 32
        measured = {"provenance": origin, "stream": stream, "question_order_seed": stream} | (record or {})
        checkout.measured(99, **measured)
        artifact = checkout.records / "run-1/records"
        collected = Collected(meant, (artifact,), checkout.folder, **given)
        return accept_collected(hub(fake, token), collected)

    return taken


def failed_check(fake: FakeGitHub, pull: Pull, *cells: Cell, after: str = "success") -> None:
    rendered = Rendered("", "Regression", "a drop is proven", "failure", ())
    text = Hold(cells or (CELL,), after).text()  # type: ignore[arg-type]
    CheckRuns(hub(fake), pull.head).finish(rendered, text=text)


def check(repository: Repository) -> Fields:
    (found,) = repository.checks.values()
    return found


def test_the_pull_request_says_before_after_why_who_and_for_what(
    take: Take, repository: Repository, pull: Pull, checkout: Checkout
) -> None:
    take()
    opened = repository.pulls[max(repository.pulls)]
    assert opened.title == f"Baseline: accept {CELL} of #{pull.number}"
    assert opened.base_ref == "main"
    body = opened.body.replace("\u200b", "")
    for said in (
        REASON,
        "<code>@mia</code>",
        pull.head,
        "e" * 40,
        "0.32.0",
        " -> ",
        "new epoch",
        "Merge #1 first",
    ):
        assert said in body
    data = repository.git.read(opened.head_ref, STORED)
    assert data is not None
    baseline = parse(data, where="fake")
    run = baseline.runs[-1]
    assert (run.provenance["for_head"], run.provenance["tree"]) == (pull.head, "e" * 40)
    last = baseline.history[-1]
    assert (last.accepted_by, last.reason, last.act) == ("mia", REASON, "epoch")
    assert repository.git.changed("main", opened.head_ref) == [STORED]
    assert repository.git.parents_of(opened.head) == [checkout.head]


def test_the_check_concludes_success_with_the_words(
    take: Take, fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    failed_check(fake, pull)
    assert take().conclusion == "success"
    assert check(repository)["conclusion"] == "success"
    assert check(repository)["output"]["title"] == f"Regression accepted by @mia: {REASON}"
    (comment,) = repository.comments_on(pull.number)
    assert "Regression accepted by" in comment["body"]
    assert "/pull/2; merge it after this one." in comment["body"]


def reported(repository: Repository, pull: Pull, head: str) -> Fields:
    """The sticky comment, as a report on a head left it."""
    body = f"## Regression\n\nThe table.\n\n{Marker(head, Verdict.REGRESSION)}\n"
    return repository.comment(pull.number, "github-actions[bot]", body)


def test_the_sticky_comment_says_at_once_who_accepted_what_of_which_commit_and_why(
    take: Take, fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    failed_check(fake, pull)
    comment = reported(repository, pull, pull.head)
    for _ in range(2):
        take()
        assert comment["body"].splitlines()[2:7] == [
            "<!-- vllm-eval-gate note -->",
            f"> **Accepted by <code>@\u200bmia</code>:** `{CELL}`: {REASON}  ",
            f"> For `{pull.head[:12]}` only: a push makes it void.",
            "<!-- vllm-eval-gate end of note -->",
            "",
        ]
    assert Marker.find(comment["body"]) == Marker(pull.head, Verdict.REGRESSION)
    assert "The table." in comment["body"]


def test_a_report_about_another_commit_is_not_said_to_be_accepted(
    take: Take, fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    comment = reported(repository, pull, "a" * 40)
    take()
    assert "Accepted" not in comment["body"]


def recorded(repository: Repository, pull: Pull, body: str) -> None:
    repository.comment(pull.number, "github-actions[bot]", body)


def test_the_acceptances_of_several_comments_add_up_and_each_person_is_asked_about_once(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    for cell, head in ((CELL, pull.head), (TRITON, pull.head), (CELL, "a" * 40)):
        of = AcceptedCells(head_sha=head, by="mia", reason=f"why {cell.backend}", cells=(cell,))
        recorded(repository, pull, of.marker())
    github = hub(fake)
    found = accepted_on(github, github.repository.get_pull(pull.number), pull.head)
    assert {cell: said.reason for cell, said in found.items()} == {
        cell: f"why {cell.backend}" for cell in (CELL, TRITON)
    }
    assert fake.count("repos/get-collaborator-permission-level") == 1


@pytest.mark.parametrize("data", ["AAAA", "e30=", "=="])
def test_a_record_that_cannot_be_read_accepts_nothing(
    fake: FakeGitHub, repository: Repository, pull: Pull, data: str
) -> None:
    recorded(repository, pull, f"<!-- vllm-eval-gate accepted={data} -->")
    github = hub(fake)
    assert accepted_on(github, github.repository.get_pull(pull.number), pull.head) == {}


def test_a_push_makes_it_void(take: Take, fake: FakeGitHub, repository: Repository, pull: Pull) -> None:
    failed_check(fake, pull)
    take()
    old = pull.head
    pull.push("another change\n")
    github = hub(fake)
    api = github.repository.get_pull(pull.number)
    assert set(accepted_on(github, api, old)) == {CELL}
    assert accepted_on(github, api, pull.head) == {}


def test_a_push_before_the_job_ends_stops_it(
    take: Take, fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    failed_check(fake, pull)
    head = pull.head
    fake.fail("issues/create-comment", reply=Reply(502, {"message": "x"}), meanwhile=lambda: pull.push("x\n"))
    with pytest.raises(HeadMovedError):
        take(head_sha=head)
    assert check(repository)["conclusion"] == "failure"
    assert repository.comments_on(pull.number) == []


def test_somebody_who_may_not_write_any_more_accepts_nothing(
    take: Take, fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    with pytest.raises(GitHubError, match="contributor may not write"):
        take(requested_by="contributor")
    assert fake.writes() == []


def test_what_else_failed_still_holds_the_check_up(
    take: Take, fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    failed_check(fake, pull, after="failure")
    assert take().conclusion == "failure"


def test_an_acceptance_of_one_of_two_cells_is_not_enough(
    take: Take, fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    failed_check(fake, pull, CELL, TRITON)
    assert take().conclusion == "failure"
    assert Hold.find(check(repository)["output"]["text"]) == Hold((TRITON,), "success")


def test_a_check_that_still_runs_is_left_to_its_report(
    take: Take, fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    CheckRuns(hub(fake), pull.head).start()
    assert take().conclusion is None
    assert check(repository)["status"] == "in_progress"


def test_the_same_job_again_does_nothing_twice(
    take: Take, fake: FakeGitHub, repository: Repository, pull: Pull, checkout: Checkout
) -> None:
    first = take()
    again = take()
    assert again == first
    assert len(repository.pulls) == 2
    assert len(repository.comments_on(pull.number)) == 1


@pytest.mark.parametrize("operation", ["git/create-ref", "pulls/create", "git/create-commit"])
@pytest.mark.parametrize("done", [True, False])
def test_a_gateway_that_gives_up_on_the_way_costs_nothing(
    take: Take, fake: FakeGitHub, repository: Repository, operation: str, done: bool
) -> None:
    fake.fail(operation, after=done, reply=Reply(502, {"message": "Bad Gateway"}))
    take()
    assert len(repository.pulls) == 2


def test_with_actions_own_token_it_says_that_no_ci_will_run(take: Take, repository: Repository) -> None:
    take()
    assert "starts no workflows" in repository.pulls[2].body


def test_with_an_apps_token_there_is_no_such_warning(
    take: Take, fake: FakeGitHub, repository: Repository
) -> None:
    take(token=fake.token("gate-app[bot]", app="gate-app", kind="person"))
    assert repository.pulls[2].author == "gate-app[bot]"
    assert "starts no workflows" not in repository.pulls[2].body


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"provenance": {"commit": "d" * 40, "dirty": "false"}}, "is not of the commit"),
        ({"purpose": "gate"}, "sequential test"),
        ({"max_repeats": 9}, "incomplete"),
    ],
)
def test_a_record_that_is_no_baseline_of_this_head_is_refused(
    take: Take, fake: FakeGitHub, record: dict[str, Any], said: str
) -> None:
    with pytest.raises(GateError, match=said):
        take(record=record)
    assert fake.writes() == []


def test_a_cell_whose_job_failed_stops_everything(take: Take, fake: FakeGitHub) -> None:
    with pytest.raises(GitHubError, match="no record of it arrived"):
        take(cells=(CELL, TRITON))
    assert fake.writes() == []


def test_a_cell_that_the_default_branch_does_not_define_is_refused(take: Take) -> None:
    with pytest.raises(GitHubError, match="does not define this cell"):
        take(cells=(CELL.model_copy(update={"backend": "other"}),))


def test_a_commit_on_the_branch_instead_lands_on_top_of_what_others_pushed(
    take: Take, fake: FakeGitHub, repository: Repository
) -> None:
    moves = iter(("one", "two"))
    for _ in range(2):
        fake.fail(
            "git/update-ref", meanwhile=lambda: repository.git.commit_files("main", {next(moves): "text"})
        )
    take(to_branch="main")
    assert fake.count("git/update-ref") == 3
    assert repository.git.read("main", "two") == b"text"
    assert b"for_head" in (repository.git.read("main", STORED) or b"")
    assert len(repository.pulls) == 1
    (comment,) = repository.comments_on(1)
    assert "; it counts once this pull request is merged." in comment["body"]


def test_a_gateway_that_gives_up_after_the_branch_moved_makes_no_second_commit(
    take: Take, fake: FakeGitHub, repository: Repository, checkout: Checkout
) -> None:
    fake.fail("git/update-ref", after=True, reply=Reply(502, {"message": "Bad Gateway"}))
    take(to_branch="main")
    tip = repository.git.find("refs/heads/main")
    assert repository.git.parents_of(tip) == [checkout.head]
    assert fake.count("git/update-ref") == 1


def test_a_first_baseline_lands_beside_what_others_pushed(fake: FakeGitHub, repository: Repository) -> None:
    github, base = hub(fake), repository.git.find("refs/heads/main") or ""
    repository.git.commit_files("main", {"theirs": "text"})
    commit_on_branch(github, "main", {"new.json": "{}"}, "m", base)
    assert repository.git.read("main", "new.json") == b"{}"
    assert repository.git.read("main", "theirs") == b"text"


@pytest.mark.parametrize("operation", ["git/get-ref", "repos/get-content"])
def test_a_branch_that_may_not_be_read_is_not_taken_for_a_missing_one(
    fake: FakeGitHub, repository: Repository, operation: str
) -> None:
    github, base = hub(fake), repository.git.find("refs/heads/main") or ""
    repository.git.commit_files("main", {"theirs": "text"})
    fake.fail(operation, reply=Reply(403, {"message": "Resource not accessible by integration"}))
    with pytest.raises(GitHubError, match="not accessible"), told("org/engine"):
        commit_on_branch(github, "main", {"new.json": "{}"}, "m", base)
    assert fake.writes() == []


def test_a_branch_that_always_moves_is_given_up(take: Take, fake: FakeGitHub, repository: Repository) -> None:
    fake.fail(
        "git/update-ref",
        meanwhile=lambda: repository.git.commit_files("main", {"n": str(fake.count("git/update-ref"))}),
        times=99,
    )
    with pytest.raises(GitHubError, match="moved 5 times in a row"):
        take(to_branch="main")


def test_a_baseline_that_somebody_else_changed_meanwhile_is_not_overwritten(
    take: Take, repository: Repository
) -> None:
    repository.git.commit_files("main", {STORED: "theirs"})
    with pytest.raises(GitHubError, match="was changed meanwhile"):
        take(to_branch="main")
    assert repository.git.read("main", STORED) == b"theirs"


def test_a_protected_branch_says_what_to_do_instead(take: Take, repository: Repository) -> None:
    repository.protected.add("main")
    with pytest.raises(GitHubError, match="does not take the commit: Changes must be made through a pull"):
        take(to_branch="main")


def test_protection_of_the_default_branch_does_not_matter_to_a_pull_request(
    take: Take, repository: Repository
) -> None:
    repository.protected.add("main")
    take()
    assert len(repository.pulls) == 2


def test_a_branch_of_the_same_name_with_other_content_is_not_touched(
    fake: FakeGitHub, repository: Repository
) -> None:
    github = hub(fake)
    main = repository.git.find("main")
    assert main is not None
    commit_on_new_branch(github, "gate/x", {"a": "1"}, "m", main)
    with pytest.raises(GitHubError, match="exists with other content"):
        commit_on_new_branch(github, "gate/x", {"a": "2"}, "m", main)
    with pytest.raises(GitHubError, match="there is no branch nowhere"):
        commit_on_branch(github, "nowhere", {"a": "2"}, "m", main)


def test_the_pull_requests_own_branch_is_refused_because_the_commit_would_void_the_acceptance(
    take: Take, fake: FakeGitHub, repository: Repository
) -> None:
    repository.git.commit_files("wip", {"kernel.py": "own = True\n"})
    own = repository.open_pull(repository, "wip", author="mia")
    with pytest.raises(UsageError, match="would be a new head of #2, and void the acceptance"):
        take(pull=own.number, head_sha=own.head, to_branch="wip")
    assert fake.writes() == []


def test_without_a_reason_nothing_is_accepted(take: Take) -> None:
    with pytest.raises(UsageError, match="reason"):
        take(reason=" ")


def test_an_order_is_read_as_it_was_sent(tmp_path: Path, order: Order) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps({"inputs": order.inputs()}))
    assert read_order(path) == order


@pytest.mark.parametrize(
    "changes", [{"cells": "[]"}, {"cells": '["a/b"]'}, {"head-sha": "abc"}, {"pull-request": "x"}]
)
def test_an_order_that_was_not_sent_by_us_is_refused(
    tmp_path: Path, order: Order, changes: dict[str, str]
) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps({"inputs": order.inputs() | changes}))
    with pytest.raises(UsageError):
        read_order(path)


def test_a_hold_is_read_as_it_was_written() -> None:
    hold = Hold((CELL, TRITON), "neutral")
    assert Hold.find(hold.text()) == hold
    assert Hold.find(Hold((), "success").text()) is None
    many = tuple(CELL.model_copy(update={"config": f"c{n}"}) for n in range(MOST_CELLS + 1))
    assert Hold.find(Hold(many, "success").text()) is None
