"""What lies in and beside a baseline beyond its runs reaches a real run: calibration and anchor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate.baseline.calibration import fingerprint_sha256, save_calibration
from gate.baseline.store import load
from tests.support.measured import calibration
from tests.support.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a baseline of the healthy stub."""
    made = Project(tmp_path)
    done = made.collect("--accuracy", "0.65", repeats=64)
    assert done.code == 0, done.err
    return made


def outcome(project: Project) -> tuple[dict, dict]:
    """The only cell of report.json, and its run record."""
    (cell,) = json.loads((project.folder / "out/report.json").read_text())["cells"]
    (record,) = (project.folder / "out/records").glob("*.json")
    return cell, json.loads(record.read_text())


def test_a_calibrated_loss_is_declared_tolerated_and_printed(project: Project):
    fingerprint = load(project.baseline).fingerprint
    found = calibration(cell=fingerprint.cell, fingerprint_sha256=fingerprint_sha256(fingerprint))
    save_calibration(project.baseline, found)
    done = project.gate(["run"], engine=project.engine("--accuracy", "0.71"))
    assert done.code == 0, done.out + done.err
    cell, record = outcome(project)
    assert record["tolerated_loss"] == cell["tolerated_loss"] == found.tolerated_loss == 0.02
    assert cell["false_alarms"]["measured"] == 0.02
    assert "Measured false-alarm rate:** 2.00 %" in (project.folder / "out/report.md").read_text()
    assert project.check(project.folder / "out/records").code == 0


def test_a_level_that_was_given_up_step_by_step_fails_against_the_anchor(project: Project):
    collected = project.gate(
        ["baseline", "collect"],
        *("--repeats", "64", "--reason", "a new engine", "--accepted-by", "tester", "--new-epoch"),
        engine=project.engine("--accuracy", "0.5"),
    )
    assert collected.code == 0, collected.err
    done = project.gate(["run"], engine=project.engine("--accuracy", "0.5"))
    assert done.code == 1, done.out + done.err
    cell, record = outcome(project)
    assert tuple(record["anchor"]) == load(project.baseline).anchor != ()
    assert cell["reason"].startswith("a drop against the anchor is proven")
    assert project.check(project.folder / "out/records").code == 1


def test_one_greedy_repeat_is_collected_and_decided_by_what_changed(tmp_path: Path):
    greedy = Project(tmp_path, questions=60)
    greedy.write_config(sampling={"temperature": 0}, gate={"margin": 0.1})
    collected = greedy.collect("--accuracy", "0.7", repeats=1)
    assert collected.code == 0, collected.err
    assert greedy.gate(["run"], engine=greedy.engine("--accuracy", "0.05")).code == 1
    cell, record = outcome(greedy)
    assert record["max_repeats"] == 1
    assert any("of the questions changed" in note for note in cell["notes"])
    assert greedy.check(greedy.folder / "out/records").code == 1


def test_one_repeat_of_sampled_answers_is_refused_before_an_engine_starts(tmp_path: Path):
    sampled = Project(tmp_path)
    done = sampled.collect("--accuracy", "0.6", repeats=1)
    assert done.code == 2
    assert "1 is for temperature 0" in done.err
    sampled.write_config(sampling={"temperature": 0})
    assert "give --repeats 1" in sampled.collect("--accuracy", "0.6", repeats=4).err
    assert not (sampled.folder / "out/run-1/logs").exists()
