"""From an empty repository to a green run: `gate init`, its README's command, and act on what it wrote."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support.act import git, run_workflow
from tests.support.github_fake import FakeGitHub
from tests.support.project import finished
from tests.support.questions import write_questions
from tests.support.stages import act_options, stand_ins
from tests.support.waiting import PATIENCE
from tests.support.workflows import ROOT

PIN = "acme/vllm-eval-gate@" + "3" * 40
MODEL = "acme/tiny-gpt-oss-w4a8"
LOG = ROOT / "tests/logs/vllm-0.32.0-cpu-emulation.log"
ENGINE = f"{sys.executable} {ROOT}/tests/support/engine_stub.py --accuracy 0.6 --log {LOG}"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """The Hugging Face cache of a runner, with the model in it."""
    folder = tmp_path / "huggingface"
    cached = folder / "hub" / f"models--{MODEL.replace('/', '--')}"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs/main").write_text("4" * 40)
    (cached / "snapshots" / ("4" * 40)).mkdir(parents=True)
    (cached / "snapshots" / ("4" * 40) / "config.json").write_text("{}")
    return folder


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeGitHub]:
    with FakeGitHub(tmp_path / "github") as started:
        yield started
        assert started.violations == []


def readmes_command(repository: Path) -> list[str]:
    """The one command of the section that `gate init` wrote into README."""
    block = (repository / "README.md").read_text().split("```sh\n")[1].split("```")[0]
    words = shlex.split(block.replace("\\\n", " "))
    assert words[0] == "gate"
    return [sys.executable, "-m", *words]


def make_it_ours(repository: Path) -> None:
    """What an owner changes in the config: model, questions, a margin that so few allow, one backend."""
    write_questions(repository / "questions.csv", 60)
    config = repository / "configs/tiny-gpt-oss-w4a8.yaml"
    text = config.read_text()
    for before, ours in (
        ("model_name: local/tiny-gpt-oss-w4a8", f"model_name: {MODEL}"),
        ("task: gpqa_diamond", "task: {name: gpqa_diamond, dataset: questions.csv}"),
        ("margin: 0.05", "margin: 0.1"),
    ):
        assert before in text
        text = text.replace(before, ours)
    config.write_text(text.partition("  triton:")[0])


def commit_all(repository: Path, message: str) -> None:
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", message)


def test_an_empty_repository_is_green_after_init_and_one_collection(
    tmp_path: Path, cache: Path, fake: FakeGitHub
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    git(mine, "init", "--quiet", "--initial-branch", "main")
    git(mine, "config", "user.name", "mia")
    git(mine, "config", "user.email", "mia@example.org")
    gate = [sys.executable, "-m", "gate"]

    begun = finished(
        [
            *(*gate, "init", "--gate", PIN, "--config", "tiny-gpt-oss-w4a8", "--arch", "cpu", "--gpus", "0"),
            *("--runs-on", "self-hosted", "--owner", "@acme/kernels"),
            *("--engine-command", ENGINE, "--hf-home", str(cache)),
        ],
        mine,
    )
    assert begun.code == 0, begun.err
    make_it_ours(mine)
    checked = finished([*gate, "config", "check", "configs/models-cpu.txt"], mine)
    assert (checked.code, checked.err) == (0, ""), checked
    commit_all(mine, "Set up the gate")

    collected = finished(readmes_command(mine), mine, timeout=PATIENCE)
    assert collected.code == 0, collected.err
    commit_all(mine, "First baseline")
    written = git(mine, "ls-files").split()
    assert "baselines/cpu/tiny-gpt-oss-w4a8/emulation.json" in written

    repository = fake.repository("org/engine")
    base = repository.git.commit_files(
        "main", {name: (mine / name).read_bytes().decode() for name in written}
    )
    repository.git.commit_files("topic", {"kernel.py": "faster = True\n"})
    pull = repository.open_pull(repository, "topic")
    run = repository.add_run(pull.head, ".github/workflows/gate.yml", repository, "topic")
    workflow = yaml.safe_load((mine / ".github/workflows/gate.yml").read_text())
    workflow["on"] = workflow.pop(True)  # YAML 1.1 reads the key `on` as true
    told = {
        "number": pull.number,
        "head": {"sha": pull.head, "ref": "topic", "repo": {"full_name": "org/engine"}},
        "base": {"sha": base, "ref": "main"},
    }
    temp, actions = tmp_path / "act", tmp_path / "actions"
    temp.mkdir()
    actions.mkdir()
    given = {
        "GITHUB_API_URL": fake.url,
        "GITHUB_REPOSITORY": "org/engine",
        "GITHUB_RUN_ID": str(run["id"]),
        "STAND_IN_ORIGIN": str(repository.git.folder),
    }
    done = run_workflow(
        mine,
        workflow,
        ("pull_request", {"action": "opened", "number": pull.number, "pull_request": told}),
        temp,
        *act_options(given, stand_ins(actions, PIN), fake.token()),
    )
    assert done.code == 0, done.log()
    assert [done.job(job) for job in ("plan", "measure", "report")] == ["success"] * 3, done.log()
    (comment,) = repository.comments_on(pull.number)
    assert comment["body"].startswith("## ✅ Pass: a drop of 10 points or more is ruled out")
