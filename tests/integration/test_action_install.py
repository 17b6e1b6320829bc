"""action/install.sh: gate in an environment of its own, whatever the runner's environment holds."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.waiting import PATIENCE
from tests.support.workflows import ROOT

TOOLS = [
    "bash",
    "dirname",
    "realpath",
    "grep",
    "find",
    "sort",
    "xargs",
    "sha256sum",
    "cut",
    "rm",
    "touch",
    "env",
]

# Each of these changes what pip or Python does; none may reach the installation.
HOSTILE = {
    "PIP_USER": "1",
    "PIP_TARGET": "/nonexistent/target",
    "PIP_PREFIX": "/nonexistent/prefix",
    "PIP_DRY_RUN": "1",
    "PIP_CONSTRAINT": "/nonexistent/constraint.txt",
    "PIP_REQUIREMENT": "/nonexistent/requirements.txt",
    "PIP_PYTHON": "/nonexistent/python",
    "UV_SYSTEM_PYTHON": "1",
    "PYTHONHOME": "/nonexistent/home",
    "PYTHONPATH": "/nonexistent/path",
    "VIRTUAL_ENV": "/nonexistent/venv",
}


class Installed(NamedTuple):
    """What one run of the installer left behind."""

    code: int
    log: str
    python: Path | None


class Runner(NamedTuple):
    """A runner with one job: its temp folder and the action's own folder."""

    temp: Path
    action: Path

    def install(
        self, *, mode: str = "run", python: str = "", path: str | None = None, **extra: str
    ) -> Installed:
        output = self.temp / "output"
        output.write_text("")
        environ = {
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "GATE_INPUT_MODE": mode,
            "GATE_INPUT_PYTHON": python,
            "GITHUB_ACTION_PATH": str(self.action),
            "GITHUB_OUTPUT": str(output),
            "RUNNER_TEMP": str(self.temp),
            **({} if path is None else {"PATH": path}),
            **extra,
        }
        done = subprocess.run(
            [self.action / "action/install.sh"],
            env=environ,
            cwd=self.temp,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        name, _, value = output.read_text().strip().partition("=")
        assert name in ("", "python")
        return Installed(done.returncode, done.stdout + done.stderr, Path(value) if value else None)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    return Runner(tmp_path, ROOT)


@pytest.fixture
def bare_path(tmp_path: Path) -> Path:
    """A PATH with the tools of any Linux and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, f"{tool} is missing on this machine"
        (folder / tool).symlink_to(found)
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def copy_of_the_action(to: Path) -> Path:
    """What the installer needs of this repository, for a test to change."""
    for name in (
        "action",
        "gate",
        "configs",
        "examples",
        "baselines",
        "pyproject.toml",
        "README.md",
        "LICENSE",
    ):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, to / name)
    (to / "requirements").mkdir()
    shutil.copy(ROOT / "requirements/gate.txt", to / "requirements/gate.txt")
    return to


def test_a_mode_that_this_version_does_not_know_is_refused_by_name(runner: Runner) -> None:
    found = runner.install(mode="dance")
    assert found.code == 2
    assert "mode 'dance' is not supported; this version knows: run plan report command baseline" in found.log
    assert found.python is None


@pytest.mark.parametrize("mode", ["", "ru", "run report"])
def test_a_mode_is_matched_as_a_whole_word(runner: Runner, mode: str) -> None:
    assert runner.install(mode=mode).code == 2


def test_a_runner_without_python_is_told_what_is_missing(runner: Runner, bare_path: Path) -> None:
    found = runner.install(path=str(bare_path))
    assert found.code == 2
    assert "gate needs Python 3.11 or newer: no python3 on PATH" in found.log


def test_a_python_that_is_too_old_is_named_with_its_version(runner: Runner, bare_path: Path) -> None:
    script(bare_path / "python3", 'case "$3" in *platform*) echo 3.9.2;; *) exit 1;; esac')
    found = runner.install(path=str(bare_path))
    assert found.code == 2
    assert "python3 is 3.9.2" in found.log


def test_a_newer_python_is_found_behind_an_old_python3(runner: Runner, bare_path: Path) -> None:
    script(bare_path / "python3", 'case "$3" in *platform*) echo 3.9.2;; *) exit 1;; esac')
    script(bare_path / "python3.11", 'case "$3" in *ensurepip*) exit 1;; *platform*) echo 3.11.9;; esac')
    found = runner.install(path=str(bare_path))
    assert f"{bare_path}/python3.11 lacks the modules venv and ensurepip" in found.log


def test_a_python_without_venv_is_told_which_package_has_it(runner: Runner, bare_path: Path) -> None:
    script(bare_path / "python3", 'case "$3" in *ensurepip*) exit 1;; *platform*) echo 3.12.1;; esac')
    found = runner.install(path=str(bare_path))
    assert found.code == 2
    assert "python3-venv" in found.log


def test_the_input_python_is_not_replaced_by_another_one(runner: Runner) -> None:
    found = runner.install(python="/nonexistent/python3")
    assert found.code == 2
    assert "the input python names '/nonexistent/python3': no such interpreter" in found.log


@pytest.mark.parametrize(
    ("pin", "says"),
    [(f" --hash=sha256:{'0' * 64}", "DO NOT MATCH THE HASHES"), ("", "require-hashes")],
    ids=["another hash", "no hash"],
)
def test_a_package_is_installed_by_its_hash_or_not_at_all(tmp_path: Path, pin: str, says: str) -> None:
    runner = Runner(tmp_path, copy_of_the_action(tmp_path / "copy"))
    lock = runner.action / "requirements/gate.txt"
    (version,) = [line.split()[0] for line in lock.read_text().splitlines() if line.startswith("idna==")]
    lock.write_text(f"{version}{pin}\n")
    found = runner.install(python=sys.executable)
    assert found.code == 2
    assert says in found.log
    assert found.python is None


def test_gate_is_installed_once_a_job_and_never_into_the_engines_environment(tmp_path: Path) -> None:
    runner = Runner(tmp_path, copy_of_the_action(tmp_path / "copy"))
    first = runner.install(python=sys.executable, **HOSTILE)
    assert first.code == 0, first.log
    assert first.python
    assert first.python.is_relative_to(tmp_path / "vllm-eval-gate")
    where = subprocess.run(
        [first.python, "-I", "-c", "import gate; print(gate.__file__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(where.stdout).is_relative_to(first.python.parent.parent)
    repository = tmp_path / "repository"
    repository.mkdir()
    pin = f"acme/vllm-eval-gate@{'1' * 40}"
    subprocess.run([first.python, "-I", "-m", "gate", "init", repository, "--gate", pin], check=True)
    assert (repository / ".github/workflows/gate.yml").is_file()
    consistent = subprocess.run(
        [first.python, "-I", "-m", "pip", "check"], capture_output=True, text=True, check=False
    )
    assert consistent.returncode == 0, consistent.stdout

    complete = first.python.parent.parent / ".complete"
    before = complete.stat().st_mtime_ns
    assert runner.install(python=sys.executable).python == first.python
    assert complete.stat().st_mtime_ns == before

    # Without its packages the build must fail; the environment of the old lock would have hidden that.
    (runner.action / "requirements/gate.txt").write_text("")
    changed = runner.install(python=sys.executable)
    assert changed.code == 2
    assert changed.python is None
