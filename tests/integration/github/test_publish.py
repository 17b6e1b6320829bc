"""`gate publish`, as a process without anything of Actions around it, against the fake."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gate.decide import DEFAULT_FAIL_ON
from gate.github.acceptance import AcceptedCells
from gate.github.elsewhere import PublishRequest, publish_records
from gate.github.second_stage import Stage
from gate.model.cell import Cell
from gate.report.note import has_note, with_note
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.calls import Reply
from tests.support.github_fake.state import Pull, Repository
from tests.support.hubs import AT_ONCE
from tests.support.project import CELL, STORED, Finished, Project, environment, finished_with

NOWHERE = Path("no-such-folder")
HEALTHY, WORSE = ("--accuracy", "0.6"), ("--accuracy", "0.2")
CANARY = "ghs_canary0123456789"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A user's repository with a baseline."""
    made = Project(tmp_path_factory.mktemp("project"))
    done = made.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return made


Measure = Callable[..., Path]


@pytest.fixture
def measure(project: Project, repository: Repository) -> Measure:
    """Measure a commit against another; what was measured for one test is there for the next."""

    def measured(head: str, engine: tuple[str, ...], base: str | None = None) -> Path:
        out = project.folder / f"{head[:12]}-{base}-{engine[-1]}"
        if not out.exists():
            heads = ["--head-sha", head, *(["--base-sha", base] if base else [])]
            project.gate(["run"], "--out", str(out), *heads, engine=project.engine(*engine))
        return out / "records"

    return measured


def publish(
    fake: FakeGitHub,
    project: Project,
    sha: str,
    *options: str,
    records: Path = NOWHERE,
    token: str | None = None,
) -> Finished:
    """Run it; the token stands in the environment only."""
    command = [
        *(sys.executable, "-m", "gate", "publish", str(records)),
        *("configs/stub.yaml", "--arch", "cpu", "--repo", "org/engine", "--sha", sha, *options),
    ]
    given = {"GITHUB_API_URL": fake.url, "GITHUB_TOKEN": token or fake.token()}
    return finished_with(command, project.folder, environment() | given)


@pytest.fixture
def post(
    fake: FakeGitHub,
    project: Project,
    measure: Measure,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., str]:
    """What the command does, in this process, without the pauses between writes: how the check concluded."""
    monkeypatch.chdir(project.folder)

    def posted(
        sha: str, engine: tuple[str, ...] | None = WORSE, *, pull: int | None = 1, **changes: Any
    ) -> str:
        base = repository.git.find("main") if pull else None
        records = measure(sha, engine, base) if engine else NOWHERE
        stage = Stage((Path("configs/stub.yaml"),), Path("baselines"), DEFAULT_FAIL_ON, "cpu")
        event = "pull_request" if pull else "schedule"
        request = PublishRequest(records, stage, "org/engine", sha, None, pull, event, None, False)
        environ = {"GITHUB_API_URL": fake.url, "GITHUB_TOKEN": fake.token()}
        done = publish_records(replace(request, **changes), environ, datetime.now(UTC), AT_ONCE)
        return done.published.conclusion if done.published else "in progress"

    return posted


@pytest.fixture(autouse=True)
def approved(pull: Pull) -> None:
    """The engine runs beside the gate here, so a pass needs an approval; most tests are not about that."""
    approve(pull)


def approve(pull: Pull) -> None:
    pull.reviews.append({"login": "mia", "state": "APPROVED", "sha": pull.head})


def test_a_regression_is_one_comment_and_a_failed_check(
    fake: FakeGitHub, project: Project, repository: Repository, pull: Pull, measure: Measure
) -> None:
    records = measure(pull.head, WORSE, repository.git.find("main"))
    done = publish(fake, project, pull.head, "--pr", str(pull.number), records=records)
    assert done.code == 1, done.err
    (comment,) = repository.comments_on(pull.number)
    (check,) = repository.checks.values()
    assert "Regression" in comment["body"].splitlines()[0]
    assert pull.head in comment["body"]
    assert (check["conclusion"], check["head_sha"]) == ("failure", pull.head)
    assert [a["path"] for a in check["annotations"]] == ["configs/stub.yaml"]
    assert done.out.splitlines()[0] == "regression: the check concluded failure"


