"""The action's modes that talk to GitHub, each as its step runs it, against the fake."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from github.PullRequestPart import PullRequestPart

from gate import cli
from gate.action import __main__ as entry
from gate.action import baseline, command, plan, report
from gate.errors import Exit, GitHubError, HeadMovedError, UsageError
from tests.support.act import git, outputs_of
from tests.support.base_branch import BaseBranch, artifact
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.state import Pull, Repository
from tests.support.hubs import AT_ONCE
from tests.support.measured import fingerprint, run_record

GATE = ".github/workflows/gate.yml"


class Step:
    """A step of a job on a hosted runner: its environment, and what it left."""

    def __init__(self, fake: FakeGitHub, folder: Path, event_name: str, event: dict[str, Any]) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "event.json").write_text(json.dumps(event))
        self.log: list[str] = []
        self.environ = {
            "RUNNER_TEMP": str(folder),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "GITHUB_EVENT_PATH": str(folder / "event.json"),
            "GITHUB_EVENT_NAME": event_name,
            "GITHUB_REPOSITORY": "org/engine",
            "GITHUB_SERVER_URL": "https://github.com",
            "GITHUB_API_URL": fake.url,
            "GITHUB_RUN_ID": "7",
            "GITHUB_SHA": "5" * 40,
            "GATE_GITHUB_TOKEN": fake.token(),
            "GATE_INPUT_CONFIGS": "configs/c.yaml",
            "GATE_INPUT_ARCH": "gfx950",
            "GATE_INPUT_BASELINES": "baselines",
            "GATE_INPUT_FAIL_ON": "regression,not_measured,incomparable",
        }

    def run(self, mode: Any, **inputs: str) -> int:
        given = {f"GATE_INPUT_{name.upper()}": value for name, value in inputs.items()}
        return mode.run(self.environ | given, self.log.append, AT_ONCE)

    @property
    def outputs(self) -> dict[str, str]:
        return outputs_of(self.folder / "output")


@pytest.fixture
def branch(repository: Repository, pull: Pull, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseBranch:
    from gate.github.received import Heads

    base = repository.git.find("refs/heads/main")
    assert base is not None
    made = BaseBranch(tmp_path / "base", Heads(pull.head, base))
    (made.config.parent / "models-gfx950.txt").write_text("c.yaml\n")
    (made.config.parent / "runners.yaml").write_text(
        "lists: {models-gfx950.txt: {arch: gfx950, runs_on: [self-hosted, gfx950], gpus: 8}}\n"
    )
    monkeypatch.chdir(made.folder)
    return made


def run_event(repository: Repository, pull: Pull, action: str) -> dict[str, Any]:
    run = repository.add_run(pull.head, GATE, pull.head_repo, "topic")
    return {
        "action": action,
        "workflow_run": {
            "id": run["id"],
            "event": "pull_request",
            "head_sha": pull.head,
            "html_url": f"https://github.com/org/engine/actions/runs/{run['id']}",
        },
    }


def test_a_report_sets_outputs_writes_a_summary_and_is_green_although_the_check_is_not(
    fake, repository, pull, branch, tmp_path
):
    event = run_event(repository, pull, "completed")
    worse = branch.record(branch.specs[0], shift=-0.25)
    path = artifact(tmp_path / "a.zip", worse, branch.record(branch.specs[1]))
    repository.add_artifact({"id": event["workflow_run"]["id"]}, "gate-records-a", path.read_bytes())
    step = Step(fake, tmp_path / "step", "workflow_run", event)
    assert step.run(report, attested="true") == Exit.PASS
    outputs = step.outputs
    assert (outputs["verdict"], outputs["conclusion"]) == ("regression", "failure")
    assert json.loads(outputs["failed-cells"]) == ["gfx950/c/aiter"]
    assert outputs["check-url"].startswith("https://github.com/")
    assert (step.folder / "summary").read_text() == Path(outputs["report-md"]).read_text()
    assert json.loads(Path(outputs["report-json"]).read_text())["commit"] == pull.head
    assert step.log == ["regression: the check concluded failure"]


def test_a_report_of_a_run_that_begins_only_announces_it(fake, repository, pull, branch, tmp_path):
    step = Step(fake, tmp_path / "step", "workflow_run", run_event(repository, pull, "in_progress"))
    assert step.run(report) == Exit.PASS
    assert step.outputs["verdict"] == "not_measured"
    (check,) = repository.checks.values()
    assert check["status"] == "in_progress"
    own = {"pull_request": {"number": pull.number, "head": {"sha": pull.head}, "base": {"sha": "2" * 40}}}
    again = Step(fake, tmp_path / "own", "pull_request", own)
    assert again.run(report, announce="true") == Exit.PASS
    assert len(repository.checks) == 1


def test_a_report_on_a_head_that_moved_says_so_and_is_no_failure(fake, repository, pull, branch, tmp_path):
    event = run_event(repository, pull, "completed")
    pull.push("again = True\n")
    step = Step(fake, tmp_path / "step", "workflow_run", event)
    assert step.run(report) == Exit.PASS
    assert step.log[0].startswith("::notice title=vllm-eval-gate::pull request #")
    assert step.outputs == {"verdict": "not_measured"}


def test_an_input_that_cannot_be_read_is_a_usage_error(fake, repository, pull, branch, tmp_path):
    step = Step(fake, tmp_path / "step", "workflow_run", run_event(repository, pull, "completed"))
    with pytest.raises(UsageError, match="true or false"):
        step.run(report, attested="yes")
    with pytest.raises(UsageError, match="configs is empty"):
        step.run(report, configs="")


def planned(step: Step, **inputs: str) -> list[str]:
    assert step.run(plan, configs="configs/models-gfx950.txt", arch="auto", **inputs) == Exit.PASS
    jobs = json.loads(step.outputs["matrix"])["include"]
    assert step.outputs["cells"] == str(len(jobs))
    assert {job["family-size"] for job in jobs} <= {2}
    return [job["backend"] for job in jobs]


def test_the_plan_of_a_pull_request_knows_its_commits_and_what_it_changes(fake, pull, branch, tmp_path):
    event = {"pull_request": {"number": pull.number, "head": {"sha": pull.head}, "base": {"sha": "2" * 40}}}
    step = Step(fake, tmp_path / "step", "pull_request", event)
    assert planned(step) == ["aiter", "triton"]
    assert step.outputs["head-sha"] == pull.head
    assert step.outputs["base-sha"] == branch.heads.base_sha
    assert step.outputs["head-repository"] == "contributor/engine"
    branch.write_config(when={"paths": ["csrc/**"]})
    assert planned(Step(fake, tmp_path / "other", "pull_request", event)) == []
    branch.write_config(when={"paths": ["kernel.py"]})
    assert planned(Step(fake, tmp_path / "kernel", "pull_request", event)) == ["aiter", "triton"]


def labelled(pull: Pull, by: str) -> dict[str, Any]:
    """The event of a label; the pull request's head as it was at this moment."""
    head = {"sha": pull.head, "repo": {"full_name": pull.head_repo.full_name}}
    request = {"number": pull.number, "head": head, "base": {"sha": "2" * 40}}
    return {"action": "labeled", "pull_request": request, "sender": {"login": by}}


