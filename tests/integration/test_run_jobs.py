"""`gate run --jobs`: several engines at once, each with its own log, journal, record and GPUs."""

from __future__ import annotations

import json
import shlex
import signal
from pathlib import Path

import psutil
import pytest

from tests.support.project import environment
from tests.support.several import CONFIGS, GOOD, Several
from tests.support.waiting import PATIENCE, lines, until

H100 = "9.0, NVIDIA H100 80GB HBM3, 580.159.04, 81559 MiB, 4 MiB, 1980 MHz, 2619 MHz, 700.00 W"


@pytest.fixture
def project(tmp_path: Path, three_baselines: Path) -> Several:
    """A project of three cells with baselines."""
    return Several(tmp_path, three_baselines)


def test_cells_run_at_once_and_nothing_of_one_is_in_anothers_files(project: Several) -> None:
    with project.start("--jobs", "3", engine=project.staying()) as run:
        journals = project.files("journals", "jsonl")
        until(lambda: all(lines(journal) > 1 for journal in journals), run)
        project.go_on.touch()
        out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, out + err
    logs = [path.read_text() for path in project.files("logs", "log")]
    assert len({log.rsplit("listening on ", 1)[1].split()[0] for log in logs}) == len(CONFIGS)
    records = [json.loads(path.read_text()) for path in project.files("records", "json")]
    assert [record["cell"]["config"] for record in records] == list(CONFIGS)
    assert project.check(project.folder / "out/records", *project.others).code == 0
    for name in CONFIGS:
        assert f" cpu/{name}/default started, budget" in err
        assert f" cpu/{name}/default pass: " in err
    assert "engine |" not in err


def test_a_signal_ends_every_engine_and_every_cell_has_its_record(project: Several) -> None:
    stays = project.staying()
    with project.start("--jobs", "2", "--concurrency", "4", engine=stays) as run:
        first, second, third = project.files("journals", "jsonl")
        until(lambda: lines(first) > 3 and lines(second) > 3, run)
        family = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(signal.SIGINT)
        out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4, out + err
    assert not [process for process in family if process.is_running()]
    failures = [json.loads(path.read_text())["failure"] for path in project.files("records", "json")]
    assert [failure["kind"] for failure in failures] == ["cancelled"] * 3
    assert failures[2]["message"] == "cancelled before it started"
    assert (lines(first) > 3, third.exists()) == (True, False)
    project.go_on.touch()
    done = project.gate(["run", *project.others], "--jobs", "3", engine=stays)
    assert done.code == 0, done.out + done.err


def fake_gpus(folder: Path, number: int) -> dict[str, str]:
    """An nvidia-smi that lists so many GPUs: recorded output, a stand-in for the tool."""
    tools = folder / "tools"
    tools.mkdir()
    text = "".join(f'echo "{H100}"\n' for _ in range(number))
    (tools / "nvidia-smi").write_text(f"#!/bin/sh\n{text}")
    (tools / "nvidia-smi").chmod(0o755)
    return {"PATH": f"{tools}:{environment()['PATH']}"}


SHOWS = """
import os, runpy, sys
print("shown", os.environ["CUDA_VISIBLE_DEVICES"], flush=True)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def test_each_engine_sees_gpus_of_its_own(project: Several, tmp_path: Path) -> None:
    project.write_config(server_args="--tensor-parallel-size 2")
    shows = tmp_path / "shows.py"
    shows.write_text(SHOWS)
    python, *stub = shlex.split(project.engine(*GOOD))
    engine = shlex.join([python, str(shows), *stub])
    with project.start("--jobs", "3", "--arch", "sm90", engine=engine, env=fake_gpus(tmp_path, 4)) as run:
        out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, out + err
    logs = [path.read_text() for path in project.files("logs", "log", "sm90")]
    assert [log.split("shown ")[1].split()[0] for log in logs] == ["0", "1", "2,3"]


def test_more_jobs_than_gpus_are_refused_before_an_engine_starts(project: Several, tmp_path: Path) -> None:
    with project.start(
        "--jobs", "3", "--arch", "sm90", engine=project.engine(*GOOD), env=fake_gpus(tmp_path, 2)
    ) as run:
        _, err = run.communicate(timeout=PATIENCE)
    assert (run.returncode, "give --jobs 2" in err) == (2, True), err
    assert not (project.folder / "out/logs").exists()


def test_a_config_that_pins_its_gpus_is_refused_with_jobs(project: Several) -> None:
    project.write_config(env={"CUDA_VISIBLE_DEVICES": "3"})
    done = project.gate(["run"], "--jobs", "2", "--arch", "sm90", engine=project.engine(*GOOD))
    assert (done.code, "CUDA_VISIBLE_DEVICES is set" in done.err) == (2, True), done.err
