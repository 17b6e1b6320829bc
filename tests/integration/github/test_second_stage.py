"""The second stage against the fake: from a run's artifacts to the comment and the check run."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gate.errors import GitHubError, HeadMovedError, UsageError
from gate.github.artifact import ArtifactError, Caps
from gate.github.changes import changed_paths, touched
from gate.github.client import Hub
from gate.github.download import fetch_artifacts
from gate.github.head_runs import MOST_RUNS, runs_of_head
from gate.github.received import Heads
from gate.github.run_event import RunEvent, read_run_event
from gate.github.second_stage import Reported, Stage, report_run
from gate.model.result import Verdict
from gate.reporting import DEFAULT_FAIL_ON
from tests.support import hubs
from tests.support.base_branch import CONFIG, BaseBranch, artifact, zipped
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.state import Fields, Pull, Repository

NOW = datetime(2026, 11, 24, tzinfo=UTC)
GATE = ".github/workflows/gate.yml"
STAGE = Stage((Path("configs/c.yaml"),), Path("baselines"), DEFAULT_FAIL_ON, arch="gfx950", attested=True)


@pytest.fixture
def hub(fake: FakeGitHub, repository: Repository) -> Hub:
    return hubs.hub(fake)


@pytest.fixture
def branch(pull: Pull, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaseBranch:
    """The base branch, checked out: what the pull request's head is compared with."""
    base = repository.git.find("refs/heads/main")
    assert base is not None
    made = BaseBranch(tmp_path / "base", Heads(pull.head, base))
    monkeypatch.chdir(made.folder)
    return made


@pytest.fixture
def measured(branch: BaseBranch, repository: Repository, fork: Repository, pull: Pull) -> Fields:
    """The run that measured the fork's head, without artifacts so far."""
    return repository.add_run(pull.head, GATE, fork, "topic")


def event_of(run: Fields, **changes: Any) -> RunEvent:
    values = {
        "run_id": run["id"],
        "measured_on": run["event"],
        "going_on": False,
        "of_another_run": True,
        "pull": None,
        "head_sha": run["head_sha"],
        "base_sha": "",
        "url": f"https://github.com/org/engine/actions/runs/{run['id']}",
    }
    return RunEvent(**(values | changes))


def upload(repository: Repository, run: Fields, branch: BaseBranch, *shifts: float, name: str = "") -> None:
    """A record of the first cells, each with its shift, in an artifact each."""
    for number, (spec, shift) in enumerate(zip(branch.specs, shifts, strict=False)):
        path = artifact(branch.folder / f"{number}.zip", branch.record(spec, shift=shift, seed=number))
        repository.add_artifact(run, f"gate-records{name}-{number}", path.read_bytes())


def report(hub: Hub, branch: BaseBranch, event: RunEvent, stage: Stage = STAGE) -> Reported:
    return report_run(hub, stage, event, branch.folder / "artifacts", NOW)


def the_check(repository: Repository) -> Fields:
    (check,) = repository.checks.values()
    return check


def test_a_run_that_begins_is_a_check_in_progress_on_the_head(hub, repository, branch, measured, pull):
    found = report(hub, branch, event_of(measured, going_on=True))
    assert (found.report, found.published) == (None, None)
    check = the_check(repository)
    assert (check["head_sha"], check["status"]) == (pull.head, "in_progress")
    assert repository.comments_on(pull.number) == []


def test_a_forks_run_is_decided_again_and_posted_on_its_pull_request(hub, repository, branch, measured, pull):
    upload(repository, measured, branch, 0.0, 0.0)
    found = report(hub, branch, event_of(measured))
    assert found.report is not None
    assert found.report.verdict is Verdict.PASS
    assert the_check(repository)["conclusion"] == "success"
    (comment,) = repository.comments_on(pull.number)
    assert comment["body"].startswith("## ✅ Pass: a drop of 10 points or more is ruled out in all 2 cells")
    assert pull.head in comment["body"]
    assert "attested: the pinned gate measured" in comment["body"]


def test_a_regression_is_a_failure_annotated_at_its_backend(hub, repository, branch, measured, pull):
    upload(repository, measured, branch, 0.0, -0.25)
    report(hub, branch, event_of(measured))
    check = the_check(repository)
    assert check["conclusion"] == "failure"
    (annotation,) = check["annotations"]
    assert annotation["path"] == "configs/c.yaml"
    line = branch.config.read_text().splitlines()[annotation["start_line"] - 1]
    assert line == "  triton: {}"


