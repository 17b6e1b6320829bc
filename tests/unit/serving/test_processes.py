"""Processes remembered by pid and creation time; orphans of a dead gate ended, nobody else's touched."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gate.errors import UsageError
from gate.serving.processes import Remembered, Tree, end_orphans, find, kill, remember, state_folder

SLEEP = "import sys, time; print('up', flush=True); time.sleep(600)"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", SLEEP], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_process_is_found_again_and_a_reused_pid_is_not(sleeper):
    known = remember(sleeper.pid)
    assert known is not None
    assert find(known) == psutil.Process(sleeper.pid)
    assert find(known._replace(created=known.created - 60)) is None


def test_a_zombie_does_not_run(sleeper):
    known = remember(sleeper.pid)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert find(known) is None


def test_a_pid_that_never_was_is_not_remembered():
    assert remember(2**22 + 1) is None
    assert find(Remembered(2**22 + 1, 0.0, "x")) is None


def test_a_tree_remembers_and_ends_and_forgets_its_state_file(sleeper, tmp_path):
    tree = Tree(sleeper.pid, tmp_path / "e.json")
    tree.update()
    noted = json.loads((tmp_path / "e.json").read_text())
    assert noted["owner"][0] == os.getpid()
    assert [entry[0] for entry in noted["processes"]] == [sleeper.pid]
    assert not tree.listens_on(1)
    assert tree.end() == ()
    assert tree.alive() == ()
    assert list(tmp_path.iterdir()) == []


def test_an_engine_whose_gate_is_dead_is_ended(sleeper, tmp_path):
    dead = [2**22 + 1, 0.0, "gate"]
    state = {"owner": dead, "processes": [remember(sleeper.pid), [2**22 + 2, 0.0, "gone"]]}
    (tmp_path / "engine-1.json").write_text(json.dumps(state))
    (told,) = end_orphans(tmp_path, {})
    assert told.endswith(f"(pid {sleeper.pid}), left over from a killed run")
    assert not psutil.pid_exists(sleeper.pid)
    assert list(tmp_path.iterdir()) == []


def test_an_engine_whose_gate_lives_is_left_alone(sleeper, tmp_path):
    state = {"owner": remember(os.getpid()), "processes": [remember(sleeper.pid)]}
    (tmp_path / "engine-1.json").write_text(json.dumps(state))
    assert end_orphans(tmp_path, {}) == []
    assert sleeper.poll() is None
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("torn", ["", "{", '{"owner": 1}', '{"owner": [1], "processes": []}'])
def test_a_torn_state_file_is_removed(tmp_path, torn):
    (tmp_path / "engine-1.json").write_text(torn)
    assert end_orphans(tmp_path, {}) == []
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def noted(sleeper, tmp_path) -> Path:
    """The folder of a state file whose gate is dead; its engine's container is removed by ./client."""
    (tmp_path / "states").mkdir()
    (tmp_path / "socket").mkdir()
    (tmp_path / "socket/s").touch()
    cleanup = [[str(tmp_path / "client"), "rm", "--force", "gate-1"]]
    tree = Tree(sleeper.pid, tmp_path / "states/engine-1.json", cleanup, tmp_path / "socket")
    tree.update()
    content = json.loads((tmp_path / "states/engine-1.json").read_text())
    dead = {"owner": [2**22 + 1, 0.0, "gate"], "processes": []}
    (tmp_path / "states/engine-1.json").write_text(json.dumps(content | dead))
    return tmp_path / "states"


def client(folder: Path, script: str) -> None:
    (folder / "client").write_text(f'#!/bin/sh\necho "$@ $VALUE" >> {folder}/record\n{script}\n')
    (folder / "client").chmod(0o755)


@pytest.mark.parametrize("script", ["exit 0", "echo 'Error: No such container: gate-1' >&2; exit 1"])
def test_the_container_and_the_socket_of_a_gate_that_is_dead_are_removed(noted, tmp_path, script):
    client(tmp_path, script)
    assert end_orphans(noted, {"VALUE": "given"}) == []
    assert (tmp_path / "record").read_text() == "rm --force gate-1 given\n"
    assert not (tmp_path / "socket").exists()
    assert list(noted.iterdir()) == []


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("echo 'Cannot connect' >&2; exit 1", "Cannot connect"),
        ("exit 3", "status 3"),
        (None, "FileNotFoundError"),
    ],
)
def test_a_container_that_cannot_be_removed_is_told_and_tried_again(noted, tmp_path, script, why):
    if script:
        client(tmp_path, script)
    (told,) = end_orphans(noted, {})
    assert told.startswith("gate: WARNING ")
    assert told.endswith(f"client rm --force gate-1, left over from a killed run: {why}")
    client(tmp_path, f": > {tmp_path}/removed")
    assert end_orphans(noted, {}) == []
    assert (tmp_path / "removed").exists()
    assert list(noted.iterdir()) == []


def test_a_socket_folder_that_cannot_be_removed_is_told(noted, tmp_path):
    client(tmp_path, "exit 0")
    (tmp_path / "socket").rename(tmp_path / "elsewhere")
    (tmp_path / "socket").symlink_to(tmp_path / "elsewhere")
    (told,) = end_orphans(noted, {})
    assert told == (
        f"gate: WARNING {tmp_path / 'socket'}, left over from a killed run: "
        "Cannot call rmtree on a symbolic link"
    )
    assert (tmp_path / "elsewhere/s").exists()


def test_processes_that_cannot_be_noted_are_remembered_and_ended_all_the_same(sleeper, tmp_path):
    tree = Tree(sleeper.pid, tmp_path / "no folder" / "engine-1.json")
    tree.update()
    assert "No such file or directory" in str(tree.unnoted)
    assert [process.pid for process in tree.alive()] == [sleeper.pid]
    assert tree.end() == ()
    assert not psutil.pid_exists(sleeper.pid)


def test_the_state_folder_must_be_ours_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = state_folder()
    assert (folder.parent, stat.S_IMODE(folder.stat().st_mode)) == (tmp_path, 0o700)
    with monkeypatch.context() as patched:
        patched.setattr("os.getuid", lambda: 4242)
        (tmp_path / "vllm-eval-gate-4242").mkdir()
        with pytest.raises(UsageError, match="somebody else can write to"):
            state_folder()
    folder.chmod(0o770)
    with pytest.raises(UsageError, match="somebody else can write to"):
        state_folder()


def test_the_state_folder_is_no_link_to_another_one(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "anywhere").mkdir(mode=0o700)
    (tmp_path / f"vllm-eval-gate-{os.getuid()}").symlink_to(tmp_path / "anywhere")
    with pytest.raises(UsageError, match="somebody else can write to"):
        state_folder()


def test_killing_nobody_is_harmless():
    assert kill([]) == ()
