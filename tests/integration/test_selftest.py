"""The drill from the command line, on a stand-in engine that can be broken while it runs; and `gate compare`.

The real engine's drill is `make selftest`; its result is docs/selftest.md.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.project import Project, finished

GOOD = ("--accuracy", "0.6")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose config has the embedded engine's two backends."""
    one = Project(tmp_path)
    one.write_config(backends={"emulation": {}, "triton": {}})
    return one


def drill(project: Project, *options: str):
    command = project.arguments("selftest", engine=project.engine(*GOOD))
    command = [word for word in command if word != str(project.config)]
    done = finished([*command, "--config", str(project.config), *options], project.folder)
    path = project.folder / "out/selftest.json"
    return done, {t["name"]: t for t in json.loads(path.read_text())["trials"]} if path.exists() else {}


def test_each_fault_is_tried_on_one_running_engine_and_healthy_ones_are_left_in_peace(project: Project):
    faults = ("swap_nibbles", "down_bias_lost", "decode_down_scale")
    done, trials = drill(project, *(f"--only={name}" for name in faults), "--score-minutes", "0")
    assert done.code == 0, done.out + done.err
    assert {name: trials[name]["numerics"]["state"] for name in faults} == {
        "swap_nibbles": "broken",
        "down_bias_lost": "changed",
        "decode_down_scale": "changed",
    }
    assert trials["decode_down_scale"]["numerics"]["path"] == "decode"
    healthy = [trial for trial in trials.values() if trial["kind"] == "healthy"]
    assert len(healthy) == 7
    assert {trial["numerics"]["state"] for trial in healthy} == {"unchanged"}
    page = (project.folder / "out/selftest.md").read_text()
    assert "3 of 3 faults were seen" in page
    assert "| swap_nibbles | the two 4-bit codes of every byte in the wrong order |" in page


def test_the_scores_test_looks_at_each_fault_too(project: Project):
    stored = project.gate(
        ["baseline", "collect"],
        *("--repeats", "64", "--accepted-by", "tester", "--backend", "emulation"),
        engine=project.engine(*GOOD),
    )
    assert stored.code == 0, stored.err
    done, trials = drill(project, "--only=down_bias_lost", "--no-healthy", "--score-minutes", "1")
    assert done.code == 0, done.err
    assert trials["down_bias_lost"]["score"]["verdict"] == "pass"
    assert trials["down_bias_lost"]["score"]["samples"] > 0


def test_a_fault_that_nobody_knows_is_refused_by_name(project: Project):
    done, _ = drill(project, "--only=gremlins")
    assert done.code == 2
    assert "no fault is named 'gremlins'" in done.err


def test_another_config_than_the_embedded_engines_is_refused(project: Project):
    project.write_config()
    done, _ = drill(project)
    assert done.code == 2
    assert "the drill needs the embedded engine's config" in done.err


def test_two_backends_are_compared_pair_by_pair(project: Project):
    command = project.arguments("compare", "emulation", "triton", engine=project.engine(*GOOD))
    command = [word for word in command if word != str(project.config)]
    done = finished([*command, "--config", str(project.config)], project.folder)
    assert done.code == 0, done.err
    assert "emulation / triton" in done.out
    (pair,) = json.loads((project.folder / "out/compare.json").read_text())["pairs"]
    assert (pair["times"], pair["flips"]) == (0, 0)
    assert "| emulation |" in (project.folder / "out/compare.md").read_text()
