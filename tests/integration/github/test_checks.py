"""The check run: one name, in progress first, the right conclusion, all annotations."""

from __future__ import annotations

import pytest

from gate.errors import GitHubError
from gate.github.checks import CHECK_NAME, CheckRuns, cut
from gate.github.client import told
from gate.report.comment import SUMMARY_BYTES, Annotation, Rendered
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.calls import Reply
from tests.support.github_fake.state import Fields, Pull, Repository
from tests.support.hubs import hub

CREATE, UPDATE = "checks/create", "checks/update"


def rendered(annotations: int = 0, conclusion: str = "failure", summary: str = "text") -> Rendered:
    notes = tuple(
        Annotation("configs/a.yaml", n + 1, "failure", f"n {n}", "drop") for n in range(annotations)
    )
    return Rendered("comment", "title", summary, conclusion, notes)  # type: ignore[arg-type]


def only(repository: Repository) -> Fields:
    (check,) = repository.checks.values()
    return check


def test_it_is_in_progress_first_and_then_concluded(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    checks = CheckRuns(hub(fake), pull.head)
    checks.start("https://example.org/run")
    assert (only(repository)["status"], only(repository)["name"]) == ("in_progress", CHECK_NAME)
    # Another process, hours later.
    CheckRuns(hub(fake), pull.head).finish(rendered())
    check = only(repository)
    assert (check["status"], check["conclusion"], check["head_sha"]) == ("completed", "failure", pull.head)
    assert check["output"] == {"title": "title", "summary": "text"}


@pytest.mark.parametrize("conclusion", ["success", "failure", "neutral", "action_required"])
def test_every_conclusion_of_ours_is_one_of_githubs(
    fake: FakeGitHub, repository: Repository, pull: Pull, conclusion: str
) -> None:
    CheckRuns(hub(fake), pull.head).finish(rendered(conclusion=conclusion))
    assert only(repository)["conclusion"] == conclusion


@pytest.mark.parametrize(("annotations", "calls"), [(0, 1), (1, 1), (50, 1), (51, 2), (173, 4)])
def test_annotations_come_in_fifties_and_the_conclusion_last(
    fake: FakeGitHub, repository: Repository, pull: Pull, annotations: int, calls: int
) -> None:
    CheckRuns(hub(fake), pull.head).finish(rendered(annotations))
    assert [a["start_line"] for a in only(repository)["annotations"]] == list(range(1, annotations + 1))
    concluded = ["conclusion" in asked.body for asked in fake.writes() if asked.operation == UPDATE]
    assert concluded == [False] * (calls - 1) + [True]


@pytest.mark.parametrize("done", [True, False])
def test_a_gateway_that_gives_up_costs_no_annotation_and_doubles_none(
    fake: FakeGitHub, repository: Repository, pull: Pull, done: bool
) -> None:
    for _ in range(3):
        fake.fail(UPDATE, after=done, reply=Reply(502, {"message": "Bad Gateway"}))
    CheckRuns(hub(fake), pull.head).finish(rendered(120))
    assert [a["start_line"] for a in only(repository)["annotations"]] == list(range(1, 121))
    assert only(repository)["conclusion"] == "failure"


@pytest.mark.parametrize("done", [True, False])
def test_a_check_run_that_was_or_was_not_made_is_there_once(
    fake: FakeGitHub, repository: Repository, pull: Pull, done: bool
) -> None:
    fake.fail(CREATE, after=done, drop=True)
    CheckRuns(hub(fake), pull.head).finish(rendered())
    assert only(repository)["conclusion"] == "failure"


def test_a_second_report_on_a_head_is_a_new_check_run_of_the_same_name(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    CheckRuns(hub(fake), pull.head).finish(rendered(3))
    CheckRuns(hub(fake), pull.head).finish(rendered(2, conclusion="success"))
    first, second = repository.checks.values()
    assert (first["conclusion"], second["conclusion"]) == ("failure", "success")
    assert len(second["annotations"]) == 2
    latest = CheckRuns(hub(fake), pull.head).latest()
    assert latest is not None
    assert latest.id == second["id"]


def test_a_check_run_that_another_app_made_in_our_name_does_not_stop_us(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    CheckRuns(hub(fake, fake.token("evil[bot]", app="evil")), pull.head).start()
    CheckRuns(hub(fake), pull.head).finish(rendered())
    theirs, ours = repository.checks.values()
    assert (theirs["app"], theirs["status"]) == ("evil", "in_progress")
    assert (ours["app"], ours["conclusion"]) == ("github-actions", "failure")


def test_a_persons_token_cannot_write_check_runs_and_is_told_so(fake: FakeGitHub, pull: Pull) -> None:
    person = hub(fake, fake.token("mia", kind="person"))
    with pytest.raises(GitHubError, match="only a token of a GitHub App"), told("org/engine"):
        CheckRuns(person, pull.head).start()


@pytest.mark.parametrize("text", ["é" * 60_000, "line é\n" * 20_000])
def test_a_summary_that_is_too_long_is_cut_where_it_may_be(text: str) -> None:
    short = cut(text)
    assert SUMMARY_BYTES - 10 < len(short.encode()) <= SUMMARY_BYTES
    assert text.startswith(short)
    assert cut("short") == "short"


def test_the_longest_summary_is_taken(fake: FakeGitHub, repository: Repository, pull: Pull) -> None:
    CheckRuns(hub(fake), pull.head).finish(rendered(summary="é" * 60_000))
    assert only(repository)["conclusion"] == "failure"
