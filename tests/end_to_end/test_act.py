"""The action in the real act runner: `uses: ./` with a stand-in engine, and what a job sees of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.act import ActRun, checkout, job, run_act
from tests.support.project import CELL, STORED, Project

HEALTHY = ("--accuracy", "0.6")


def gate(step_id: str, inputs: dict[str, Any], *, may_fail: bool = False, uses: str = "./") -> dict[str, Any]:
    """A step that uses the action."""
    step: dict[str, Any] = {"id": step_id, "uses": uses, "with": inputs}
    return step | ({"continue-on-error": True} if may_fail else {})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A user's repository with a baseline that the healthy stand-in made."""
    project = Project(tmp_path_factory.mktemp("project"))
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return project


@pytest.fixture(scope="module")
def act(project: Project, tmp_path_factory: pytest.TempPathFactory) -> ActRun:
    """Every case in one run: the steps of a job share one installation of gate."""
    temp = tmp_path_factory.mktemp("act")

    def inputs(name: str, *engine: str, **changes: str) -> dict[str, str]:
        given = {
            "configs": str(project.config),
            "arch": "cpu",
            "baselines": str(project.folder / "baselines"),
            "engine-command": project.engine(*(engine or HEALTHY)),
            "model-dir": str(project.model),
            "dataset-path": str(project.dataset),
            "out-dir": str(temp / "out" / name),
        }
        return given | {key.replace("_", "-"): value for key, value in changes.items()}

    empty = str(temp / "no-baselines")
    jobs = {
        "gate": job(
            gate("healthy", inputs("healthy")),
            gate("new", inputs("new", baselines=empty)),
            gate("strict", inputs("strict", baselines=empty, fail_on="strict"), may_fail=True),
            gate("worse", inputs("worse", "--accuracy", "0.2"), may_fail=True),
            gate("typo", inputs("typo", configs="no-such.yaml"), may_fail=True),
            gate("dies", inputs("dies", *HEALTHY, "--dies-after", "30")),
            {"id": "after", "run": "true"},
        ),
        "unknown-mode": job(gate("gate", inputs("mode", mode="dance"))),
        "broken-path": job(gate("gate", {}, uses="./no-such-folder")),
    }
    return run_act(checkout(tmp_path_factory.mktemp("repository")), jobs, temp)


def test_a_pass_is_green_with_reports_and_a_summary(act: ActRun) -> None:
    assert act.step("gate", "healthy") == "success", act.log()
    outputs = act.outputs("gate", "healthy")
    assert outputs["verdict"] == "pass"
    assert outputs["failed-cells"] == "[]"
    report = json.loads(Path(outputs["report-json"]).read_text())
    assert [cell["verdict"] for cell in report["cells"]] == ["pass"]
    assert act.summary("gate", "healthy") == Path(outputs["report-md"]).read_text()


def test_the_commit_under_test_is_the_pull_requests_head_and_not_the_merge(act: ActRun) -> None:
    assert json.loads(Path(act.outputs("gate", "healthy")["report-json"]).read_text())["commit"] == "1" * 40


def test_a_verdict_outside_fail_on_is_green_and_says_so_in_the_output(act: ActRun) -> None:
    assert act.step("gate", "new") == "success"
    assert act.outputs("gate", "new")["verdict"] == "no_baseline"
    assert act.outputs("gate", "new")["failed-cells"] == "[]"


def test_the_same_verdict_inside_fail_on_is_red(act: ActRun) -> None:
    assert act.step("gate", "strict") == "failure"
    assert act.outputs("gate", "strict")["verdict"] == "no_baseline"
    assert json.loads(act.outputs("gate", "strict")["failed-cells"]) == [CELL]


def test_a_worse_engine_is_a_regression_that_names_its_cell(act: ActRun) -> None:
    assert act.step("gate", "worse") == "failure"
    assert act.outputs("gate", "worse")["verdict"] == "regression"
    assert json.loads(act.outputs("gate", "worse")["failed-cells"]) == [CELL]
    assert CELL.rpartition("/")[0].split("/")[1] in act.summary("gate", "worse")


def test_a_run_that_ends_before_a_report_is_red_and_not_measured(act: ActRun) -> None:
    assert act.step("gate", "typo") == "failure"
    assert act.outputs("gate", "typo")["verdict"] == "not_measured"
    assert act.outputs("gate", "typo")["report-json"] == ""
    assert "before there was a report" in act.summary("gate", "typo")


def test_an_engine_that_dies_is_not_measured_and_fails_the_job(act: ActRun) -> None:
    assert act.outputs("gate", "dies")["verdict"] == "not_measured"
    assert act.step("gate", "dies") == "failure"
    assert act.step("gate", "after") == "not run"
    assert act.job("gate") == "failure"
    assert act.code != 0


def test_a_mode_that_is_not_there_yet_fails_the_job(act: ActRun) -> None:
    assert act.job("unknown-mode") == "failure"
    assert act.outputs("unknown-mode", "gate")["verdict"] == "not_measured"


def test_a_broken_path_to_the_action_fails_the_job(act: ActRun) -> None:
    assert act.job("broken-path") == "failure"
    assert "no-such-folder" in act.log()