def test_a_label_measures_a_fork_if_whoever_set_it_may_write(fake, repository, pull, branch, tmp_path):
    assert planned(Step(fake, tmp_path / "mia", "pull_request", labelled(pull, "mia"))) == ["aiter", "triton"]
    repository.roles["tim"] = "triage"
    step = Step(fake, tmp_path / "tim", "pull_request", labelled(pull, "tim"))
    with pytest.raises(GitHubError, match="the label was set by tim, who may not write"):
        step.run(plan, configs="configs/models-gfx950.txt", arch="auto")
    assert not (step.folder / "output").exists()


@pytest.mark.usefixtures("branch")
def test_a_fork_that_was_deleted_is_still_a_fork(fake, repository, pull, tmp_path, monkeypatch):
    # GitHub says null then, which its own description of the API does not allow the fake to say.
    monkeypatch.setattr(PullRequestPart, "repo", None)
    repository.roles["tim"] = "triage"
    step = Step(fake, tmp_path / "tim", "pull_request", labelled(pull, "tim"))
    with pytest.raises(GitHubError, match="the label was set by tim, who may not write"):
        step.run(plan, configs="configs/models-gfx950.txt", arch="auto")
    # The base repository has its commits, as refs/pull/N/head.
    again = Step(fake, tmp_path / "mia", "pull_request", labelled(pull, "mia"))
    assert planned(again) == ["aiter", "triton"]
    assert again.outputs["head-repository"] == "org/engine"


