"""The store against real processes: killed, racing, out of space, locked out."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from gate.baseline.store import baseline_path, load, save
from tests.support.measured import CELL, baseline

SECONDS = 120


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = baseline_path(tmp_path, CELL)
    save(place, baseline(1), replaces=None)
    return place


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that any user may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def writer(root: Path, what: str, path: Path, *numbers: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.store_writers", what, str(path), *map(str, numbers)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str], stdin: str = "") -> str:
    output, _ = process.communicate(stdin, timeout=SECONDS)
    assert process.returncode == 0
    return output


def test_a_writer_killed_at_any_step_leaves_the_old_baseline_or_the_new_one(root: Path, path: Path) -> None:
    steps = [line.split() for line in said(writer(root, "killed_at_every_step", path)).splitlines()]
    assert len(steps) > 20, "written in chunks of 128 bytes: there is more to write than that"
    found = [state for _, state, _ in steps]
    assert found == sorted(found, reverse=True), "old until the rename, new after it"
    assert {"old", "new"} == set(found)
    assert [end for *_, end in steps] == ["killed"] * (len(steps) - 1) + ["saved"]
    assert load(path) == baseline(2)
    assert [p.name for p in path.parent.iterdir()] == ["aiter.json"]


def test_of_two_processes_that_refresh_at_once_one_is_told_to_run_again(root: Path, path: Path) -> None:
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(writer(root, "one_after_the_other", path, seed)) for seed in (7, 8)
        )
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "loaded\n"
        assert said(first, "go\n") == "saved\n"
        assert (
            "was not written: it has changed since it was read\n  nothing is lost: run the command again"
            in said(second, "go\n")
        )
    assert [a.accepted_by for a in load(path).history] == ["octocat", "writer 7"]


def test_many_processes_that_try_until_they_are_in_lose_no_run(root: Path, path: Path) -> None:
    with ExitStack() as stack:
        for process in [
            stack.enter_context(writer(root, "until_it_is_in", path, seed)) for seed in range(11, 15)
        ]:
            assert said(process) == ""
    stored = load(path)
    assert sorted(a.accepted_by for a in stored.history[1:]) == [f"writer {n}" for n in range(11, 15)]
    assert len(stored.runs) == 5


def test_a_full_disk_is_an_error_and_the_old_baseline_is_intact(root: Path, path: Path) -> None:
    assert "cannot be written: File too large" in said(writer(root, "disk_full", path))
    assert load(path) == baseline(1)
    assert [p.name for p in path.parent.iterdir()] == ["aiter.json"]


def test_a_read_only_folder_is_an_error_and_the_old_baseline_is_intact(root: Path, open_folder: Path) -> None:
    path = baseline_path(open_folder, CELL)
    save(path, baseline(1), replaces=None)
    path.parent.chmod(0o555)
    try:
        assert "cannot be written: Permission denied" in said(writer(root, "read_only", path))
    finally:
        path.parent.chmod(0o755)
    assert load(path) == baseline(1)
