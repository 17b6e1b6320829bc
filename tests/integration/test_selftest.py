"""The drill from the command line, on a stand-in engine that can be broken while it runs; and `gate compare`.

The real engine's drill is `make selftest`; its result is docs/selftest.md.
"""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from gate.numerics.prompts import load_prompts
from tests.support.project import Project, environment, finished
from tests.support.waiting import PATIENCE, lines, until

GOOD = ("--accuracy", "0.6")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose config has the embedded engine's two backends."""
    one = Project(tmp_path)
    one.write_config(backends={"emulation": {}, "triton": {}})
    return one


def command(project: Project, *options: str, engine: tuple[str, ...] = GOOD) -> list[str]:
    words = project.arguments("selftest", engine=project.engine(*engine))
    words = [word for word in words if word != str(project.config)]
    return [*words, "--config", str(project.config), *options]


def stays_after(probes: int) -> tuple[str, ...]:
    """Options of an engine that answers so many probes and a little more, and then nothing."""
    asked = 2 * len(load_prompts("tiny-gpt-oss").prompts)  # prefill and decode
    return (*GOOD, "--hangs-after", str(probes * asked + 20))


def written(project: Project) -> dict:
    return json.loads((project.folder / "out/selftest.json").read_text())


def drill(project: Project, *options: str):
    done = finished(command(project, *options), project.folder)
    trials = written(project)["trials"] if (project.folder / "out/selftest.json").exists() else []
    return done, {trial["name"]: trial for trial in trials}


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


def test_an_interrupted_drill_is_undecided_stops_its_engine_and_goes_on_in_its_folder(project: Project):
    notebook = project.folder / "out/drill.jsonl"
    options = ("--only=swap_nibbles", "--no-healthy", "--score-minutes", "0")
    with subprocess.Popen(
        command(project, *options, engine=stays_after(4)),
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        # The heading and all exercises but the last.
        until(lambda: lines(notebook) > 4, run)
        family = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=PATIENCE)
    assert (run.returncode, written(project)["pending"]) == (3, ["rerun concurrency 1"]), out + err
    assert "**Not done:** rerun concurrency 1." in out
    assert not [process for process in family if process.is_running()]

    done, trials = drill(project, *options)
    assert (done.code, written(project)["pending"]) == (0, []), done.err
    assert (done.err.count("probed"), len(trials)) == (1, 4)


def test_the_scores_test_looks_at_each_fault_too(project: Project):
    stored = project.gate(
        ["baseline", "collect"],
        *("--repeats", "64", "--accepted-by", "tester", "--backend", "emulation"),
        engine=project.engine(*GOOD),
    )
    assert stored.code == 0, stored.err
    left = project.folder / "out/journals/down_bias_lost.jsonl"
    left.parent.mkdir(parents=True)
    left.write_text("of a drill that was interrupted\n")
    done, trials = drill(project, "--only=down_bias_lost", "--no-healthy", "--score-minutes", "1")
    assert done.code == 0, done.err
    assert trials["down_bias_lost"]["score"]["verdict"] == "pass"
    assert trials["down_bias_lost"]["score"]["samples"] > 0


def test_a_score_that_was_interrupted_is_not_noted(project: Project):
    stored = project.gate(
        ["baseline", "collect"],
        *("--repeats", "64", "--accepted-by", "tester", "--backend", "emulation"),
        engine=project.engine(*GOOD),
    )
    assert stored.code == 0, stored.err
    journal = project.folder / "out/journals/swap_nibbles.jsonl"
    options = ("--only=swap_nibbles", "--no-healthy", "--score-minutes", "5")
    with subprocess.Popen(
        command(project, *options, engine=stays_after(5)),
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        until(lambda: lines(journal) > 2, run)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=PATIENCE)
    assert (run.returncode, written(project)["pending"]) == (3, ["score swap_nibbles"]), out + err


def test_a_fault_that_nobody_knows_is_refused_by_name(project: Project):
    done, _ = drill(project, "--only=gremlins")
    assert done.code == 2
    assert "no fault is named 'gremlins'" in done.err


def test_another_config_than_the_embedded_engines_is_refused(project: Project):
    gpus, _ = drill(project, "--arch", "gfx950")
    project.write_config()
    other, _ = drill(project)
    for done in (gpus, other):
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