def test_a_config_without_backends_is_annotated_where_it_begins(branch):
    branch.config.write_text("# One cell.\n" + yaml.safe_dump(CONFIG))
    (spec,) = branch.specs
    assert (spec.cell.backend, spec.line) == ("default", 2)


def test_a_run_without_artifacts_is_not_measured(hub, repository, branch, measured, pull):
    found = report(hub, branch, event_of(measured))
    assert found.report is not None
    assert found.report.verdict is Verdict.NOT_MEASURED
    assert the_check(repository)["conclusion"] == "failure"


def test_other_artifacts_of_the_run_are_not_looked_at(hub, repository, branch, measured):
    upload(repository, measured, branch, 0.0, 0.0)
    repository.add_artifact(measured, "gate-logs", b"not a zip")
    found = report(hub, branch, event_of(measured))
    assert found.report is not None
    assert found.report.verdict is Verdict.PASS


def test_of_a_rerun_the_newest_artifact_counts(hub, repository, branch, measured):
    upload(repository, measured, branch, -0.25, 0.0)
    upload(repository, measured, branch, 0.0, 0.0)
    found = report(hub, branch, event_of(measured))
    assert found.report is not None
    assert found.report.verdict is Verdict.PASS


def test_a_hostile_artifact_is_refused_and_reported_as_such(hub, repository, branch, measured, pull):
    bomb = zipped(branch.folder / "bomb.zip", {"../evil.json": b"0" * 50_000_000})
    repository.add_artifact(measured, "gate-records-x", bomb.read_bytes())
    report(hub, branch, event_of(measured))
    (comment,) = repository.comments_on(pull.number)
    assert "hat the run uploaded was refused: an artifact unpacks to more than is read" in comment["body"]
    assert the_check(repository)["conclusion"] == "failure"


def test_more_artifacts_or_bytes_than_are_read_are_not_even_fetched(hub, fake, repository, branch, measured):
    upload(repository, measured, branch, 0.0, 0.0)
    for caps in (Caps(files=1), Caps(archive=10)):
        with pytest.raises(ArtifactError):
            fetch_artifacts(hub, measured["id"], branch.folder / "artifacts", caps)
    assert fake.count("actions/download-artifact") == 0


def test_an_artifact_that_is_larger_than_it_says_is_dropped_on_the_way(hub, repository, branch, measured):
    fields = repository.add_artifact(measured, "gate-records-x", b"0" * 1_000_000)
    fields["size_in_bytes"] = 1
    with pytest.raises(ArtifactError, match="more than 1,000 bytes"):
        fetch_artifacts(hub, measured["id"], branch.folder / "artifacts", Caps(archive=1_000))


def test_an_artifact_that_is_gone_says_so_and_shows_no_address(hub, fake, repository, branch, measured):
    upload(repository, measured, branch, 0.0)
    from tests.support.github_fake.calls import Reply

    fake.fail(
        "actions/download-artifact", reply=Reply(302, None, {"Location": f"{fake.url}/_storage/9?sig=x"})
    )
    with pytest.raises(GitHubError, match="could not be fetched: HTTPError") as error:
        fetch_artifacts(hub, measured["id"], branch.folder / "artifacts")
    assert "sig" not in str(error.value)
    fake.fail("actions/download-artifact", reply=Reply(302, None, {"Location": "ftp://storage/9"}))
    with pytest.raises(GitHubError, match="is gone"):
        fetch_artifacts(hub, measured["id"], branch.folder / "artifacts")


def test_a_head_that_has_moved_is_not_reported_on(hub, repository, branch, measured, pull):
    upload(repository, measured, branch, 0.0, 0.0)
    pull.push("faster = False\n")
    with pytest.raises(HeadMovedError):
        report(hub, branch, event_of(measured))
    assert repository.checks == {}
    assert repository.comments_on(pull.number) == []


def test_a_run_of_another_workflow_is_not_reported_on(hub, repository, branch, fork, pull):
    run = repository.add_run(pull.head, ".github/workflows/evil.yml", fork, "topic")
    with pytest.raises(GitHubError, match=r"is of \.github/workflows/evil\.yml"):
        report(hub, branch, event_of(run))
    assert repository.checks == {}


