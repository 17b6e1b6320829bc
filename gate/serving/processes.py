"""The engine's processes as gate sees them, and those a killed gate left behind.

Second line of defence: `warden.py` ends everything in the ordinary case. Here every process is
remembered by (pid, creation time), so that a reused pid is never mistaken for the engine.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

from gate.errors import UsageError

KILL_SECONDS = 5.0
CLEANUP_SECONDS = 30.0


class Remembered(NamedTuple):
    """One process of the engine."""

    pid: int
    created: float
    name: str


class Noted(NamedTuple):
    """What a state file holds: who wrote it, and what is to be gone once that process is."""

    owner: Remembered | None = None
    processes: tuple[Remembered, ...] = ()
    cleanup: tuple[tuple[str, ...], ...] = ()
    folders: tuple[str, ...] = ()


class Tree:
    """Every process seen below `root`, kept in a state file while the engine runs.

    `unnoted` is why the state file does not hold them, on a full disk: then only the warden ends the engine
    of a gate that is killed.

    Args:
        root: the pid on top.
        state: the file.
        cleanup: commands that end what is not below `root`, a container.
        folder: what else is to be gone with the engine.
    """

    def __init__(
        self,
        root: int,
        state: Path,
        cleanup: Sequence[Sequence[str]] = (),
        folder: Path | None = None,
    ) -> None:
        self.unnoted: OSError | None = None
        self._besides = {"cleanup": cleanup, "folders": [str(folder)] if folder else []}
        self._root = root
        self._state = state
        self._seen: dict[tuple[int, float], Remembered] = {}

    def update(self) -> None:
        """Look again; a process that detached itself stays remembered."""
        before = dict(self._seen)
        for process in _with_children(self._root):
            # A title comes some time after the start, and is gone again once the process is a zombie.
            if process.name or (process.pid, process.created) not in self._seen:
                self._seen[process.pid, process.created] = process
        if self._seen != before:
            try:
                _write(self._state, self._seen.values(), self._besides)
            except OSError as error:
                self.unnoted = error

    def alive(self) -> tuple[Remembered, ...]:
        """Those remembered that still run."""
        return tuple(process for process in self._seen.values() if find(process))

    def workers(self) -> tuple[Remembered, ...]:
        """The engine's own named processes (vLLM titles them `VLLM::EngineCore`, `VLLM::Worker...`)."""
        return tuple(process for process in self._seen.values() if process.name.startswith("VLLM::"))

    def lost_workers(self) -> tuple[Remembered, ...]:
        """Workers that no longer run: vLLM never ends one while it serves."""
        return tuple(worker for worker in self.workers() if not find(worker))

    def listens_on(self, port: int) -> bool:
        """Whether one of them holds `port`: a stranger that answers there is not our engine."""
        return any(_listens(process, port) for process in self.alive())

    def end(self) -> tuple[Remembered, ...]:
        """Kill what is left; what even SIGKILL did not end. Forgets the state file."""
        survivors = kill(self.alive())
        self._state.unlink(missing_ok=True)
        return survivors


def state_folder() -> Path:
    """Where running engines are noted, for this user on this machine.

    Commands are read back from there, so nobody else may write to it, or lead it elsewhere by a link.

    Raises:
        UsageError: somebody else could.
    """
    folder = Path(tempfile.gettempdir()) / f"vllm-eval-gate-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found, others = folder.lstat(), stat.S_IWGRP | stat.S_IWOTH
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & others:
        raise UsageError(f"somebody else can write to {folder}", hint="remove it, or set TMPDIR")
    return folder


def end_orphans(folder: Path, environment: Mapping[str, str]) -> list[str]:
    """End engines whose gate is dead: those noted in `folder` by a process that no longer runs.

    A clean-up that fails stays noted, and is tried again at the next start.

    Args:
        folder: of state files.
        environment: of the clean-up commands.

    Returns:
        What was found running and was ended, and what could not be ended, as lines for the output.
    """
    lines: list[str] = []
    for state in sorted(folder.glob("*.json")):
        noted = _read(state)
        if noted.owner is not None and find(noted.owner):
            continue
        running = tuple(process for process in noted.processes if find(process))
        kill(running)
        lines += [
            f"gate: ended {orphan.name} (pid {orphan.pid}), left over from a killed run" for orphan in running
        ]
        failed = [told for command in noted.cleanup if (told := _clean_up(command, environment))]
        failed += [told for path in noted.folders if (told := _remove(path))]
        lines += [f"gate: WARNING {told}" for told in failed]
        if not failed:
            state.unlink(missing_ok=True)
    return lines


def kill(processes: Iterable[Remembered]) -> tuple[Remembered, ...]:
    """SIGKILL, wait on their end, bounded; those that survived."""
    found = {process: handle for process in processes if (handle := find(process))}
    for handle in found.values():
        try:
            handle.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(list(found.values()), timeout=KILL_SECONDS)
    return tuple(process for process in found if find(process))


def find(process: Remembered) -> psutil.Process | None:
    """The running process that `process` remembers, or None; a zombie does not run."""
    try:
        handle = psutil.Process(process.pid)
        if handle.create_time() == process.created and handle.status() != psutil.STATUS_ZOMBIE:
            return handle
    except psutil.NoSuchProcess:
        return None
    return None


def remember(pid: int) -> Remembered | None:
    """What to remember of `pid`; None if it has ended."""
    try:
        handle = psutil.Process(pid)
        return Remembered(pid, handle.create_time(), _title(handle))
    except psutil.NoSuchProcess:
        return None


def _with_children(root: int) -> list[Remembered]:
    try:
        handles = [psutil.Process(root), *psutil.Process(root).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    return [known for handle in handles if (known := remember(handle.pid))]


def _title(handle: psutil.Process) -> str:
    try:
        return (handle.cmdline() or [""])[0]
    except (psutil.AccessDenied, psutil.ZombieProcess):
        return ""


def _listens(process: Remembered, port: int) -> bool:
    handle = find(process)
    if handle is None:
        return False
    try:
        connections = handle.net_connections(kind="tcp")
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr and c.laddr.port == port for c in connections)


def _remove(folder: str) -> str | None:
    """Remove a folder; why that failed."""
    try:
        if Path(folder).is_dir():
            shutil.rmtree(folder)
    except OSError as error:
        return f"{folder}, left over from a killed run: {error}"
    return None


def _clean_up(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Run it, bounded; why it failed. An old Docker calls a container that is gone already a failure."""
    told = f"{shlex.join(command)}, left over from a killed run"
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CLEANUP_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{told}: {type(error).__name__}"
    if done.returncode == 0 or "no such container" in done.stderr.lower():
        return None
    return f"{told}: {' '.join(done.stderr.split()) or f'status {done.returncode}'}"


def _write(state: Path, processes: Iterable[Remembered], besides: Mapping[str, object]) -> None:
    temporary = state.with_suffix(".new")
    content = {"owner": remember(os.getpid()), "processes": list(processes), **besides}
    try:
        temporary.write_text(json.dumps(content), encoding="utf-8")
        temporary.replace(state)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _read(state: Path) -> Noted:
    """A state file; a torn one has nothing in it and is removed by the caller."""
    try:
        content = json.loads(state.read_text(encoding="utf-8"))
        return Noted(
            owner=Remembered(*content["owner"]),
            processes=tuple(Remembered(*entry) for entry in content["processes"]),
            cleanup=tuple(tuple(command) for command in content.get("cleanup", ())),
            folders=tuple(content.get("folders", ())),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return Noted()
