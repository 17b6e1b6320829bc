"""One issue per config, from the first regression to the next pass."""

from __future__ import annotations

import pytest

from gate.github.checks import CheckRuns
from gate.github.client import ACTIONS_LOGIN
from gate.github.tracking import LABEL, Change, Tracked, track
from gate.model.result import CellResult
from gate.report.comment import Rendered
from tests.support import reports
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.calls import Reply
from tests.support.github_fake.state import Fields, Repository
from tests.support.hubs import hub

CONFIG = reports.CONFIG


def push(repository: Repository, text: str) -> str:
    return repository.git.commit_files("main", {"kernel.py": text})


def report(fake: FakeGitHub, sha: str, *cells: CellResult) -> tuple[Change, ...]:
    return track(hub(fake), reports.report_of(*cells), sha, details_url="https://example.org/run")


def succeeded(fake: FakeGitHub, sha: str) -> None:
    CheckRuns(hub(fake), sha).finish(Rendered("", "Pass", "text", "success", ()))


def issues(repository: Repository) -> list[Fields]:
    return list(repository.issues.values())


def test_the_first_regression_opens_an_issue_with_what_to_do(
    fake: FakeGitHub, repository: Repository
) -> None:
    good = push(repository, "good")
    succeeded(fake, good)
    push(repository, "not measured")
    bad = push(repository, "bad")
    (change,) = report(fake, bad, reports.regressed(), reports.passed(backend="triton"))
    assert change.did == "opened"
    (issue,) = issues(repository)
    assert issue["title"] == f"Regression: {CONFIG}"
    assert issue["labels"] == [LABEL]
    assert f"Last good..first bad: {good}..{bad}" in issue["body"]
    assert f"git bisect start {bad} {good}\ngit bisect run gate run configs/{CONFIG}.yaml" in issue["body"]


def test_without_a_good_commit_there_is_no_command(fake: FakeGitHub, repository: Repository) -> None:
    report(fake, push(repository, "bad"), reports.regressed())
    (issue,) = issues(repository)
    assert "no good one was found" in issue["body"]
    assert "git bisect" not in issue["body"]


def test_the_next_regression_is_in_the_same_issue_and_keeps_its_commits(
    fake: FakeGitHub, repository: Repository
) -> None:
    first, second = push(repository, "bad"), push(repository, "worse")
    report(fake, first, reports.regressed())
    (change,) = report(fake, second, reports.regressed())
    assert change.did == "updated"
    (issue,) = issues(repository)
    assert Tracked.find(issue["body"]) == Tracked(CONFIG, None, first, second)


def test_the_next_pass_closes_it_and_says_where(fake: FakeGitHub, repository: Repository) -> None:
    report(fake, push(repository, "bad"), reports.regressed())
    fixed = push(repository, "fixed")
    (change,) = report(fake, fixed, reports.passed())
    assert change.did == "closed"
    (issue,) = issues(repository)
    assert (issue["state"], issue["state_reason"]) == ("closed", "completed")
    assert fixed in repository.comments_on(issue["number"])[0]["body"]
    assert report(fake, fixed, reports.passed()) == ()


def test_the_regression_after_that_opens_a_new_one(fake: FakeGitHub, repository: Repository) -> None:
    report(fake, push(repository, "bad"), reports.regressed())
    report(fake, push(repository, "fixed"), reports.passed())
    (change,) = report(fake, push(repository, "bad again"), reports.regressed())
    assert change.did == "opened"
    assert [issue["state"] for issue in issues(repository)] == ["closed", "open"]


@pytest.mark.parametrize(
    "cell", [reports.inconclusive(), reports.crashed(), reports.no_baseline(), reports.incomparable()]
)
def test_what_was_not_decided_opens_and_closes_nothing(
    fake: FakeGitHub, repository: Repository, cell: CellResult
) -> None:
    assert report(fake, push(repository, "a"), cell) == ()
    report(fake, push(repository, "bad"), reports.regressed())
    assert report(fake, push(repository, "b"), reports.passed(backend="triton"), cell) == ()
    assert [issue["state"] for issue in issues(repository)] == ["open"]


def test_each_config_has_an_issue_of_its_own(fake: FakeGitHub, repository: Repository) -> None:
    bad = push(repository, "bad")
    changes = report(fake, bad, reports.regressed(), reports.regressed("other"), reports.passed("third"))
    assert [change.config for change in changes] == [CONFIG, "other"]
    assert len(issues(repository)) == 2


def test_a_report_that_comes_late_changes_nothing(fake: FakeGitHub, repository: Repository) -> None:
    old = push(repository, "old")
    new = push(repository, "new")
    report(fake, new, reports.regressed())
    before = [dict(issue) for issue in issues(repository)]
    assert report(fake, old, reports.passed()) == ()
    assert report(fake, old, reports.regressed()) == ()
    assert issues(repository) == before


def test_an_issue_that_somebody_else_wrote_is_not_ours(fake: FakeGitHub, repository: Repository) -> None:
    bad = push(repository, "bad")
    forged = Tracked(CONFIG, None, bad, bad).marker()
    repository.issues[1] = {
        "number": 1,
        "login": "contributor",
        "title": "x",
        "body": forged,
        "state": "open",
        "labels": [LABEL],
    }
    report(fake, bad, reports.regressed())
    report(fake, push(repository, "fixed"), reports.passed())
    assert repository.issues[1]["state"] == "open"
    assert [issue["login"] for issue in issues(repository)] == ["contributor", ACTIONS_LOGIN]


@pytest.mark.parametrize("done", [True, False])
def test_an_issue_that_was_or_was_not_opened_is_there_once(
    fake: FakeGitHub, repository: Repository, done: bool
) -> None:
    fake.fail("issues/create", after=done, reply=Reply(502, {"message": "Bad Gateway"}))
    report(fake, push(repository, "bad"), reports.regressed())
    assert len(issues(repository)) == 1


def test_of_two_that_were_opened_at_once_the_older_stays(fake: FakeGitHub, repository: Repository) -> None:
    bad = push(repository, "bad")
    fake.fail("issues/create", meanwhile=lambda: report(fake, bad, reports.regressed()))
    report(fake, bad, reports.regressed())
    assert [issue["state"] for issue in issues(repository)] == ["open", "closed"]


@pytest.mark.parametrize("body", [None, "", "<!-- vllm-eval-gate tracking={} -->", "<!-- x -->"])
def test_a_text_that_is_not_ours_is_nothing(body: str | None) -> None:
    assert Tracked.find(body) is None
