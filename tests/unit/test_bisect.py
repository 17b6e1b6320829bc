"""What `git bisect run` is told."""

from __future__ import annotations

import pytest

from gate import run
from gate.bisect import BisectExit, commit_under_test, exit_of_verdict
from gate.cli import main
from gate.errors import EngineError, UsageError
from gate.model.result import Verdict


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


@pytest.mark.parametrize("verdict", Verdict)
def test_only_a_pass_is_good_and_only_a_proven_drop_is_bad(verdict: Verdict):
    said = {Verdict.PASS: BisectExit.GOOD, Verdict.REGRESSION: BisectExit.BAD}
    assert exit_of_verdict(verdict) == said.get(verdict, BisectExit.SKIP)


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--no-such-option"], id="unknown option"),
        pytest.param(["--head-sha", "a" * 40, "configs/no-such.yaml"], id="missing config"),
        pytest.param(["--head-sha", "HEAD", "configs/models-cpu.txt"], id="no commit id"),
    ],
)
def test_what_no_commit_is_to_blame_for_stops_the_bisect(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
):
    assert exit_code("run", "--bisect", *arguments) == BisectExit.ABORT
    assert capsys.readouterr().err


def test_a_bug_stops_the_bisect(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(run, "run_cells", lambda *_, **__: 1 / 0)
    assert exit_code("run", "--bisect", "--head-sha", "a" * 40, "x.yaml") == BisectExit.ABORT
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_engine_that_cannot_be_asked_skips_its_commit(monkeypatch: pytest.MonkeyPatch):
    def unbuilt(*_: object) -> None:
        raise EngineError("its Python does not answer", hint="read its log")

    monkeypatch.setattr(run, "run_cells", unbuilt)
    assert exit_code("run", "--bisect", "--head-sha", "a" * 40, "x.yaml") == BisectExit.SKIP


def test_help_is_no_failure_of_a_bisect(capsys: pytest.CaptureFixture[str]):
    assert exit_code("run", "--bisect", "--help") == 0
    assert "git bisect run" in " ".join(capsys.readouterr().out.split())


def test_the_commit_under_test_is_the_one_checked_out_unless_it_is_named():
    assert commit_under_test(None, lambda _: "c" * 40) == "c" * 40
    assert commit_under_test("d" * 40, lambda _: "c" * 40) == "d" * 40
    with pytest.raises(UsageError, match="no commit"):
        commit_under_test(None, lambda _: None)
