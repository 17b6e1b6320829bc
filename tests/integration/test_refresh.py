"""`gate refresh` as its users run it: measured here or elsewhere, in CI, at once, without space, killed."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import IMPORTED_FROM, ROOT, Project, environment, finished
from tests.support.waiting import PATIENCE

GOOD = ("--accuracy", "0.6")
WHY = ("--reason", "another kernel", "--accepted-by", "octocat")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a baseline, and the records of two further runs in more-1 and more-2."""
    project = Project(tmp_path_factory.mktemp("project"))
    assert project.collect(*GOOD, repeats=8).code == 0
    elsewhere = ("--baselines", str(project.folder / "elsewhere"), "--repeats", "8")
    for name in ("more-1", "more-2"):
        done = project.gate(
            ["baseline", "collect", "--reason", "more"],
            *elsewhere,
            *("--out", str(project.folder / name)),
            engine=project.engine(*GOOD),
        )
        assert done.code == 0, done.err
    return project


@pytest.fixture
def project(made: Project) -> Project:
    """The same with the baseline as it was."""
    kept = made.folder / "kept.json"
    if not kept.exists():
        shutil.copy(made.baseline, kept)
    shutil.rmtree(made.baseline.parent)
    made.baseline.parent.mkdir()
    shutil.copy(kept, made.baseline)
    return made


def runs(project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(project.baseline.read_text())["runs"]
    return found


def command(project: Project, *options: str) -> list[str]:
    return [
        *(sys.executable, "-m", "gate", "refresh", "default", *WHY, *options),
        *("--baselines", str(project.folder / "baselines"), "--configs", str(project.config.parent)),
    ]


def test_what_a_job_measured_in_ci_is_written_by_another_one(project: Project) -> None:
    before = project.baseline.read_bytes()
    measure = [
        *command(project, "--engine-command", project.engine(*GOOD), "--model", str(project.model)),
        *("--dataset-path", str(project.dataset), "--arch", "cpu", "--out", str(project.folder / "uploaded")),
    ]
    measured = subprocess.run(
        measure,
        cwd=project.folder,
        env=environment() | {"CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert measured.returncode == 0, measured.stderr
    assert "not written" in measured.stdout
    assert project.baseline.read_bytes() == before
    taken = finished(command(project, "--from", str(project.folder / "uploaded"), "--write"), project.folder)
    assert taken.code == 0, taken.err
    assert measured.stdout.splitlines()[:2] == taken.out.splitlines()[:2]
    assert [run["repeats"] for run in runs(project)] == [8, 8]


def test_a_refresh_says_what_changes_as_json(project: Project) -> None:
    done = finished(command(project, "--from", str(project.folder / "more-1"), "--json"), project.folder)
    (change,) = json.loads(done.out)
    assert (change["before"]["repeats"], change["after"]["repeats"]) == (8, 16)


def test_of_two_refreshes_at_once_no_run_is_lost(project: Project) -> None:
    commands = [command(project, "--from", str(project.folder / name)) for name in ("more-1", "more-2")]
    both = [
        subprocess.Popen(
            c,
            cwd=project.folder,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
            stdout=subprocess.PIPE,
        )
        for c in commands
    ]
    for process, again in zip(both, commands, strict=True):
        _, said = process.communicate(timeout=PATIENCE)
        if process.returncode:
            assert (process.returncode, "run the command again" in said) == (2, True), said
            assert finished(again, project.folder).code == 0
    assert len(runs(project)) == 3


def test_a_full_disk_is_an_error_and_the_old_baseline_is_intact(project: Project) -> None:
    before = project.baseline.read_bytes()
    done = subprocess.run(
        command(project, "--from", str(project.folder / "more-1")),
        cwd=project.folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert (done.returncode, "cannot be written: File too large" in done.stderr) == (2, True), done.stderr
    assert project.baseline.read_bytes() == before
    assert [path.name for path in project.baseline.parent.iterdir()] == ["default.json"]


def test_a_refresh_of_two_cells_killed_at_any_step_leaves_whole_files_and_goes_on(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.store_writers", "refresh_killed_at_every_step", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": IMPORTED_FROM},
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE,
    )
    found = [line.split() for line in done.stdout.splitlines()]
    assert len(found) > 30, "written in chunks of 128 bytes: there is more to write than that"
    assert {states for _, states, _ in found} == {"old,old", "new,old", "new,new"}
    assert [end for *_, end in found] == ["killed"] * (len(found) - 1) + ["saved"]
