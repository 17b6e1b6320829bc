"""The shipped workflows in the real act runner, in both stages, against a fake GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.state import Pull
from tests.support.project import STORED, Project
from tests.support.stages import OURS, TEMPLATES, Workplace


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    folder = tmp_path_factory.mktemp("stages")
    (folder / "project").mkdir()
    project = Project(folder / "project")
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    with FakeGitHub(folder / "github") as fake:
        yield Workplace(fake, project, folder)
        assert fake.violations == []


def opened(pull: Pull, action: str, **more: Any) -> dict[str, Any]:
    """The event of a pull request."""
    head = {"sha": pull.head, "ref": pull.head_ref, "repo": {"full_name": pull.head_repo.full_name}}
    base = {"sha": pull.head_repo.git.find("refs/heads/main"), "ref": "main"}
    request = {"number": pull.number, "head": head, "base": base}
    return {"action": action, "number": pull.number, "pull_request": request} | more


def test_a_fork_is_measured_without_and_reported_with_a_token_that_writes(workplace: Workplace) -> None:
    fork = workplace.fake.repository("contributor/engine", fork_of=workplace.repository)
    pull = workplace.pull(fork)
    run = workplace.run_of(pull)
    before = len(workplace.fake.writes())

    event = opened(pull, "labeled", label={"name": "gate"}, sender={"login": "mia"})
    measured = workplace.act("gate.yml", ("pull_request", event), "--accuracy", "0.2", run=run)
    assert measured.job("plan") == "success", measured.log()
    assert measured.job("measure") == "failure"
    uploaded = [artifact["name"] for artifact, _ in workplace.repository.artifacts.values()]
    assert uploaded == ["gate-records-cpu__stub__default"], measured.log()
    assert not any(measured.ran(job) for job in ("announce", "report"))
    assert len(workplace.fake.writes()) == before

    for status, conclusion in (("in_progress", None), ("completed", "failure")):
        told = {
            "id": run["id"],
            "event": "pull_request",
            "conclusion": conclusion,
            "head_sha": pull.head,
            "head_repository": {"full_name": "contributor/engine"},
            "html_url": f"https://github.com/org/engine/actions/runs/{run['id']}",
        }
        reported = workplace.act(
            "gate-report.yml", ("workflow_run", {"action": status, "workflow_run": told})
        )
        assert reported.job("report") == "success", reported.log()
        (check,) = [c for c in workplace.repository.checks.values() if c["head_sha"] == pull.head]
        assert check["status"] == status
    assert check["conclusion"] == "failure"
    (comment,) = workplace.repository.comments_on(pull.number)
    assert comment["body"].startswith("## ❌ Regression: a drop is proven in the only cell")
    assert f"/gate refresh cpu/stub/default @{pull.head} --reason" in comment["body"]


def test_a_fork_that_nobody_labelled_is_not_measured(workplace: Workplace) -> None:
    fork = workplace.fake.repository("stranger/engine", fork_of=workplace.repository)
    pull = workplace.pull(fork)
    for event in (opened(pull, "synchronize"), opened(pull, "labeled", label={"name": "docs"})):
        # The label may still be there from an earlier head.
        event["pull_request"]["labels"] = [{"name": "gate"}]
        measured = workplace.act("gate.yml", ("pull_request", event))
        assert not any(measured.ran(job) for job in ("plan", "announce", "measure", "report")), measured.log()


def test_a_branch_of_the_repository_is_measured_and_reported_by_one_workflow(workplace: Workplace) -> None:
    pull = workplace.pull(workplace.repository)
    run = workplace.run_of(pull)
    event = ("pull_request", opened(pull, "synchronize"))
    done = workplace.act("gate.yml", event, "--accuracy", "0.6", run=run)
    assert [done.job(job) for job in ("plan", "announce", "measure", "report")] == ["success"] * 4, done.log()
    (check,) = [c for c in workplace.repository.checks.values() if c["head_sha"] == pull.head]
    # Its engine ran beside the gate: a pass that nobody attests waits for somebody's approval.
    assert check["conclusion"] == "action_required"
    (comment,) = workplace.repository.comments_on(pull.number)
    assert comment["body"].startswith("## ✅ Pass:")
    assert "> **Not attested:**" in comment["body"]


def commanded(workplace: Workplace, pull: Pull, body: str, login: str = "mia", of: str = TEMPLATES) -> str:
    """Somebody comments, the workflow that listens runs: what it answers."""
    workplace.repository.workflows |= {"gate.yml", "gate-baseline.yml"}
    comment = workplace.repository.comment(pull.number, login, body)
    told = {"id": comment["id"], "body": body, "user": {"login": login, "type": "User"}}
    event = {
        "action": "created",
        "issue": {"number": pull.number, "pull_request": {"url": "x"}},
        "comment": told | {"created_at": comment["created_at"]},
    }
    done = workplace.act("gate-commands.yml", ("issue_comment", event), of=of)
    assert done.job("command") == "success", done.log()
    return str(workplace.repository.comments_on(pull.number)[-1]["body"])


def order(workplace: Workplace, workflow: str) -> dict[str, Any]:
    """The event of the run that a command started: the only one since the last look."""
    (dispatched,) = workplace.repository.dispatches
    workplace.repository.dispatches.clear()
    assert dispatched["workflow"] == workflow
    return {"inputs": dispatched["inputs"]}


def test_somebody_who_may_not_write_starts_nothing(workplace: Workplace) -> None:
    pull = workplace.pull(workplace.fake.repository("outsider/engine", fork_of=workplace.repository))
    answer = commanded(workplace, pull, f"/gate rerun @{pull.head}", login="passerby")
    assert "only people with write access" in answer
    assert workplace.repository.dispatches == []


def test_gate_status_says_what_was_reported(workplace: Workplace) -> None:
    pull = workplace.pull(workplace.fake.repository("asker/engine", fork_of=workplace.repository))
    for of in (TEMPLATES, OURS):
        answer = commanded(workplace, pull, f"/gate status @{pull.head}", of=of)
        assert f"`status`: nothing was reported on `{pull.head[:12]}` yet" in answer


def test_gate_rerun_measures_a_forks_commit_and_reports_on_it(workplace: Workplace) -> None:
    pull = workplace.pull(workplace.fake.repository("somebody/engine", fork_of=workplace.repository))
    answer = commanded(workplace, pull, f"/gate rerun cpu/stub/default @{pull.head}")
    assert f"`cpu/stub/default` at `{pull.head[:12]}` is measured again" in answer
    event = ("workflow_dispatch", order(workplace, "gate.yml"))
    run = workplace.repository.add_run(
        workplace.base, ".github/workflows/gate.yml", workplace.repository, "main", event=event[0]
    )
    # This repository's own workflow, which is started the same way.
    done = workplace.act("gate.yml", event, "--accuracy", "0.2", run=run, of=OURS)
    assert [done.job(job) for job in ("plan", "announce", "report")] == ["success"] * 3, done.log()
    (check,) = [c for c in workplace.repository.checks.values() if c["head_sha"] == pull.head]
    assert check["conclusion"] == "failure"
    (comment,) = [c for c in workplace.repository.comments_on(pull.number) if c["body"].startswith("##")]
    assert comment["body"].startswith("## ❌ Regression:")


def test_gate_refresh_collects_an_intended_change_and_opens_its_pull_request(workplace: Workplace) -> None:
    repository = workplace.repository
    pull = workplace.pull(workplace.fake.repository("improver/engine", fork_of=repository))
    reason = "the new kernel rounds otherwise"
    commanded(workplace, pull, f'/gate refresh cpu/stub/default @{pull.head} --reason "{reason}"')
    event = ("workflow_dispatch", order(workplace, "gate-baseline.yml"))
    run = repository.add_run(workplace.base, ".github/workflows/gate-baseline.yml", repository, "main")
    done = workplace.act("gate-baseline.yml", event, "--accuracy", "0.5", run=run)
    assert [done.job(job) for job in ("plan", "collect", "accept")] == ["success"] * 3, done.log()
    (baseline,) = [found for found in repository.pulls.values() if found.title.startswith("Baseline:")]
    changed = repository.git.changed("refs/heads/main", baseline.head)
    assert changed == ["baselines/cpu/stub/default.json"]
    (comment,) = [c for c in repository.comments_on(pull.number) if "accepted by" in c["body"]]
    assert reason in comment["body"]
