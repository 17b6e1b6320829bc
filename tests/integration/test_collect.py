"""`gate baseline collect` against a stand-in engine that is a real process: killed, resumed, refused."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.checkout import commit, run
from tests.support.project import LOG, STUB, Project, environment
from tests.support.waiting import PATIENCE, lines, until

GOOD = ("--accuracy", "0.6")
COLLECT = ("baseline", "collect", "--repeats", "4", "--reason", "first", "--concurrency", "4")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def stored(project: Project) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.baseline.read_text())
    return found


def hanging(project: Project, start: int = 1) -> str:
    """The command of an engine that stops answering in the middle, at this start only."""
    starts = str(project.folder / "starts")
    return project.engine(*GOOD, "--hangs-after", "20", "--once", starts, "--faulty-start", str(start))


def kill_in_the_middle(project: Project, journal: Path, *options: str, engine: str) -> str:
    """Collect until the journal holds a dozen samples, kill -9, and return the stream of the run."""
    command = [*project.arguments(*COLLECT, engine=engine), *options]
    with subprocess.Popen(
        command, cwd=project.folder, env=environment(), stderr=subprocess.PIPE
    ) as collecting:
        until(lambda: lines(journal) > 11, collecting)
        children = psutil.Process(collecting.pid).children(recursive=True)
        collecting.send_signal(signal.SIGKILL)
        collecting.communicate(timeout=PATIENCE)
    psutil.wait_procs(children, timeout=PATIENCE)
    assert not [process for process in children if process.is_running()]
    stream: str = json.loads(journal.read_text().splitlines()[0])["key"]["stream"]
    return stream


def test_a_collection_killed_in_the_middle_goes_on_with_the_same_command(project: Project) -> None:
    journal = project.folder / "out/run-1/journals/cpu__stub__default.jsonl"
    stream = kill_in_the_middle(project, journal, engine=hanging(project))
    assert not project.baseline.exists()
    done = project.gate(COLLECT, engine=hanging(project))
    assert done.code == 0, done.err
    assert "default.json: 1 run of 4 repeats counts" in done.out
    assert [run["stream"] for run in stored(project)["runs"]] == [stream]
    assert not journal.exists()
    assert not (project.folder / "out/collection.json").exists()


def test_what_was_stored_before_the_kill_is_neither_measured_nor_stored_again(project: Project) -> None:
    journal = project.folder / "out/run-2/journals/cpu__stub__default.jsonl"
    stream = kill_in_the_middle(project, journal, "--runs", "2", engine=hanging(project, start=2))
    (first,) = stored(project)["runs"]
    done = project.gate(COLLECT, "--runs", "2", engine=hanging(project, start=2))
    assert done.code == 0, done.err
    assert [run["stream"] for run in stored(project)["runs"]] == [first["stream"], stream]
    assert "2 runs of 8 repeats count, homogeneous (p = " in done.out


def test_a_collection_whose_engine_does_not_start_stores_nothing_and_goes_on_when_it_does(
    project: Project,
) -> None:
    starts = str(project.folder / "starts")
    engine = project.engine(*GOOD, "--exit", "7", "--once", starts, "--faulty-start", "1")
    failed = project.gate(COLLECT, engine=engine)
    assert failed.code == 4, failed.err
    assert "cpu/stub/default: the engine exited with status 7" in failed.err
    assert "read the engine's log, logs/cpu__stub__default.log" in failed.err
    assert "run the cell again" in failed.err
    assert not project.baseline.exists()
    done = project.gate(COLLECT, engine=engine)
    assert done.code == 0, done.err
    assert len(stored(project)["runs"]) == 1


def test_another_collection_over_an_interrupted_one_is_refused_naming_what_differs(project: Project) -> None:
    journal = project.folder / "out/run-1/journals/cpu__stub__default.jsonl"
    kill_in_the_middle(project, journal, engine=hanging(project))
    other = project.gate(COLLECT, "--runs", "3", engine=hanging(project))
    assert (other.code, "interrupted here: runs differ" in other.err) == (2, True), other.err
    (project.folder / "out/collection.json").unlink()
    assert project.gate(COLLECT, engine=project.engine(*GOOD)).code == 0


def test_runs_that_are_collected_at_once_enter_the_store_in_their_order(project: Project) -> None:
    assert project.collect(*GOOD, repeats=4).code == 0
    start = project.folder / "start.py"  # the first engine is slow, the second one is not
    start.write_text(
        "import os, sys\n"
        f"place = {str(project.folder / 'started')!r}\n"
        "try:\n"
        "    slow = bool(os.open(place, os.O_CREAT | os.O_EXCL))\n"
        "except FileExistsError:\n"
        "    slow = False\n"
        f"os.execv(sys.executable, [sys.executable, {str(STUB)!r}, '--accuracy', '0.1', '--delay',\n"
        "    '0.2' if slow else '0.0', *sys.argv[1:]])\n"
    )
    engine = shlex.join([sys.executable, str(start), "--log", str(LOG)])
    command = [*project.arguments(*COLLECT, engine=engine), "--new-epoch", "--runs", "2", "--jobs", "2"]
    journals = [project.folder / f"out/run-{n}/journals/cpu__stub__default.jsonl" for n in (1, 2)]
    with subprocess.Popen(
        command, cwd=project.folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as collecting:
        until(lambda: all(journal.exists() for journal in journals), collecting)
        streams = [json.loads(path.read_text().splitlines()[0])["key"]["stream"] for path in journals]
        out, err = collecting.communicate(timeout=PATIENCE)
    assert collecting.returncode == 0, err
    old, first, second = stored(project)["runs"]
    assert [first["stream"], second["stream"]] == streams
    assert stored(project)["epoch"] == first["id"] != old["id"]
    assert out.decode().count("default.json: ") == 2


def test_more_runs_at_once_than_gpus_are_refused_before_anything_is_declared(project: Project) -> None:
    engine = project.engine(*GOOD)
    done = project.gate(COLLECT, "--runs", "2", "--jobs", "2", "--arch", "sm90", engine=engine)
    assert (done.code, "needs 1 GPU" in done.err) == (2, True)
    assert not (project.folder / "out/collection.json").exists()


def test_a_finished_collection_is_not_continued_by_the_next_one(project: Project) -> None:
    for number in (1, 2):
        assert project.gate(COLLECT, engine=project.engine(*GOOD)).code == 0
        assert len(stored(project)["runs"]) == number


def test_a_changed_checkout_is_refused_or_stored_and_never_counted(project: Project) -> None:
    project.config.write_text(project.config.read_text() + "# a try\n")
    refused = project.gate(COLLECT, engine=project.engine(*GOOD))
    assert (refused.code, "the checkout has changes" in refused.err) == (2, True)
    assert not (project.folder / "out/run-1/records/cpu__stub__default.json").exists()
    taken = project.gate(COLLECT, "--allow-dirty", engine=project.engine(*GOOD))
    assert taken.code == 0, taken.err
    assert "0 runs of 0 repeats count; this one never will: the checkout has changes" in taken.out
    assert project.gate(["run"], engine=project.engine(*GOOD)).code == 3


def test_a_head_that_is_not_merged_needs_its_acceptance(project: Project) -> None:
    run(project.folder, "checkout", "--quiet", "-b", "feature")
    project.config.write_text(project.config.read_text() + "# faster\n")
    head = commit(project.folder)
    refused = project.gate(COLLECT, engine=project.engine(*GOOD))
    assert (refused.code, f"the commit {head[:12]} is not on heads/main" in refused.err) == (2, True)
    taken = project.gate(COLLECT, "--accepted-head", head, engine=project.engine(*GOOD))
    assert taken.code == 0, taken.err
    (only,) = stored(project)["runs"]
    assert only["provenance"]["for_head"] == head
    assert len(only["provenance"]["tree"]) == 40


def test_a_run_that_does_not_fit_begins_a_new_epoch_only_when_told_and_is_not_measured_twice(
    project: Project,
) -> None:
    assert project.collect(*GOOD).code == 0
    worse = project.engine("--accuracy", "0.2")
    refused = project.gate(COLLECT, engine=worse)
    assert (refused.code, "p = " in refused.err, "--new-epoch" in refused.err) == (2, True, True)
    measured = (project.folder / "out/run-1/records/cpu__stub__default.json").read_bytes()
    taken = project.gate(COLLECT, "--new-epoch", engine=worse)
    assert taken.code == 0, taken.err
    assert "1 run of 4 repeats counts" in taken.out
    file = stored(project)
    assert file["epoch"] == file["runs"][1]["id"]
    assert file["anchor"] == [file["runs"][0]["id"]]
    assert file["runs"][1]["stream"] in measured.decode()
