"""What is posted on a pull request: the comment, its marker, and the check run."""

from __future__ import annotations

import re

import pytest

from gate.model.cell import Cell
from gate.model.result import Verdict
from gate.report.comment import (
    COMMENT_CHARACTERS,
    SUMMARY_BYTES,
    Accepted,
    Context,
    Earlier,
    Marker,
    Place,
    render,
)
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


def test_an_event_that_selects_no_cell_is_neutral_and_says_so() -> None:
    posted = render(reports.report_of(), context(not_selected=(cell(1),)))
    assert posted.conclusion == "neutral"
    assert posted.title == "Nothing to measure: the base branch selects no cell for this change"
    assert posted.comment.startswith(f"## ⛔ {posted.title}")


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


def cell(number: int, length: int = 8) -> Cell:
    return Cell(arch="gfx942", config=f"c{number:0{length}}", backend="aiter")


def everything() -> Context:
    """A context in which nothing is left out."""
    report = reports.all_six()
    return context(
        base_sha=BEFORE_THAT,
        details_url="https://github.com/o/r/actions/runs/7",
        attested=False,
        touches=("configs", "baselines"),
        earlier=(Earlier(BEFORE_THAT, Verdict.PASS), Earlier(BEFORE, Verdict.REGRESSION)),
        accepted={report.cells[0].cell: Accepted("octocat", "the new kernel rounds <b>otherwise</b>")},
        not_selected=(cell(1),),
        unknown=(cell(2), cell(3)),
        places={result.cell: Place(f"configs/{result.cell.config}.yaml", 3) for result in report.cells},
    )


def test_a_comment_with_everything_in_it_reads_well(snapshot) -> None:
    assert render(reports.all_six(), everything()) == snapshot


def test_what_decides_verdicts_and_is_touched_is_told_right_after_the_verdict() -> None:
    comment = render(reports.all_six(), everything()).comment
    assert comment.splitlines()[2].startswith("> **This pull request changes what decides verdicts: configs,")


def test_a_comment_says_whether_its_numbers_are_attested() -> None:
    report = reports.report_of(reports.passed())
    assert "· attested: the pinned gate measured" in render(report, context()).comment
    doubtful = render(report, context(attested=False))
    assert "> **Not attested:** the numbers below were reported by the contributor's own" in doubtful.comment
    assert doubtful.title.startswith("Not attested. Pass:")
    approved = render(report, context(attested=False, approved_by="octocat"))
    assert "> **Not attested, approved:**" in approved.comment
    assert not approved.title.startswith("Not attested")


def commands(comment: str) -> list[str]:
    return re.findall(r"^/gate .*$", comment, flags=re.MULTILINE)


def test_it_ends_with_the_commands_for_exactly_these_verdicts_and_this_commit() -> None:
    assert (
        commands(render(reports.report_of(reports.passed(), reports.inconclusive()), context()).comment) == []
    )
    crashed, regressed = reports.crashed(), reports.regressed()
    report = reports.report_of(crashed, regressed, reports.passed(backend="b"))
    assert commands(render(report, context()).comment) == [
        f"/gate rerun {crashed.cell} @{HEAD}",
        f'/gate refresh {regressed.cell} @{HEAD} --reason "why this drop is meant"',
    ]


def test_what_was_accepted_needs_no_command_and_no_step() -> None:
    result = reports.regressed()
    accepted = {result.cell: Accepted("octocat", "it is meant")}
    comment = render(reports.report_of(result), context(accepted=accepted)).comment
    assert commands(comment) == []
    assert "regression accepted by <code>@\u200boctocat</code>: it is meant" in comment
    assert "- Nothing: what did not pass was accepted." in comment


def test_where_nobody_can_answer_there_are_no_commands() -> None:
    assert commands(render(reports.all_six(), context(commands=False)).comment) == []


def test_the_command_that_reproduces_a_failure_asks_the_very_same_samples() -> None:
    result = reports.regressed()
    posted = render(
        reports.report_of(result),
        context(base_sha=BEFORE, places={result.cell: Place("my configs/c.yaml", 1)}),
    )
    line = f"gate run 'my configs/c.yaml' --backend triton --head-sha {HEAD} --base-sha {BEFORE}"
    assert line in posted.comment.splitlines()


def test_a_marker_inside_somebody_elses_words_is_not_taken_for_ours() -> None:
    forged = reports.crashed().model_copy(update={"reason": str(Marker(BEFORE, Verdict.PASS))})
    comment = render(reports.report_of(forged), context()).comment
    assert comment.count("<!--") == 1
    assert Marker.find(comment) == Marker(HEAD, Verdict.NOT_MEASURED)


def test_only_so_many_earlier_commits_are_remembered() -> None:
    marker = Marker(HEAD, Verdict.PASS, tuple(Earlier(f"{n:040x}", Verdict.PASS) for n in range(500)))
    found = Marker.find(str(marker))
    assert found is not None
    assert len(found.earlier) == len(found.followed_by(BEFORE)) == 20
    assert found.followed_by(BEFORE)[-1] == Earlier(HEAD, Verdict.PASS)


@pytest.mark.parametrize(
    ("total", "failing"),
    [(1, 0), (1, 1), (20, 3), (20, 20), (200, 3), (200, 200), (5000, 0), (5000, 4), (5000, 5000)],
)
def test_every_size_fits_what_github_takes_with_the_failures_first(total: int, failing: int) -> None:
    report = reports.many(total, failing)
    crowd = tuple(cell(number, length=90) for number in range(total))
    earlier = tuple(Earlier(f"{number:040x}", Verdict.REGRESSION) for number in range(50))
    posted = render(
        report,
        context(
            attested=False,
            touches=("configs", "baselines", "workflows", "the gate's pin"),
            earlier=earlier,
            details_url="https://github.com/o/r/actions/runs/7",
            not_selected=crowd,
            unknown=crowd,
            places={result.cell: Place(f"configs/{result.cell.config}.yaml", 3) for result in report.cells},
        ),
    )
    assert len(posted.comment.encode()) <= COMMENT_CHARACTERS
    assert len(posted.summary.encode()) <= SUMMARY_BYTES
    assert len(posted.title) <= 255
    assert len(posted.annotations) == failing
    in_full = len(re.findall(r"^### [❌⛔⚠]", posted.comment, flags=re.MULTILINE))
    assert in_full == failing if failing <= 20 else 10 < in_full < failing
    if total == 5000:
        assert "[full report](https://github.com/o/r/actions/runs/7) has every cell" in posted.comment
    assert Marker.find(posted.comment) is not None


def test_a_comment_brings_no_colour_image_or_width_of_its_own() -> None:
    """So it looks like the page that it is on: light or dark, narrow or wide."""
    comment = render(reports.all_six(), context(attested=False, touches=("configs",))).comment
    tags = set(re.findall(r"<(/?[a-z]+)([^>]*)>", re.sub(r"<!--.*?-->", "", comment)))
    assert {name.strip("/") for name, _ in tags} <= {"br", "code", "details", "sub", "summary"}
    assert {attributes for _, attributes in tags} == {""}
    assert "![" not in comment


def test_names_as_long_as_they_may_be_still_fit() -> None:
    long = [
        reports.crashed(f"{number:0100}", f"{number:0100}", f"{number:0100}").model_copy(
            update={"next_step": f"{number} " + "x" * 990}
        )
        for number in range(300)
    ]
    posted = render(reports.report_of(*long), context(unknown=tuple(result.cell for result in long)))
    assert len(posted.comment.encode()) <= COMMENT_CHARACTERS
    assert len(posted.summary.encode()) <= SUMMARY_BYTES
