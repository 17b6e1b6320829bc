"""A cancelled job: the runner signals the step's first process and gives it seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.project import STORED, Project
from tests.support.waiting import PATIENCE, lines, soon_enough, until
from tests.support.workflows import ROOT, steps

SECONDS_BEFORE_THE_RUNNER_KILLS = 7.5


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return project


@contextmanager
def step(project: Project, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The run step of action.yml as a runner starts it, with an engine that stays in the middle."""
    (script,) = [step["run"] for step in steps(ROOT / "action.yml") if step["id"] == "run"]
    file = folder / "script.sh"
    file.write_text(script)
    environ = os.environ | {
        "GATE_PYTHON": sys.executable,
        "GATE_INPUT_CONFIGS": str(project.config),
        "GATE_INPUT_ARCH": "cpu",
        "GATE_INPUT_BASELINES": str(project.folder / "baselines"),
        "GATE_INPUT_ENGINE_COMMAND": project.staying(),
        "GATE_INPUT_MODEL_DIR": str(project.model),
        "GATE_INPUT_DATASET_PATH": str(project.dataset),
        "GATE_INPUT_OUT_DIR": str(folder / "cancelled"),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
    }
    command = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(file)]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=environ, stdout=log, stderr=log, text=True)
    yield process
    if process.poll() is None:
        for left in [*psutil.Process(process.pid).children(recursive=True), process]:
            left.kill()
        process.wait()


@pytest.mark.parametrize("received", [signal.SIGINT, signal.SIGTERM])
def test_a_cancelled_step_stops_the_engine_and_says_not_measured(
    project: Project, tmp_path_factory: pytest.TempPathFactory, received: signal.Signals
) -> None:
    def cancelled() -> float:
        """The seconds that a step took to end; all else must hold each time."""
        folder = tmp_path_factory.mktemp("step")
        with step(project, folder) as running:
            # Past the journal's header the engine has answered something.
            until(lambda: any(lines(path) > 1 for path in folder.glob("cancelled/journals/*.jsonl")), running)
            engines = psutil.Process(running.pid).children(recursive=True)
            assert engines
            began = time.monotonic()
            running.send_signal(received)
            assert running.wait(60) == 4, (folder / "log").read_text()
            seconds = time.monotonic() - began
        _, alive = psutil.wait_procs(engines, timeout=PATIENCE)
        assert alive == []
        assert "verdict<<" in (folder / "output").read_text()
        assert "\nnot_measured\n" in (folder / "output").read_text()
        assert "\npass\n" not in (folder / "output").read_text()
        assert (folder / "cancelled/report.md").read_text() == (folder / "summary").read_text()
        return seconds

    assert soon_enough(cancelled, SECONDS_BEFORE_THE_RUNNER_KILLS)
