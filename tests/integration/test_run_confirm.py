"""`gate run --confirm-with`: the base build on the same machine; `gate check` decides the same."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.support.project import Finished, Project, environment
from tests.support.waiting import PATIENCE, lines, until

STORED, GOOD, WORSE = ("--accuracy", "0.62"), ("--accuracy", "0.68"), ("--accuracy", "0.47")
# Far from what would leave the pooled drop near its boundary: every stream must end the same way. (With .42
# and .1 an early look of a stream in 200 was so low that even the pooled drop was proven.)
BASE_AS_STORED, BASE_AS_BAD = ("--accuracy", "0.9"), ("--accuracy", "0.0")
RECORD = "out/records/cpu__stub__default.json"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baselines collected from the healthy stub."""
    project = Project(tmp_path_factory.mktemp("stored"))
    done = project.collect(*STORED, repeats=48)
    assert done.code == 0, done.err
    return project.folder / "baselines"


@pytest.fixture
def project(tmp_path: Path, stored: Path) -> Project:
    """A project with that baseline."""
    made = Project(tmp_path)
    (tmp_path / "baselines").symlink_to(stored)
    return made


def record(project: Project) -> dict:
    return json.loads((project.folder / RECORD).read_text())


def confirmed_by(project: Project, *base: str) -> Finished:
    """A worse engine, and a base build with these options."""
    return project.gate(["run"], "--confirm-with", project.engine(*base), engine=project.engine(*WORSE))


def test_a_drop_that_the_base_build_does_not_share_is_a_regression_in_run_and_check(project: Project) -> None:
    before = project.baseline.read_bytes()
    done = project.gate(
        ["run"], "--confirm-with", project.engine(*BASE_AS_STORED), engine=project.engine(*WORSE)
    )
    assert done.code == 1, done.out + done.err
    assert (
        "still a drop against 16 fresh repeats of the base build"
        in (project.folder / "out/report.md").read_text()
    )
    confirmation = record(project)["confirmation"]
    assert len(confirmation["outcomes"]) == 16
    assert confirmation["stream"] != record(project)["stream"]
    assert (project.folder / "out/confirmation/logs/cpu__stub__default.log").exists()
    assert project.check(project.folder / "out/records").code == 1
    assert project.baseline.read_bytes() == before


def test_a_drop_that_the_base_build_shares_is_inconclusive_in_run_and_check(project: Project) -> None:
    done = project.gate(
        ["run"], "--confirm-with", project.engine(*BASE_AS_BAD), engine=project.engine(*WORSE)
    )
    assert done.code == 3, done.out + done.err
    checked = project.check(project.folder / "out/records")
    assert checked.code == 3
    assert "does not confirm it" in checked.out
    kept = record(project)
    kept["confirmation"]["evidence"]["facts"]["moe"] = "TRITON"
    for changed in (kept, kept | {"confirmation": None}):
        (project.folder / RECORD).write_text(json.dumps(changed))
        assert project.check(project.folder / "out/records").code == 1


def test_a_base_build_that_dies_takes_nothing_back(project: Project) -> None:
    done = confirmed_by(project, "--dies-after", "30")
    assert done.code == 1, done.out + done.err
    assert "not confirmed by the base build" in (project.folder / "out/report.md").read_text()
    assert project.check(project.folder / "out/records").code == 1


def test_without_a_regression_the_base_build_is_never_started(project: Project) -> None:
    done = project.gate(
        ["run"], "--confirm-with", project.engine("--exit", "3"), engine=project.engine(*GOOD)
    )
    assert done.code == 0, done.out + done.err
    assert record(project)["confirmation"] is None
    assert not (project.folder / "out/confirmation").exists()


def test_a_base_build_that_is_not_there_is_refused_before_anything_starts(project: Project) -> None:
    done = project.gate(["run"], "--confirm-with", "no-such-vllm", engine=project.engine(*GOOD))
    assert (done.code, "no-such-vllm" in done.err) == (2, True)
    assert not (project.folder / "out/logs").exists()


def test_a_cancelled_confirmation_leaves_the_regression_and_no_process(project: Project) -> None:
    stays = project.engine(*GOOD, "--hangs-after", "20")
    command = [*project.arguments("run", engine=project.engine(*WORSE)), "--confirm-with", stays]
    journal = project.folder / "out/confirmation/journals/cpu__stub__default.jsonl"
    with subprocess.Popen(
        [*command, "--concurrency", "4"],
        cwd=project.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        until(lambda: lines(journal) > 3, run)
        family = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 1, out + err
    assert not [process for process in family if process.is_running()]
    assert record(project)["confirmation"]["failure"]["kind"] == "cancelled"
