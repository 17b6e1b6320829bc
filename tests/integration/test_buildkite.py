"""The pipeline of docs/buildkite.md, run as Buildkite would: each step in a checkout of its own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.act import git
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.state import Fields, Pull, Repository
from tests.support.project import ROOT, Finished, Project, environment, finished_with

LIST = "configs/models-stub.txt"
AGENT = """#!/usr/bin/env bash
# The agent, which fails where it finds nothing to download.
[ "$1 $2" = "artifact download" ] && [ -n "$(ls "$STORE")" ] || exit 1
cp -r "$STORE/." "$4"
"""


class Pipeline:
    """The steps of the page, for one pull request."""

    def __init__(self, fake: FakeGitHub, project: Project, pull: Pull, folder: Path) -> None:
        self.folder = folder
        self._origin = fake.world.repositories["org/engine"].git.folder
        self._project = project
        page = (ROOT / "docs/buildkite.md").read_text()
        text = page.partition("```yaml\n")[2].partition("```")[0]
        self._steps: list[dict[str, Any]] = yaml.safe_load(text)["steps"]
        tools, self._store = folder / "bin", folder / "store"
        tools.mkdir()
        self._store.mkdir()
        for name, script in (
            ("gate", f'#!/usr/bin/env bash\nexec {sys.executable} -m gate "$@"\n'),
            ("buildkite-agent", AGENT),
        ):
            (tools / name).write_text(script)
            (tools / name).chmod(0o755)
        found = environment()
        self._environ = found | {
            "PATH": f"{tools}:{found['PATH']}",
            "STORE": str(self._store),
            "GITHUB_API_URL": fake.url,
            "BUILDKITE_COMMIT": pull.head,
            "BUILDKITE_PULL_REQUEST": str(pull.number),
            "BUILDKITE_PULL_REQUEST_BASE_BRANCH": "main",
            "BUILDKITE_BUILD_URL": "https://buildkite.com/org/engine/builds/7",
        }
        self._token = fake.token()

    def run(self, name: str, *engine: str) -> Finished:
        """One step, in a fresh checkout of the head; what it leaves is stored. The trusted hold the token."""
        (step,) = [step for step in self._steps if name in step["label"]]
        checkout = self.folder / name
        git(self.folder, "clone", "--quiet", str(self._origin), str(checkout))
        git(checkout, "fetch", "--quiet", "origin", "+refs/pull/*:refs/pull/*")
        git(checkout, "checkout", "--quiet", self._environ["BUILDKITE_COMMIT"])
        token = {"GATE_GITHUB_TOKEN": self._token} if step["agents"] == {"queue": "trusted"} else {}
        script = "\n".join(step.get("commands") or [step["command"]]).replace("$$", "$")
        engine_here = f'--engine-command "$ENGINE" --model {self._project.model}'
        script = script.replace("configs/models-gfx950.txt", LIST).replace(
            "--engine-command /opt/engine/bin/vllm",
            f"{engine_here} --dataset-path {self._project.dataset}",
        )
        environ = self._environ | token | {"ENGINE": self._project.engine(*engine)}
        done = finished_with(["bash", "-e", "-c", script], checkout, environ)
        for path in checkout.glob(step.get("artifact_paths", "nothing")):
            kept = self._store / path.relative_to(checkout)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, kept)
        return done


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A user's repository with a baseline."""
    made = Project(tmp_path_factory.mktemp("project"))
    done = made.collect("--accuracy", "0.6", repeats=64)
    assert done.code == 0, done.err
    return made


@pytest.fixture
def fake(tmp_path: Path, project: Project) -> Iterator[FakeGitHub]:
    with FakeGitHub(tmp_path / "github") as running:
        running.repository("org/engine").git.commit_files(
            "main",
            {
                "configs/stub.yaml": project.config.read_text(),
                LIST: "stub.yaml\n",
                "configs/runners.yaml": "lists: {models-stub.txt: {arch: cpu, runs_on: [gpu]}}\n",
                "baselines/cpu/stub/default.json": project.baseline.read_text(),
            },
        )
        yield running
        assert running.violations == []


@pytest.fixture
def repository(fake: FakeGitHub) -> Repository:
    return fake.world.repositories["org/engine"]


@pytest.fixture
def pull(fake: FakeGitHub, repository: Repository) -> Pull:
    fork = fake.repository("contributor/engine", fork_of=repository)
    fork.git.fetch(repository.git, "refs/heads/main", "refs/heads/topic")
    fork.git.commit_files("topic", {"kernel.py": "slower = True\n"})
    return repository.open_pull(fork, "topic")


@pytest.fixture
def pipeline(fake: FakeGitHub, project: Project, pull: Pull, tmp_path: Path) -> Pipeline:
    folder = tmp_path / "buildkite"
    folder.mkdir()
    return Pipeline(fake, project, pull, folder)


def check(repository: Repository) -> Fields:
    (found,) = repository.checks.values()
    return found


def test_a_worse_change_is_announced_measured_without_a_token_and_posted(
    pipeline: Pipeline, repository: Repository, pull: Pull
) -> None:
    announced = pipeline.run("announce")
    assert announced.code == 0, announced.err
    assert (check(repository)["status"], check(repository)["head_sha"]) == ("in_progress", pull.head)

    measured = pipeline.run("measure", "--accuracy", "0.2")
    assert measured.code == 1, measured.err

    published = pipeline.run("publish")
    assert published.code == 1, published.err
    assert check(repository)["conclusion"] == "failure"
    assert check(repository)["details_url"] == "https://buildkite.com/org/engine/builds/7"
    (comment,) = repository.comments_on(pull.number)
    assert comment["body"].startswith("## ❌ Regression:")


def test_a_gpu_job_that_left_nothing_is_posted_as_not_measured(
    pipeline: Pipeline, repository: Repository, pull: Pull
) -> None:
    published = pipeline.run("publish")
    assert published.code == 4, published.err
    assert check(repository)["conclusion"] == "failure"
    (comment,) = repository.comments_on(pull.number)
    assert comment["body"].startswith("## ⛔ Not measured")