def test_a_label_is_for_the_head_that_it_was_set_on(fake, pull, branch, tmp_path):
    step = Step(fake, tmp_path / "step", "pull_request", labelled(pull, "mia"))
    pull.push("not what was labelled\n")
    with pytest.raises(HeadMovedError, match="its head is"):
        step.run(plan, configs="configs/models-gfx950.txt", arch="auto")
    assert not (step.folder / "output").exists()


def test_the_plan_of_a_rerun_names_its_cells_and_keeps_the_family_of_all(fake, pull, branch, tmp_path):
    event = {"inputs": {"pull-request": str(pull.number), "head-sha": pull.head}}
    step = Step(fake, tmp_path / "step", "workflow_dispatch", event)
    assert planned(step, cells='["gfx950/c/triton"]') == ["triton"]
    for cells, said in (("[1]", "no JSON list"), ("{", "no JSON list"), ('["a/b/c"]', "1 of the cells")):
        with pytest.raises(UsageError, match=said):
            step.run(plan, configs="configs/models-gfx950.txt", arch="auto", cells=cells)


def test_the_plan_of_a_push_needs_no_pull_request(fake, repository, branch, tmp_path):
    step = Step(fake, tmp_path / "step", "push", {"before": "4" * 40})
    assert planned(step) == ["aiter", "triton"]
    assert (step.outputs["head-sha"], step.outputs["base-sha"]) == ("5" * 40, "4" * 40)
    assert fake.asked == []


def commented(repository: Repository, pull: Pull, login: str, kind: str) -> dict[str, Any]:
    """The event of a comment that asks for a rerun of a cell."""
    repository.workflows |= {"gate.yml", "gate-baseline.yml"}
    body = f"/gate rerun gfx950/c/aiter @{pull.head}"
    comment = repository.comment(pull.number, login, body)
    told = {"id": comment["id"], "body": body, "created_at": comment["created_at"]}
    return {
        "action": "created",
        "issue": {"number": pull.number, "pull_request": {}},
        "comment": told | {"user": {"login": login, "type": kind}},
    }


@pytest.mark.usefixtures("branch")
def test_a_command_is_done_and_answered(fake, repository, pull, tmp_path):
    step = Step(fake, tmp_path / "step", "issue_comment", commented(repository, pull, "mia", "User"))
    assert step.run(command, workflow=GATE) == Exit.PASS
    assert step.log == ["done"]
    (dispatched,) = repository.dispatches
    assert dispatched["inputs"]["head-sha"] == pull.head
    assert json.loads(dispatched["inputs"]["cells"]) == ["gfx950/c/aiter"]


@pytest.mark.usefixtures("branch")
@pytest.mark.parametrize(("bots", "log"), [("other[bot] helper[bot]", ["done"]), ("", [])])
def test_a_bot_is_obeyed_where_the_workflow_lists_it(  # noqa: PLR0917 - fixtures and cases
    fake, repository, pull, tmp_path, bots, log
):
    repository.roles["helper[bot]"] = "write"
    step = Step(fake, tmp_path / "step", "issue_comment", commented(repository, pull, "helper[bot]", "Bot"))
    assert step.run(command, workflow=GATE, bots=bots) == Exit.PASS
    assert step.log == log
    assert len(repository.dispatches) == len(log)


def test_a_collection_is_one_run_of_fixed_size_of_the_accepted_head(fake, tmp_path):
    step = Step(fake, tmp_path / "step", "workflow_dispatch", {})
    given = {"REASON": "it is meant", "ACCEPTED_BY": "mia", "HEAD_SHA": "1" * 40, "BACKENDS": "aiter"}
    asked: list[list[str]] = []
    environ = step.environ | {f"GATE_INPUT_{name}": value for name, value in given.items()}
    assert baseline.collect(environ, lambda words: asked.append(list(words)) or 3) == 3
    (words,) = asked
    assert words[:2] == ["baseline", "collect"]
    assert words[-2:] == ["--", "configs/c.yaml"]
    options = {word.partition("=")[0] for word in words if word.startswith("--")} - {"--"}
    known = typer.main.get_command(cli.app).commands["baseline"].commands["collect"].params
    assert options <= {option for parameter in known for option in parameter.opts}
    assert {"--repeats=32", "--reason=it is meant", f"--accepted-head={'1' * 40}"} <= set(words)
    assert step.outputs["records"] == str(tmp_path / "step/gate-out/run-1/records")


