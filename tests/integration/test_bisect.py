"""`git bisect run` with the gate: docs/bisect.md's own script finds the commit that broke a kernel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.project import ROOT, STUB, Project, environment, finished
from tests.support.waiting import PATIENCE

# The "kernel" says how often it is right; the engine is whatever the checkout holds.
SERVE = f"""
import os, sys
from pathlib import Path
kernel = Path(__file__).with_name("kernel").read_text().strip()
options = ["--exit", "3"] if kernel == "crashes" else ["--accuracy", kernel]
log = {str(ROOT / "tests/logs/stand-in.log")!r}
os.execv(sys.executable, [sys.executable, {str(STUB)!r}, "--log", log, *options, *sys.argv[1:]])
"""
# 0.66 is healthy, better than the baseline (which has to be near .6: a lower one allows no margin of .15).
# The seventh commit is the one to find; its neighbours do not build or do not serve.
KERNELS = ["0.66", "0.66", "0.66", "0.66", "crashes", "0.66", "0.2", "0.2", "does not build", "0.2"]


class Engine:
    """A git repository of an engine, one commit a kernel."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch", "main")
        (folder / "serve.py").write_text(SERVE)
        self.commits = [self.commit(kernel, number) for number, kernel in enumerate(KERNELS)]

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(
            ["git", *identity, *arguments], cwd=self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, kernel: str, number: int) -> str:
        (self.folder / "kernel").write_text(kernel)
        (self.folder / "number").write_text(str(number))
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", f"{number}: {kernel}")
        return self.git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A config with a baseline of the healthy kernel."""
    project = Project(tmp_path_factory.mktemp("gate"))
    project.write_config(gate={"margin": 0.15})
    done = project.collect("--accuracy", "0.6", repeats=64)
    assert done.code == 0, done.err
    return project


def options(project: Project, engine: Engine) -> list[str]:
    return [
        *("--engine-command", f"{sys.executable} {engine.folder / 'serve.py'}", "--arch", "cpu", "--quiet"),
        *("--model", str(project.model), "--dataset-path", str(project.dataset)),
    ]


def test_the_script_of_the_docs_finds_the_commit_that_broke_the_kernel(project: Project, tmp_path: Path):
    engine = Engine(tmp_path / "engine")
    (script,) = re.findall(r"^```sh\n(.*?)^```", (ROOT / "docs/bisect.md").read_text(), re.M | re.S)
    (tmp_path / "bisect.sh").write_text(script)
    set_up = {
        "GOOD": engine.commits[0],
        "BAD": "main",
        "CONFIG": str(project.config),
        "BASELINES": str(project.folder / "baselines"),
        "BUILD": "! grep --quiet 'not build' kernel",
        "OUT": str(tmp_path / "out"),
        "PATH": f"{Path(sys.executable).parent}:{environment()['PATH']}",
    }
    done = subprocess.run(
        ["sh", str(tmp_path / "bisect.sh"), *options(project, engine)],
        cwd=engine.folder,
        env=environment() | set_up,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{engine.commits[6]} is the first bad commit" in done.stdout
    log = (tmp_path / "out/bisect.log").read_text()
    assert f"git bisect skip {engine.commits[4]}" in log
    assert engine.git("status", "--short") == ""
    assert (tmp_path / "out" / engine.commits[6] / "report.md").exists()


def test_two_builds_in_one_place_never_share_a_sequence(project: Project, tmp_path: Path):
    engine = Engine(tmp_path / "engine")
    command = [
        sys.executable,
        "-m",
        "gate",
        "run",
        str(project.config),
        *options(project, engine),
        "--bisect",
    ]
    command += ["--baselines", str(project.folder / "baselines"), "--out", str(tmp_path / "out")]
    codes = []
    for number in (5, 6, 4):
        engine.git("checkout", "--quiet", engine.commits[number])
        codes.append(finished(command, engine.folder).code)
    assert codes == [0, 1, 125]


def test_outside_a_repository_the_bisect_is_stopped(project: Project):
    shutil.rmtree(project.folder / ".git")
    done = project.gate(["run"], "--bisect", engine=project.engine())
    assert (done.code, "git knows no commit" in done.err) == (128, True)
