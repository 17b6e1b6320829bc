"""The docs' commands that need an engine, logs or GitHub: as printed, on a desk where stand-ins are those.

What is added to a printed command is where this machine's stand-ins are (`HERE`), never what it asks for.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.docs import lines, printed
from tests.support.imported import DATA, config_of, write_config
from tests.support.project import ROOT, Finished, Project, environment, finished, finished_with
from tests.support.questions import write_questions
from tests.support.waiting import PATIENCE

GATE = (sys.executable, "-m", "gate")
CONFIG = "gpt-oss-20b-rocm-mxfp4-fp8"
BASELINE = f"baselines/gfx950/{CONFIG}/aiter.json"
GPUS = ",".join(map(str, range(16)))


class Desk(Project):
    """This repository's configs for gfx950, of one of them only the backend whose log is at hand."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.dataset = write_questions(folder / "questions.csv", 80)
        for file in (ROOT / "configs").iterdir():
            text = file.read_text().replace("margin: 0.03", "margin: 0.15")  # what so few questions allow
            (folder / "configs" / file.name).write_text(text)
        ours = folder / f"configs/{CONFIG}.yaml"
        ours.write_text(ours.read_text().partition("  # Computes W4A16")[0])
        self.write_config()

    def here(self, command: str) -> tuple[str, ...]:
        """Where the stand-ins are, for a command that starts an engine."""
        engine = self.engine("--accuracy", "0.6", log=ROOT / "tests/logs/reconstructed-rocm-0.32.0-aiter.log")
        given = ("--engine-command", engine, "--model", str(self.model), "--dataset-path", str(self.dataset))
        arch = ("--arch", "gfx950")
        who = ("--accepted-by", "mia") if command in ("baseline", "refresh") else ()
        return (*given, *arch, *who)

    def do(self, words: Sequence[str], *more: str, expect: int = 0) -> Finished:
        """Run a printed command here; its exit code must be the one that is expected."""
        environ = environment() | {"HIP_VISIBLE_DEVICES": GPUS, "CUDA_VISIBLE_DEVICES": GPUS}
        done = finished_with(
            [*GATE, *words, *self.here(words[0]), *more], self.folder, environ, timeout=PATIENCE
        )
        assert done.code == expect, done.out + done.err
        return done


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A desk with the baseline that README says how to collect."""
    made = Desk(tmp_path_factory.mktemp("desk"))
    (collect,) = printed("README.md", "gate baseline collect")
    made.do(collect)
    return made


def test_readme_collects_runs_and_refreshes(desk: Desk):
    assert len(json.loads((desk.folder / BASELINE).read_text())["runs"]) == 1
    (run,) = printed("README.md", "gate run")
    assert "pass: gfx950/" in desk.do(run).out
    for page in ("README.md", "docs/how-to/accept-a-change.md"):
        desk.write_config()  # commits: a refresh begins in a clean checkout
        (refresh,) = printed(page, "gate refresh")
        desk.do(refresh)
    history = json.loads((desk.folder / BASELINE).read_text())["history"]
    assert [line["reason"] for line in history][1:] == ["the new kernel is meant", "per-channel scales"]


def test_history_draws_what_the_desk_has_measured(desk: Desk):
    desk.write_config()  # commits the baseline: what it scored is read from git
    (history,) = printed("docs/history.md", "gate history")
    done = finished([*GATE, *history], desk.folder)
    assert (done.code, f"gfx950/{CONFIG}/aiter" in done.out) == (0, True), done
    assert (desk.folder / "site/index.html").stat().st_size > 1000


def test_a_list_is_run_whole_and_at_once(desk: Desk):
    for page in ("docs/how-to/from-threshold-test.md", "docs/runner.md"):
        (run,) = printed(page, "gate run")
        done = desk.do(run, expect=3)  # the other configs have no baseline here
        assert f"pass: gfx950/{CONFIG}/aiter" in done.out
        assert "no baseline: gfx950/" in done.out


def test_the_first_baseline_of_a_fork(desk: Desk, tmp_path: Path):
    (collect,) = printed("docs/how-to/fork-on-mi300.md", "gate baseline collect")
    desk.do(collect, "--baselines", str(tmp_path / "baselines"), "--out", str(tmp_path / "out"))
    stored = json.loads((tmp_path / BASELINE).read_text())
    assert [run["repeats"] for run in stored["runs"]] == [16, 16]
    assert {line["reason"] for line in stored["history"]} == {"first baseline"}


def test_init_as_the_how_to_says_it(tmp_path: Path):
    (init,) = printed("docs/how-to/fork-on-mi300.md", "gate init")
    done = finished([*GATE, *init], tmp_path)
    assert done.code == 0, done.err
    (check,) = printed("docs/how-to/fork-on-mi300.md", "gate config check")
    assert finished([*GATE, *check], tmp_path).code == 0


def test_doctor_names_what_this_machine_lacks(desk: Desk, tmp_path: Path):
    (doctor,) = printed("docs/runner.md", "gate doctor")
    there = [word.replace("/opt/venv", str(tmp_path)).replace("/data", str(tmp_path)) for word in doctor]
    done = finished([*GATE, *there], desk.folder)
    assert done.code == 2
    assert f"{tmp_path}/bin/vllm" in done.err + done.out


def test_pytest_makes_a_test_of_each_cell_of_the_list(desk: Desk):
    (line,) = [line.text for line in lines() if line.page == "docs/pytest.md"]
    here = desk.here("run")
    plugin = [
        "-p",
        "gate.pytest_plugin",
        *(f"--gate-{word[2:]}" if word[:2] == "--" else word for word in here),
    ]
    done = finished_with(
        [sys.executable, "-m", *shlex.split(line), *plugin, "-p", "no:cacheprovider"],
        desk.folder,
        environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    assert done.code == 0, done.out + done.err
    assert f"gfx950/{CONFIG}/aiter PASSED" in done.out.replace("] ", " ").replace("[", "/")


def imported(folder: Path, harness: str, **logs: str) -> None:
    """configs/imported.yaml, and logs that the harness really wrote under the names that the page gives."""
    (folder / "configs").mkdir()
    config = config_of(harness)
    if harness == "inspect":
        config |= {"expect": {"moe": "EMULATION"}, "accept_unproven": []}
    write_config(folder, config).rename(folder / "configs/imported.yaml")
    for name, log in logs.items():
        (folder / name.replace("__", "/")).parent.mkdir(exist_ok=True)
        (folder / name.replace("__", "/")).symlink_to(DATA / harness / log)


def test_logs_of_lm_eval_are_imported_and_decided(tmp_path: Path):
    imported(tmp_path, "lm-eval")
    (tmp_path / "results").mkdir()
    (tmp_path / "results/nightly").symlink_to(DATA / "lm-eval/baseline")
    (tmp_path / "results/this-build").symlink_to(DATA / "lm-eval/healthy")
    for words in printed("docs/importing.md", "gate import lm-eval"):
        who = ("--accepted-by", "mia") if "baseline" in words else ()
        done = finished([*GATE, *words, *who], tmp_path)
        assert done.code == 0, done.err
    (check,) = printed("docs/importing.md", "gate check")
    decided = finished([*GATE, *check], tmp_path)
    assert (decided.code, "pass: gfx950/imported/default" in decided.out) == (0, True), decided


def test_a_log_of_inspect_is_proven_by_the_engines_own(tmp_path: Path):
    imported(tmp_path, "inspect")
    (tmp_path / "run.eval").symlink_to(next((DATA / "inspect").glob("healthy*")))
    (tmp_path / "vllm.log").symlink_to(ROOT / "tests/logs/stand-in.log")
    (words,) = printed("docs/importing.md", "gate import inspect")
    done = finished([*GATE, *words], tmp_path)
    assert done.code == 0, done.err


def test_publishing_to_the_tests_own_github(tmp_path: Path):
    project = Project(tmp_path)
    assert project.collect("--accuracy", "0.6", repeats=64).code == 0
    (start,) = [line.text for line in lines() if "github_fake" in line.text]
    command = [sys.executable, *shlex.split(start, comments=True)[1:]]
    with subprocess.Popen(command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as fake:
        try:
            variables = said_by(fake, "BASE")
            commits = ("--head-sha", variables["SHA"], "--base-sha", variables["BASE"])
            worse = project.gate(["run"], *commits, engine=project.engine("--accuracy", "0.2"))
            assert worse.code == 1, worse.err
            for words, code in zip(printed("docs/buildkite.md", "gate publish"), (0, 1, 4), strict=True):
                filled = [{"$SHA": variables["SHA"], "$CONFIG": "configs/stub.yaml"}.get(w, w) for w in words]
                done = finished_with([*GATE, *filled], tmp_path, environment() | variables)
                assert done.code == code, done.out + done.err
        finally:
            fake.terminate()
    assert "the check concluded failure" in done.out


def said_by(fake: subprocess.Popen[str], last: str) -> dict[str, str]:
    """The variables that the fake prints, up to the last one."""
    found: dict[str, str] = {}
    assert fake.stdout is not None
    for line in fake.stdout:
        name, _, value = line.removeprefix("export ").strip().partition("=")
        found[name] = value
        if name == last:
            return found
    raise AssertionError(f"the fake ended before it said {last}")