def test_a_record_that_claims_another_pull_requests_commit_is_refused(
    hub, repository, branch, measured, pull
):
    elsewhere = BaseBranch(branch.folder / "elsewhere", Heads("9" * 40, branch.heads.base_sha))
    upload(repository, measured, elsewhere, 0.0, 0.0)
    report(hub, branch, event_of(measured))
    (comment,) = repository.comments_on(pull.number)
    assert "its samples are not those of this commit against this base" in comment["body"]


@pytest.mark.parametrize("path", [GATE, ".github/actions/gate/action.yml"])
def test_a_pull_request_that_changes_what_measures_is_not_attested(hub, repository, branch, pull, path):
    pull.head_repo.git.commit_files("topic", {path: "on: push\n"})
    changed = BaseBranch(branch.folder / "again", Heads(pull.head, branch.heads.base_sha))
    run = repository.add_run(pull.head, GATE, pull.head_repo, "topic")
    upload(repository, run, changed, 0.0, 0.0)
    report(hub, branch, event_of(run))
    (comment,) = repository.comments_on(pull.number)
    assert comment["body"].splitlines()[2].startswith("> **This pull request changes what decides verdicts:")
    assert "> **Not attested:**" in comment["body"]
    assert the_check(repository)["conclusion"] == "action_required"


def test_numbers_of_an_engine_that_was_not_in_a_container_are_not_attested(hub, repository, branch, measured):
    path = branch.folder / "p.zip"
    records = [branch.record(spec, provenance={"launcher": "process"}) for spec in branch.specs]
    repository.add_artifact(measured, "gate-records", artifact(path, *records).read_bytes())
    report(hub, branch, event_of(measured))
    assert the_check(repository)["conclusion"] == "action_required"


def test_a_branch_of_the_repository_is_reported_on_by_a_second_job_of_the_same_run(
    hub, repository, branch, measured, pull
):
    upload(repository, measured, branch, 0.0, 0.0)
    own = event_of(measured, of_another_run=False, pull=pull.number)
    assert report(hub, branch, own).published is not None
    pull.push("more = True\n")
    with pytest.raises(HeadMovedError):
        report(hub, branch, own)


def test_a_run_that_was_dispatched_for_a_pull_request_is_one_of_that_pull_request(
    hub, repository, branch, fork, pull
):
    branch.write_config(when={"events": ["pull_request"]})
    run = repository.add_run(branch.heads.base_sha, GATE, repository, "main", event="workflow_dispatch")
    upload(repository, run, branch, 0.0, 0.0)
    event = event_of(run, of_another_run=False, pull=pull.number, head_sha=pull.head)
    found = report(hub, branch, event)
    assert found.report is not None
    assert found.report.verdict is Verdict.PASS


def test_a_number_of_somebody_elses_pull_request_in_an_artifact_moves_nothing(
    hub, repository, branch, measured, pull
):
    victim = repository.open_pull(repository, "main", author="mia")
    upload(repository, measured, branch, 0.0, 0.0)
    claims = {"pull-request.json": json.dumps({"number": victim.number, "head_sha": victim.head})}
    content = zipped(branch.folder / "pr.zip", claims).read_bytes()
    repository.add_artifact(measured, "gate-records-pr", content)
    report(hub, branch, event_of(measured))
    (comment,) = repository.comments_on(pull.number)
    assert "**Not read:** 1 file of what the run uploaded holds no run record." in comment["body"]
    assert repository.comments_on(victim.number) == []
    assert {check["head_sha"] for check in repository.checks.values()} == {pull.head}


def rerun_of(repository: Repository, pull: Pull, **changes: Any) -> Fields:
    """A run that `/gate rerun` started, as GitHub lists it: of the default branch, told by its name."""
    base = repository.git.find("refs/heads/main")
    values = {"event": "workflow_dispatch", "display_title": f"gate {pull.head}"} | changes
    return repository.add_run(str(base), values.pop("path", GATE), repository, "main", **values)


def verdicts(hub: Hub, branch: BaseBranch, run: Fields, pull: Pull) -> dict[str, Verdict]:
    event = event_of(run, of_another_run=False, pull=pull.number, head_sha=pull.head)
    found = report(hub, branch, event, replace(STAGE, attested=True)).report
    assert found is not None
    return {cell.cell.backend: cell.verdict for cell in found.cells}