@pytest.fixture
def collected(fake, repository, pull, tmp_path, monkeypatch: pytest.MonkeyPatch) -> Step:
    """The hosted job after a collection, in a checkout of the default branch."""
    branch = BaseBranch(tmp_path / "base")
    listed = [path for path in branch.folder.rglob("*") if path.is_file()]
    files = {path.relative_to(branch.folder).as_posix(): path.read_text() for path in listed}
    repository.git.commit_files("main", files)
    git(tmp_path, "clone", "--quiet", str(repository.git.folder), "checkout")
    monkeypatch.chdir(tmp_path / "checkout")
    spec = branch.specs[0]
    told = {"commit": pull.head, "dirty": "false", "tree": "7" * 40, "gate_version": "0.1.0"}
    told["date"] = "2026-11-24T10:00:00+00:00"
    mark = fingerprint(branch.questions, cell=spec.cell)
    record = run_record(
        77, total=60, repeats=32, cell=spec.cell, fingerprint=mark, provenance=told, accuracy=0.5
    )
    run = repository.add_run(pull.head, ".github/workflows/gate-baseline.yml", repository, "main")
    repository.add_artifact(run, "gate-records-a", artifact(tmp_path / "a.zip", record).read_bytes())
    inputs = {"pull-request": str(pull.number), "head-sha": pull.head, "cells": f'["{spec.cell}"]'}
    event = {"inputs": inputs | {"requested-by": "mia", "reason": "it rounds otherwise"}}
    step = Step(fake, tmp_path / "step", "workflow_dispatch", event)
    step.environ["GITHUB_RUN_ID"] = str(run["id"])
    return step


def test_what_was_collected_becomes_a_pull_request(repository, pull, collected):
    assert baseline.accept(collected.environ, collected.log.append, AT_ONCE) == Exit.PASS
    (opened,) = [found for found in repository.pulls.values() if found.number != pull.number]
    assert repository.git.changed("refs/heads/main", opened.head) == ["baselines/gfx950/c/aiter.json"]
    assert collected.outputs["pull-request-url"].endswith(f"/pull/{opened.number}")


def test_what_was_collected_becomes_a_commit_where_the_workflow_says_so(repository, collected):
    before = repository.git.find("refs/heads/main")
    environ = collected.environ | {"GATE_INPUT_TO_BRANCH": "main"}
    assert baseline.accept(environ, collected.log.append, AT_ONCE) == Exit.PASS
    assert repository.git.changed(before, "refs/heads/main") == ["baselines/gfx950/c/aiter.json"]
    assert list(repository.pulls) == [1]
    assert "/commit/" in collected.outputs["pull-request-url"]


@pytest.mark.parametrize("token", ["", "ghs_canary"])
def test_a_baseline_step_says_what_it_misses(token, capsys, tmp_path):
    files = {"GITHUB_OUTPUT": str(tmp_path / "o"), "GITHUB_STEP_SUMMARY": str(tmp_path / "s")}
    environ = {"GATE_INPUT_MODE": "baseline", "GATE_GITHUB_TOKEN": token, **files}
    assert entry.main(environ) == Exit.USAGE
    said = capsys.readouterr().out
    assert ("GITHUB_EVENT_PATH is not set" if token else "configs is empty") in said
    assert "canary" not in said


def test_the_job_that_runs_an_engine_refuses_a_token(capsys):
    environ = {"GATE_INPUT_MODE": "run", "GATE_GITHUB_TOKEN": "ghs_canary"}
    assert entry.main(environ) == Exit.USAGE
    said = capsys.readouterr().out
    assert "measure without a token" in said
    assert "canary" not in said


@pytest.mark.parametrize("mode", ["plan", "report", "command"])
def test_each_mode_says_what_it_misses_as_an_annotation(mode, capsys, tmp_path):
    environ = {
        "GATE_INPUT_MODE": mode,
        "GITHUB_OUTPUT": str(tmp_path / "o"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "s"),
    }
    assert entry.main(environ) == Exit.USAGE
    assert "GITHUB_EVENT_PATH is not set" in capsys.readouterr().out


def test_an_unknown_mode_is_refused(capsys):
    assert entry.main({"GATE_INPUT_MODE": "dance"}) == Exit.USAGE
    assert "mode 'dance' is not supported" in capsys.readouterr().out
