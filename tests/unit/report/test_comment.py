"""What is posted on a pull request: the comment, its marker, and the check run."""

from __future__ import annotations

import pytest

from gate.model import Verdict
from gate.report.comment import Accepted, Context, Earlier, Marker, Place, render
from tests.support import reports

HEAD = reports.SHA
BEFORE, BEFORE_THAT = "a" * 40, "b" * 40


def context(**changes) -> Context:
    return Context(**({"head_sha": HEAD, "attested": True} | changes))


def test_a_comment_ends_in_a_marker_that_names_its_commit_and_verdict() -> None:
    comment = render(reports.all_six(), context()).comment
    assert Marker.find(comment) == Marker(HEAD, Verdict.REGRESSION)
    assert comment.rstrip().endswith("-->")


def test_a_new_heads_comment_remembers_the_verdicts_of_the_heads_before_it() -> None:
    first = render(reports.report_of(reports.passed()), context(head_sha=BEFORE_THAT)).comment
    marker = Marker.find(first)
    assert marker is not None
    second = render(
        reports.report_of(reports.regressed()), context(head_sha=BEFORE, earlier=marker.followed_by(BEFORE))
    )
    marker = Marker.find(second.comment)
    assert marker is not None
    assert marker.followed_by(HEAD) == (
        Earlier(BEFORE_THAT, Verdict.PASS),
        Earlier(BEFORE, Verdict.REGRESSION),
    )
    assert marker.followed_by(BEFORE) == (Earlier(BEFORE_THAT, Verdict.PASS),)


@pytest.mark.parametrize(
    "body", ["", "<!-- vllm-eval-gate head=1 -->", f"<!-- vllm-eval-gate head={HEAD} verdict=fine -->"]
)
def test_a_comment_without_a_marker_that_can_be_read_has_none(body: str) -> None:
    assert Marker.find(body) is None


@pytest.mark.parametrize(
    ("cell", "conclusion"),
    [
        (reports.passed(), "success"),
        (reports.regressed(), "failure"),
        (reports.crashed(), "failure"),
        (reports.incomparable(), "failure"),
        (reports.inconclusive(), "neutral"),
        (reports.no_baseline(), "neutral"),
    ],
)
def test_each_verdict_has_its_conclusion(cell, conclusion: str) -> None:
    assert render(reports.report_of(cell), context()).conclusion == conclusion


def test_no_cell_at_all_is_a_failure() -> None:
    assert render(reports.report_of(), context()).conclusion == "failure"


def test_under_strict_everything_but_a_pass_is_a_failure() -> None:
    strict = tuple(verdict for verdict in Verdict if verdict is not Verdict.PASS)
    assert render(reports.report_of(reports.no_baseline(), fail_on=strict), context()).conclusion == "failure"


def test_a_regression_outside_fail_on_is_neutral_and_never_success() -> None:
    lax = reports.report_of(reports.regressed(), fail_on=(Verdict.NOT_MEASURED,))
    assert render(lax, context()).conclusion == "neutral"


def test_an_accepted_regression_keeps_its_verdict_and_concludes_success() -> None:
    cell = reports.regressed()
    accepted = {cell.cell: Accepted("octocat", "the new kernel is meant")}
    posted = render(reports.report_of(cell), context(accepted=accepted))
    assert posted.conclusion == "success"
    assert posted.annotations == ()
    marker = Marker.find(posted.comment)
    assert marker is not None
    assert marker.verdict is Verdict.REGRESSION


def test_an_acceptance_covers_no_other_cell_and_no_other_verdict() -> None:
    other, crashed = reports.passed().cell, reports.crashed()
    accepted = {other: Accepted("octocat", "x"), crashed.cell: Accepted("octocat", "x")}
    assert render(reports.report_of(reports.regressed()), context(accepted=accepted)).conclusion == "failure"
    assert render(reports.report_of(crashed), context(accepted=accepted)).conclusion == "failure"


def test_numbers_that_nobody_attests_are_not_success_until_a_maintainer_approves_the_head() -> None:
    report = reports.report_of(reports.passed())
    assert render(report, context(attested=False)).conclusion == "action_required"
    assert render(report, context(attested=False, approved_by="octocat")).conclusion == "success"
    failed = reports.report_of(reports.regressed())
    assert render(failed, context(attested=False)).conclusion == "failure"


def test_failing_cells_are_annotated_on_their_config() -> None:
    cell = reports.regressed()
    report = reports.report_of(cell, reports.passed())
    places = {result.cell: Place("configs/c.yaml", 7) for result in report.cells}
    (annotation,) = render(report, context(places=places)).annotations
    assert (annotation.path, annotation.line, annotation.level) == ("configs/c.yaml", 7, "failure")
    assert str(cell.cell) in annotation.title
