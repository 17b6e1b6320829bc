"""A cancelled job: the runner signals the step's first process and gives it seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.project import STORED, Project
from tests.support.workflows import ROOT, steps

SECONDS_BEFORE_THE_RUNNER_KILLS = 7.5


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return project


@pytest.fixture
def step(project: Project) -> Iterator[subprocess.Popen[str]]:
    """The run step of action.yml as a runner starts it, with an engine that takes its time."""
    (script,) = [step["run"] for step in steps(ROOT / "action.yml") if step["id"] == "run"]
    file = project.folder / "script.sh"
    file.write_text(script)
    environ = os.environ | {
        "GATE_PYTHON": sys.executable,
        "GATE_INPUT_CONFIGS": str(project.config),
        "GATE_INPUT_ARCH": "cpu",
        "GATE_INPUT_BASELINES": str(project.folder / "baselines"),
        "GATE_INPUT_ENGINE_COMMAND": project.engine("--accuracy", "0.6", "--delay", "0.5"),
        "GATE_INPUT_MODEL_DIR": str(project.model),
        "GATE_INPUT_DATASET_PATH": str(project.dataset),
        "GATE_INPUT_OUT_DIR": str(project.folder / "cancelled"),
        "GITHUB_OUTPUT": str(project.folder / "output"),
        "GITHUB_STEP_SUMMARY": str(project.folder / "summary"),
    }
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(file)]
    with (project.folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, text=True)
    yield process
    if process.poll() is None:
        for left in [*psutil.Process(process.pid).children(recursive=True), process]:
            left.kill()
        process.wait()


def wait_until_asked(project: Project, process: subprocess.Popen[str]) -> None:
    """Until the engine has answered something: the journal has more than its header."""
    deadline = time.monotonic() + 60
    while not any(p.read_text().count("\n") > 1 for p in project.folder.glob("cancelled/journals/*.jsonl")):
        assert process.poll() is None, (project.folder / "log").read_text()
        assert time.monotonic() < deadline, (project.folder / "log").read_text()
        time.sleep(0.02)


@pytest.mark.parametrize("received", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_step_stops_the_engine_and_says_not_measured(
    project: Project, step: subprocess.Popen[str], received: signal.Signals
) -> None:
    wait_until_asked(project, step)
    engines = psutil.Process(step.pid).children(recursive=True)
    assert engines

    step.send_signal(received)

    assert step.wait(SECONDS_BEFORE_THE_RUNNER_KILLS) == 4, (project.folder / "log").read_text()
    _, alive = psutil.wait_procs(engines, timeout=5)
    assert alive == []
    assert "verdict<<" in (project.folder / "output").read_text()
    assert "\nnot_measured\n" in (project.folder / "output").read_text()
    assert "\npass\n" not in (project.folder / "output").read_text()
    assert (project.folder / "cancelled/report.md").read_text() == (project.folder / "summary").read_text()
