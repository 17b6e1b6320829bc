"""An engine that is lost in the middle: started again once, asked on from the journal, and told of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.project import LOG, STORED, Finished, Project

GOOD = ("--accuracy", "0.6")
COMMITS = ("--head-sha", "a" * 40, "--base-sha", "b" * 40)
IN_TIME = ("--hang-seconds", "5")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baselines collected from the healthy stub."""
    project = Project(tmp_path_factory.mktemp("stored"))
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return project.folder / "baselines"


@pytest.fixture
def measured(tmp_path: Path, stored: Path) -> Project:
    """A project with a baseline that the healthy stub made."""
    project = Project(tmp_path)
    (project.folder / "baselines").symlink_to(stored)
    return project


def run(project: Project, *engine: str, options: tuple[str, ...] = ()) -> Finished:
    """`gate run` of one commit, so that every run asks the same samples."""
    done = project.gate(["run"], *COMMITS, *IN_TIME, *options, engine=project.engine(*GOOD, *engine))
    assert "Traceback" not in done.err
    assert not stubs_of(project)
    return done


def stubs_of(project: Project) -> list[psutil.Process]:
    """Engines of this project that still run."""
    model = str(project.model)
    # Another program's process that just ended has no command line any more: then it is None.
    return [p for p in psutil.process_iter(["cmdline"]) if model in " ".join(p.info["cmdline"] or [])]


def record(project: Project, out: str = "out") -> dict[str, Any]:
    return json.loads((project.folder / out / "records/cpu__stub__default.json").read_text())


def result(project: Project) -> dict[str, Any]:
    (cell,) = json.loads((project.folder / "out/report.json").read_text())["cells"]
    return cell


@pytest.mark.parametrize("concurrency", ["1", "8"])
@pytest.mark.parametrize(
    ("fault", "reason"), [("--dies-after", "was killed by signal 9"), ("--hangs-after", "the engine hangs")]
)
def test_the_samples_are_those_of_an_undisturbed_run_and_the_report_tells_of_the_restart(
    measured: Project, fault: str, reason: str, concurrency: str
):
    asked = ("--concurrency", concurrency)
    once = ("--once", str(measured.folder / "once"))
    disturbed = run(measured, fault, "30", *once, options=asked)
    first = record(measured)
    undisturbed = run(measured, options=(*asked, "--out", "undisturbed"))
    second = record(measured, "undisturbed")

    assert disturbed.code == undisturbed.code == 0, disturbed.out + disturbed.err
    assert (first["outcomes"], first["finish"]) == (second["outcomes"], second["finish"])
    (restart,) = first["restarts"]
    assert reason in restart["reason"]
    assert 0 < restart["samples"] <= 30
    assert first["provenance"]["engine_restarts"] == "1"
    assert second["restarts"] == []
    assert "engine_restarts" not in second["provenance"]
    assert (
        f"restarted: once, and went on with the samples it had (after {restart['samples']}" in disturbed.out
    )
    assert "restarted" not in undisturbed.out
    assert (measured.folder / "out/logs/cpu__stub__default.restart-1.log").exists()


def test_the_report_for_reviewers_tells_of_the_restart(measured: Project):
    run(measured, "--dies-after", "30", "--once", str(measured.folder / "once"))
    assert "**The engine was restarted:** once" in (measured.folder / "out/report.md").read_text()


@pytest.mark.parametrize("fault", ["--dies-after", "--hangs-after"])
def test_a_second_loss_is_not_measured_and_keeps_what_was_measured(measured: Project, fault: str):
    done = run(measured, fault, "30")
    assert done.code == 4, done.out + done.err
    assert result(measured)["verdict"] == "not_measured"
    (restart,) = record(measured)["restarts"]
    (journal,) = measured.folder.glob("out/journals/*.jsonl")
    assert journal.read_text().count("\n") - 1 == record(measured)["generated"] > restart["samples"]


def test_an_engine_that_comes_back_with_another_kernel_is_not_measured(measured: Project, tmp_path: Path):
    other = tmp_path / "other.log"
    other.write_text(LOG.read_text().replace("EMULATION", "TRITON"))
    once = ("--once", str(tmp_path / "once"), "--second-log", str(other))
    done = run(measured, "--dies-after", "30", *once)
    assert done.code == 4
    assert "after its restart the engine ran something else" in result(measured)["reason"]
    assert "moe: EMULATION, then TRITON" in result(measured)["reason"]
    assert record(measured)["evidence"]["facts"]["moe"] == "EMULATION|TRITON"


def test_what_nobody_expects_must_be_the_same_after_the_restart_too(measured: Project, tmp_path: Path):
    line = "INFO 11-23 21:00:00 [rocm.py:1] Using {} backend (selected via --attention-backend).\n"
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    first.write_text(LOG.read_text() + line.format("ROCM_AITER_UNIFIED_ATTN"))
    second.write_text(LOG.read_text() + line.format("TRITON_ATTN"))
    once = ("--once", str(tmp_path / "once"), "--second-log", str(second))
    engine = measured.engine(*GOOD, "--dies-after", "30", *once, log=first)
    done = measured.gate(["run"], engine=engine)
    assert done.code == 4
    assert "attention: ROCM_AITER_UNIFIED_ATTN, then TRITON_ATTN" in result(measured)["reason"]


@pytest.mark.parametrize("fault", [("--exit", "3"), ("--fault", "400"), ("--fault", "wrong_model")])
def test_what_another_start_would_not_mend_is_not_tried_again(measured: Project, fault: tuple[str, ...]):
    assert run(measured, *fault).code == 4
    assert not (measured.folder / "out/logs/cpu__stub__default.restart-1.log").exists()
    assert record(measured)["restarts"] == []


def test_a_failure_tells_what_to_do_next(measured: Project):
    run(measured, "--exit", "3")
    assert "cpu__stub__default.log" in result(measured)["next_step"]


def test_a_collection_goes_on_after_a_restart_and_the_baseline_says_so(tmp_path: Path):
    project = Project(tmp_path)
    done = project.collect(*GOOD, "--dies-after", "30", "--once", str(tmp_path / "once"), repeats=4)
    assert done.code == 0, done.err
    (stored,) = json.loads(project.baseline.read_text())["runs"]
    assert stored["provenance"]["engine_restarts"] == "1"
