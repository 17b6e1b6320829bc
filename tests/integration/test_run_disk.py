"""`gate run` against a disk that fills, and an engine that would fill it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from tests.support.project import LOG, STORED, STUB, Finished, Project, environment, finished_with

COMMIT = ("--head-sha", "2" * 40)
GOOD = ("--accuracy", "0.6")
# No file may grow beyond a size: what a full disk does to a writer, without needing root for a file system.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baselines collected from the healthy stub."""
    project = Project(tmp_path_factory.mktemp("stored"))
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return project.folder / "baselines"


@pytest.fixture
def measured(tmp_path: Path, stored: Path) -> Project:
    """A project with that baseline."""
    project = Project(tmp_path)
    (project.folder / "baselines").symlink_to(stored)
    return project


def limited(project: Project, largest: int) -> Finished:
    """A run in which no file grows beyond `largest` bytes."""
    command = project.arguments("run", engine=project.engine(*GOOD))
    # Coverage's own file would be cut too.
    environ = {name: value for name, value in environment().items() if not name.startswith("COV")}
    return finished_with(
        [sys.executable, "-c", LIMITED, str(largest), *command, *COMMIT], project.folder, environ
    )


def journal(project: Project) -> bytes:
    (path,) = (project.folder / "out/journals").iterdir()
    return path.read_bytes()


def engines_of(project: Project) -> list[int]:
    """The processes that serve the project's model."""
    arguments = [(p.pid, p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    return [pid for pid, words in arguments if str(project.model) in words]


@pytest.mark.parametrize(
    ("largest", "samples", "file"),
    [
        pytest.param(0, 0, "report.json", id="from the start"),
        pytest.param(2300, 20, "records/cpu__stub__default.json", id="before the record"),
        pytest.param(4096, 40, "journals/cpu__stub__default@", id="while samples arrive"),
    ],
)
def test_a_disk_that_is_full_is_not_measured_says_what_to_do_and_loses_no_sample(
    measured: Project, largest: int, samples: int, file: str
):
    done = limited(measured, largest)
    assert done.code == 4, done.out + done.err
    told = done.out + done.err
    assert f"{measured.folder}/out/{file}" in told
    assert "free some space" in told
    assert "not measured" in told
    assert "Traceback" not in told
    records = [json.loads(path.read_text()) for path in (measured.folder / "out/records").glob("*.json")]
    assert [record["failure"]["kind"] for record in records] == ["storage"] * (largest == 4096)
    assert engines_of(measured) == []
    kept = journal(measured)
    assert kept.count(b"\n") >= samples
    again = measured.gate(["run"], *COMMIT, engine=measured.engine(*GOOD))
    assert again.code == 0, again.out + again.err
    assert journal(measured).startswith(kept[: kept.rfind(b"\n") + 1])


def test_a_confirmation_that_cannot_be_written_takes_nothing_back(measured: Project):
    record = measured.folder / "out/records/cpu__stub__default.json"
    start = measured.folder / "start.py"
    start.write_text(
        "import os, sys\n"
        f"os.mkdir({str(record.with_name(f'.{record.name}.tmp'))!r})\n"
        f"os.execv(sys.executable, [sys.executable, {str(STUB)!r}, '--accuracy', '0.0', *sys.argv[1:]])\n"
    )
    base = shlex.join([sys.executable, str(start), "--log", str(LOG)])
    done = measured.gate(["run"], "--confirm-with", base, engine=measured.engine("--accuracy", "0.2"))
    assert done.code == 1, done.out + done.err
    assert "the confirmation is lost" in done.err
    assert json.loads(record.read_text())["confirmation"] is None


class Used(NamedTuple):
    """What a run ended with, and how large it or a process below it was."""

    code: int
    megabytes: float
    outcomes: list[str]


def run_of(project: Project, *engine: str) -> Used:
    """Run to the end against a stub with these options."""
    with subprocess.Popen(
        [*project.arguments("run", engine=project.engine(*engine)), *COMMIT],
        cwd=project.folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as run:  # fmt: skip
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    record = json.loads((project.folder / "out/records/cpu__stub__default.json").read_text())
    return Used(run.returncode, used.ru_maxrss / 1024, record["outcomes"])


def test_a_log_of_a_gigabyte_changes_no_verdict_and_fills_neither_memory_nor_disk(measured: Project):
    quiet = run_of(measured, *GOOD)
    for journal in (measured.folder / "out/journals").iterdir():
        journal.unlink()
    loud = run_of(measured, *GOOD, "--log-megabytes", "1024")
    assert (loud.code, loud.outcomes) == (quiet.code, quiet.outcomes) == (0, quiet.outcomes)
    assert loud.megabytes < quiet.megabytes + 30
    sizes = {path.name: path.stat().st_size for path in (measured.folder / "out/logs").iterdir()}
    name = "cpu__stub__default.log"
    assert sorted(sizes) == [name, f"{name}.tail", f"{name}.tail.1"]
    assert max(sizes.values()) <= 32 * 2**20
    assert engines_of(measured) == []