def test_what_was_posted_is_told_as_json_too(
    fake: FakeGitHub, project: Project, repository: Repository, pull: Pull
) -> None:
    announced = publish(fake, project, pull.head, "--pr", "1", "--pending", "--json")
    assert announced.code == 0, announced.err
    done = publish(fake, project, pull.head, "--pr", "1", "--json")
    assert done.code == 4
    said = json.loads(done.out)
    assert said["check_url"] == json.loads(announced.out)["check_url"]
    assert (said["verdict"], said["conclusion"]) == ("not_measured", "failure")
    assert said["comment_url"].startswith("https://github.com/org/engine/pull/1#issuecomment-")


def test_it_is_announced_first_and_the_same_check_run_is_concluded(
    post: Callable[..., str], repository: Repository, pull: Pull
) -> None:
    assert post(pull.head, None, pending=True) == "in progress"
    assert [c["status"] for c in repository.checks.values()] == ["in_progress"]
    assert repository.comments_on(pull.number) == []
    assert post(pull.head, HEALTHY) == "success"
    assert [c["conclusion"] for c in repository.checks.values()] == ["success"]


def test_numbers_that_nobody_attests_need_an_approval_of_this_commit(
    post: Callable[..., str], repository: Repository, pull: Pull
) -> None:
    pull.reviews.clear()
    assert post(pull.head, HEALTHY) == "action_required"
    approve(pull)
    assert post(pull.head, HEALTHY) == "success"
    (comment,) = repository.comments_on(pull.number)
    assert re.search(r"mia.{0,20} approved this commit", comment["body"])


def test_no_records_at_all_are_a_measurement_that_failed(
    post: Callable[..., str], repository: Repository, pull: Pull
) -> None:
    assert post(pull.head, None) == "failure"
    (comment,) = repository.comments_on(pull.number)
    assert comment["body"].startswith("## ⛔ Not measured")


def test_records_of_another_commit_are_no_measurement_of_this_one(
    post: Callable[..., str], measure: Measure, repository: Repository, pull: Pull
) -> None:
    others = measure(repository.git.find("main"), HEALTHY)
    assert post(pull.head, None, records=others) == "failure"
    (comment,) = repository.comments_on(pull.number)
    assert "not those of this commit" in comment["body"]


def accepted(pull: Pull) -> str:
    arch, config, backend = CELL.split("/")
    cell = Cell(arch=arch, config=config, backend=backend)
    return AcceptedCells(head_sha=pull.head, by="mia", reason="int4 is worth it", cells=(cell,)).marker()


def test_a_regression_that_was_accepted_for_this_head_does_not_block_until_a_push(
    post: Callable[..., str], repository: Repository, pull: Pull
) -> None:
    repository.comment(1, "contributor", accepted(pull))
    assert post(pull.head) == "failure"
    repository.comment(1, "github-actions[bot]", accepted(pull))
    assert post(pull.head) == "success"
    text = list(repository.checks.values())[-1]["output"]["text"]
    assert text == "No regression waits for an acceptance."
    pull.push("another change\n")
    approve(pull)
    assert post(pull.head) == "failure"
    (comment, *_) = [c for c in repository.comments_on(1) if c["body"].startswith("##")]
    assert "Regression" in comment["body"].splitlines()[0]