def test_a_rerun_of_one_cell_leaves_the_others_as_they_were(hub, repository, branch, measured, pull):
    upload(repository, measured, branch, -0.25)
    assert verdicts(hub, branch, measured, pull) == {
        "aiter": Verdict.REGRESSION,
        "triton": Verdict.NOT_MEASURED,
    }
    first, second = rerun_of(repository, pull), rerun_of(repository, pull)
    path = artifact(branch.folder / "t.zip", branch.record(branch.specs[1]))
    repository.add_artifact(first, "gate-records-t", path.read_bytes())
    for rerun in (first, second):  # the second measures nothing more, and knows what the first one found
        assert verdicts(hub, branch, rerun, pull) == {"aiter": Verdict.REGRESSION, "triton": Verdict.PASS}
    (comment,) = repository.comments_on(pull.number)
    assert comment["body"].count("decided by an earlier run of this commit") == 2
    assert "attested: the pinned gate measured" in comment["body"]


def test_what_was_decided_is_not_decided_again_until_chance_pleases(hub, repository, branch, measured, pull):
    upload(repository, measured, branch, -0.25, 0.0)
    rerun = rerun_of(repository, pull)
    upload(repository, rerun, branch, 0.0, 0.0)
    assert verdicts(hub, branch, rerun, pull)["aiter"] is Verdict.REGRESSION


def test_an_earlier_run_that_nobody_attests_makes_the_whole_unattested(
    hub, repository, branch, measured, pull
):
    on_host = branch.record(branch.specs[0], provenance={"launcher": "process"})
    content = artifact(branch.folder / "h.zip", on_host).read_bytes()
    repository.add_artifact(measured, "gate-records-h", content)
    rerun = rerun_of(repository, pull)
    path = artifact(branch.folder / "t.zip", branch.record(branch.specs[1]))
    repository.add_artifact(rerun, "gate-records-t", path.read_bytes())
    assert set(verdicts(hub, branch, rerun, pull).values()) == {Verdict.PASS}
    assert the_check(repository)["conclusion"] == "action_required"


def test_an_earlier_artifact_that_is_refused_decided_nothing(hub, repository, branch, measured, pull):
    repository.add_artifact(measured, "gate-records-x", b"no zip")
    rerun = rerun_of(repository, pull)
    upload(repository, rerun, branch, 0.0, 0.0)
    assert set(verdicts(hub, branch, rerun, pull).values()) == {Verdict.PASS}


@pytest.mark.parametrize(
    "changes",
    [
        {"path": ".github/workflows/mine.yml"},
        {"display_title": f"gate {'9' * 40}"},
        {"head_branch": "mine"},
        {"event": "push"},
        {"event": "pull_request"},
    ],
)
def test_a_run_that_is_none_of_this_head_decided_nothing(hub, repository, branch, pull, changes):
    other = rerun_of(repository, pull, **changes)
    if changes.get("event") == "pull_request":
        other["head_sha"] = pull.head  # of the same commit, but by a branch of this repository
    upload(repository, other, branch, -0.25, -0.25)
    rerun = rerun_of(repository, pull)
    upload(repository, rerun, branch, 0.0, 0.0)
    assert set(verdicts(hub, branch, rerun, pull).values()) == {Verdict.PASS}


def test_a_report_that_comes_late_takes_nothing_back(hub, repository, branch, measured, pull):
    upload(repository, measured, branch, 0.0)
    rerun = rerun_of(repository, pull)
    upload(repository, rerun, branch, -0.25, 0.0)
    for run in (rerun, measured):
        assert set(verdicts(hub, branch, run, pull).values()) == {Verdict.PASS}


def test_of_very_many_runs_the_oldest_are_read_and_the_one_that_is_reported(
    hub, repository, branch, measured, pull
):
    runs = [measured, *(rerun_of(repository, pull) for _ in range(MOST_RUNS + 2))]
    api = hub.repository.get_pull(pull.number)
    found = runs_of_head(hub, api, pull.head, GATE, runs[-1]["id"])
    assert found == tuple(run["id"] for run in (*runs[:MOST_RUNS], runs[-1]))


def test_a_push_gets_a_check_run_and_no_comment(hub, repository, branch, measured):
    base = branch.heads.base_sha
    pushed = BaseBranch(branch.folder / "pushed", Heads(base, "3" * 40))
    run = repository.add_run(base, GATE, repository, "main", event="push")
    upload(repository, run, pushed, 0.0, 0.0)
    report(
        hub, branch, event_of(run, of_another_run=False, base_sha="3" * 40), replace(STAGE, attested=False)
    )
    check = the_check(repository)
    assert (check["head_sha"], check["conclusion"]) == (base, "success")
    assert repository.comments == {}
    assert repository.issues == {}


