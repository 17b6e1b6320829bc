"""`gate publish`, as a process without anything of Actions around it, against the fake."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gate.check import CheckRequest
from gate.github.acceptance import AcceptedCells
from gate.github.publish import Published, PublishRequest, run
from gate.model import Cell
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.state import Pull, Repository
from tests.support.hubs import AT_ONCE
from tests.support.project import CELL, Finished, Project, environment, finished_with

HEALTHY, WORSE = ("--accuracy", "0.6"), ("--accuracy", "0.2")
CANARY = "ghs_canary0123456789"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A measured project: records/healthy and records/worse below its folder."""
    made = Project(tmp_path_factory.mktemp("project"))
    done = made.collect(*HEALTHY, repeats=64)
    assert done.code == 0, done.err
    for name, engine in (("healthy", HEALTHY), ("worse", WORSE)):
        made.gate(["run"], "--out", str(made.folder / name), engine=made.engine(*engine))
    return made


def publish(
    fake: FakeGitHub,
    project: Project,
    sha: str,
    *options: str,
    records: str = "worse",
    token: str | None = None,
) -> Finished:
    """Run it; the token stands in the environment only."""
    command = [
        *(sys.executable, "-m", "gate", "publish", str(project.folder / records / "records")),
        *("configs/stub.yaml", "--arch", "cpu", "--repo", "org/engine", "--sha", sha, *options),
    ]
    given = {"GITHUB_API_URL": fake.url, "GITHUB_TOKEN": token or fake.token()}
    return finished_with(command, project.folder, environment() | given)


@pytest.fixture
def post(fake: FakeGitHub, project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What the command does, in this process, without the pauses between writes: how the check concluded."""
    monkeypatch.chdir(project.folder)

    def posted(
        sha: str, records: str | None = "worse", *, pull: int | None = 1, attested: bool = True
    ) -> str:
        paths = (Path("configs/stub.yaml"),)
        check = CheckRequest(Path(records, "records"), paths, Path("baselines"), "cpu") if records else None
        request = PublishRequest(check, "org/engine", sha, pull, attested=attested)
        environ = {"GITHUB_API_URL": fake.url, "GITHUB_TOKEN": fake.token()}
        _, result = run(request, environ, AT_ONCE)
        return result.conclusion if isinstance(result, Published) else "in progress"

    return posted


def test_a_regression_is_one_comment_and_a_failed_check(
    fake: FakeGitHub, project: Project, repository: Repository, pull: Pull
) -> None:
    done = publish(fake, project, pull.head, "--pr", str(pull.number), "--attested")
    assert done.code == 1, done.err
    (comment,) = repository.comments_on(pull.number)
    (check,) = repository.checks.values()
    assert "Regression" in comment["body"].splitlines()[0]
    assert pull.head in comment["body"]
    assert (check["conclusion"], check["head_sha"]) == ("failure", pull.head)
    assert [a["path"] for a in check["annotations"]] == ["configs/stub.yaml"]
    assert done.out.splitlines()[0] == "regression: the check concluded failure"


def test_it_is_announced_first_and_the_same_check_run_is_concluded(
    post: Callable[..., str], repository: Repository, pull: Pull
) -> None:
    assert post(pull.head, None) == "in progress"
    assert [c["status"] for c in repository.checks.values()] == ["in_progress"]
    assert repository.comments_on(pull.number) == []
    assert post(pull.head, "healthy") == "success"
    assert [c["conclusion"] for c in repository.checks.values()] == ["success"]


def test_numbers_that_nobody_attests_need_an_approval_of_this_commit(
    post: Callable[..., str], repository: Repository, pull: Pull
) -> None:
    assert post(pull.head, "healthy", attested=False) == "action_required"
    pull.reviews.append({"login": "mia", "state": "APPROVED", "sha": pull.head})
    assert post(pull.head, "healthy", attested=False) == "success"
    (comment,) = repository.comments_on(pull.number)
    assert re.search(r"mia.{0,20} approved this commit", comment["body"])


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
    pull.push("another change\n")
    assert post(pull.head) == "failure"


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
    post(pull.push("better\n"), "healthy")
    (comment,) = repository.comments_on(pull.number)
    assert f"`{first[:12]}` regression" in comment["body"]


def test_without_a_pull_request_there_is_only_the_check_run(
    post: Callable[..., str], repository: Repository
) -> None:
    main = repository.git.find("main")
    assert main is not None
    assert post(main, "healthy", pull=None) == "success"
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
    fake: FakeGitHub, project: Project, repository: Repository, pull: Pull
) -> None:
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
        publish(fake, project, pull.head, token=CANARY),
        publish(fake, project, pull.head, "--pr", "1", token=CANARY + "r"),
    ]
    assert [done.code for done in outputs] == [1, 4]
    assert seen
    files = [path.read_bytes() for path in project.folder.rglob("*") if path.is_file()]
    everything = b"".join([*seen, *files, *(str(done).encode() for done in outputs)])
    posted = json.dumps([[*repository.comments.values()], [*repository.checks.values()]])
    assert CANARY.encode() not in everything
    assert CANARY not in posted
    assert os.environ.get("GITHUB_TOKEN") != CANARY