def test_an_acceptance_while_the_report_is_being_posted_is_in_it(
    post: Callable[..., str], fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    fake.fail(
        "issues/create-comment",
        reply=Reply(502, {"message": "Bad Gateway"}),
        meanwhile=lambda: repository.comment(1, "github-actions[bot]", accepted(pull)),
    )
    assert post(pull.head) == "success"
    (comment,) = [c for c in repository.comments_on(1) if c["body"].startswith("##")]
    assert "int4 is worth it" in comment["body"]


def test_the_next_heads_measurement_says_at_once_that_what_was_accepted_is_void(
    post: Callable[..., str], repository: Repository, pull: Pull
) -> None:
    post(pull.head)
    (comment,) = repository.comments_on(1)
    assert post(pull.push("another change\n"), None, pending=True) == "in progress"
    assert "void" not in comment["body"]
    comment["body"] = with_note(comment["body"], "> **Accepted by `@mia`:** it is meant")
    assert post(pull.push("a third\n"), None, pending=True) == "in progress"
    assert comment["body"].splitlines()[3] == (
        f"> **What was accepted here is void:** `{pull.head[:12]}` was pushed, and is measured now."
    )
    assert "Accepted by" not in comment["body"]
    assert post(pull.head, HEALTHY) == "action_required"
    assert not has_note(comment["body"])


def test_a_measurement_of_the_same_head_again_leaves_what_was_accepted(
    post: Callable[..., str], repository: Repository, pull: Pull
) -> None:
    post(pull.head)
    (comment,) = repository.comments_on(1)
    comment["body"] = with_note(comment["body"], "> **Accepted by `@mia`:** it is meant")
    post(pull.head, None, pending=True)
    assert "Accepted by" in comment["body"]


def test_an_acceptance_by_somebody_who_may_not_write_any_more_is_void(
    post: Callable[..., str], repository: Repository, pull: Pull
) -> None:
    repository.comment(1, "github-actions[bot]", accepted(pull))
    repository.roles["mia"] = "read"
    assert post(pull.head) == "failure"


def test_earlier_heads_and_their_verdicts_stay_in_the_comment(
    post: Callable[..., str], repository: Repository, pull: Pull
) -> None:
    first = pull.head
    post(first)
    post(pull.push("another change\n"), HEALTHY)
    (comment,) = repository.comments_on(pull.number)
    assert f"`{first[:12]}` regression" in comment["body"]


def test_without_a_pull_request_there_is_only_the_check_run(
    post: Callable[..., str], repository: Repository
) -> None:
    main = repository.git.find("main")
    assert main is not None
    assert post(main, HEALTHY, pull=None) in ("success", "action_required")
    assert [c["head_sha"] for c in repository.checks.values()] == [main]
    assert repository.comments == {}


def test_a_head_that_moved_is_refused_and_nothing_is_posted(
    fake: FakeGitHub, project: Project, repository: Repository, pull: Pull
) -> None:
    old = pull.head
    pull.push("more\n")
    done = publish(fake, project, old, "--pr", "1")
    assert done.code == 4
    assert "the newer head gets its own report" in done.err
    assert fake.writes() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sha", "abc"], "not a whole commit"),
        (["--repo", "engine"], "not a repository"),
        (["--pr", "99"], "404"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(
    fake: FakeGitHub, project: Project, pull: Pull, options: list[str], said: str
) -> None:
    done = publish(fake, project, pull.head, *options)
    assert done.code in (2, 4)
    assert said in done.err
    assert "Traceback" not in done.err


def test_the_token_is_in_no_output_file_or_argument(
    fake: FakeGitHub, project: Project, repository: Repository, pull: Pull, measure: Measure
) -> None:
    records = measure(pull.head, WORSE, repository.git.find("main"))
    base = ("--base-sha", repository.git.find("main") or "")
    fake.world.tokens[CANARY] = fake.world.tokens[fake.token()]
    fake.world.tokens[CANARY + "r"] = fake.world.tokens[fake.token(grants=frozenset())]
    seen = []

    def arguments() -> None:
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes()
            except OSError:
                continue
            if b"publish" in line:
                seen.append(line)

    fake.fail("checks/create", meanwhile=arguments)
    outputs = [
        publish(fake, project, pull.head, *base, records=records, token=CANARY),
        publish(fake, project, pull.head, "--pr", "1", records=records, token=CANARY + "r"),
    ]
    assert [done.code for done in outputs] == [1, 4]
    assert seen
    files = [path.read_bytes() for path in project.folder.rglob("*") if path.is_file()]
    everything = b"".join([*seen, *files, *(str(done).encode() for done in outputs)])
    posted = json.dumps([[*repository.comments.values()], [*repository.checks.values()]])
    assert CANARY.encode() not in everything
    assert CANARY not in posted
    assert os.environ.get("GITHUB_TOKEN") != CANARY