def test_a_push_that_regresses_opens_an_issue_of_its_config(hub, repository, branch, measured):
    base = branch.heads.base_sha
    pushed = BaseBranch(branch.folder / "pushed", Heads(base, "3" * 40))
    run = repository.add_run(base, GATE, repository, "main", event="push")
    upload(repository, run, pushed, -0.25, 0.0)
    report(hub, branch, event_of(run, of_another_run=False, base_sha="3" * 40))
    (issue,) = repository.issues.values()
    assert issue["title"] == "Regression: c"


def test_what_decides_verdicts_is_told_apart_from_what_does_not(hub, fork, pull, branch):
    fork.git.commit_files("topic", {"baselines/gfx950/c/aiter.json": "{}", "configs/c.yaml": "x"})
    api = hub.repository.get_pull(pull.number)
    paths = changed_paths(api)
    assert paths is not None
    assert {"kernel.py", "configs/c.yaml", "baselines/gfx950/c/aiter.json"} == set(paths)
    from pathlib import PurePosixPath as P

    def of(*names: str) -> tuple[str, ...]:
        return touched(names, [P("configs/c.yaml")], P("baselines"))

    assert of(*paths) == ("configs", "baselines")
    assert of("kernel.py", "docs/a.md", "configs.py") == ()
    assert of(".github/workflows/x.yml", "action.yml", "CODEOWNERS") == (
        "workflows",
        "the gate's pin",
        "code owners",
    )
    assert touched(None, [], P("baselines")) == ("more files than GitHub lists",)


def test_a_renamed_file_is_touched_under_both_names():
    renamed = SimpleNamespace(filename="old/c.yaml", previous_filename="configs/c.yaml")
    assert changed_paths(SimpleNamespace(get_files=lambda: [renamed])) == ("old/c.yaml", "configs/c.yaml")


def test_a_change_of_more_files_than_github_lists_may_touch_anything():
    listed = SimpleNamespace(filename="kernel.py", previous_filename=None)
    assert changed_paths(SimpleNamespace(get_files=lambda: [listed] * 2_999)) == ("kernel.py",)
    assert changed_paths(SimpleNamespace(get_files=lambda: [listed] * 3_000)) is None


def written(path: Path, event: dict[str, Any]) -> Path:
    path.write_text(json.dumps(event))
    return path


ENVIRON = {
    "GITHUB_RUN_ID": "7",
    "GITHUB_SHA": "5" * 40,
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "org/engine",
}


def test_the_events_that_can_be_reported_on_are_read(tmp_path):
    def read(name: str, event: dict[str, Any]) -> RunEvent:
        return read_run_event(written(tmp_path / "e.json", event), ENVIRON | {"GITHUB_EVENT_NAME": name})

    pull = {"number": 3, "head": {"sha": "1" * 40}, "base": {"sha": "2" * 40}}
    assert read("pull_request", {"pull_request": pull})[4:7] == (3, "1" * 40, "2" * 40)
    inputs = {"pull-request": "3", "head-sha": "1" * 40}
    assert read("workflow_dispatch", {"inputs": inputs})[4:7] == (3, "1" * 40, "")
    assert read("workflow_dispatch", {"inputs": None})[4:7] == (None, "5" * 40, "")
    assert read("push", {"before": "4" * 40})[4:7] == (None, "5" * 40, "4" * 40)
    assert read("schedule", {})[0:2] == (7, "schedule")
    run = {"id": 9, "event": "pull_request", "head_sha": "1" * 40, "html_url": "https://github.com/x"}
    for action, going_on in (("requested", True), ("in_progress", True), ("completed", False)):
        found = read("workflow_run", {"action": action, "workflow_run": run})
        assert (found.run_id, found.going_on, found.of_another_run) == (9, going_on, True)


@pytest.mark.parametrize(
    ("name", "event"), [("workflow_run", {}), ("pull_request", {}), ("pull_request", [])]
)
def test_an_event_that_cannot_be_reported_on_is_refused(tmp_path, name, event):
    with pytest.raises(UsageError, match="mode: report belongs into a job of its own"):
        read_run_event(written(tmp_path / "e.json", event), ENVIRON | {"GITHUB_EVENT_NAME": name})
    with pytest.raises(UsageError, match="is not an event"):
        read_run_event(tmp_path / "none.json", ENVIRON)
