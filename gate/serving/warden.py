"""Runs the engine and outlives it: nothing the engine started is left when this process ends.

Started by path with the standard library only (`python -I -S warden.py SPEC`), between gate and engine.
Standard input is a pipe held by gate: its end, whatever ended gate (kill -9 included), means stop; a number
before it is the seconds that the engine has to obey, instead of the SPEC's. As
a child subreaper it inherits every orphan of the engine, also those that left its session, so it can
end them all. `preexec_fn` in gate would not do: it is unsafe with threads and reaches one process only.

SPEC is JSON: {"argv": [...], "cleanup": [[...], ...], "grace": seconds}.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
POLL_SECONDS = 0.1
KILL_SECONDS = 10.0
CLEANUP_SECONDS = 30.0
CANNOT_EXECUTE = 127
ENDED = "the engine "
FIELDS_AFTER_NAME_PARENT = 1


def main(arguments: list[str]) -> int:
    """Run the engine of `arguments[1]` until it ends or standard input closes; its exit status."""
    spec = json.loads(arguments[1])
    wake, wakened = os.pipe()
    os.set_blocking(wakened, False)
    signal.set_wakeup_fd(wakened, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _note_only)
    signal.signal(signal.SIGCHLD, _note_only)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    engine = start(spec["argv"])
    grace = [float(spec["grace"])]
    status = watch(engine, wake, grace)
    if status is not None:
        say(ENDED + describe(status))
    ended = end_all(engine, grace[-1])
    for command in spec["cleanup"]:
        run_cleanup(command)
    if status is None:
        status = ended
    return 0 if status is None else exit_status(status)


def start(argv: list[str]) -> int:
    """Fork and execute `argv` in its own session; the engine dies with this process."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        os.setsid()
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(CANNOT_EXECUTE)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.set_wakeup_fd(-1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.execvp(argv[0], argv)  # noqa: S606 - a list, no shell
    except OSError as error:
        say(f"cannot execute {argv[0]}: {error.strerror}")
    finally:
        os._exit(CANNOT_EXECUTE)


def watch(engine: int, wake: int, grace: list[float]) -> int | None:
    """Wait until the engine ends (its wait status) or a stop is asked for (None).

    A number on standard input before it closes is another grace, for a stop in a hurry.
    """
    while True:
        if engine in (ended := reap()):
            return ended[engine]
        ready, _, _ = select.select([0, wake], [], [])
        if 0 in ready:
            if not (said := os.read(0, 4096)):
                return None
            grace.append(float(said))
        if wake in ready and set(os.read(wake, 4096)) - {signal.SIGCHLD}:
            return None


def end_all(engine: int, grace: float) -> int | None:
    """SIGTERM to every descendant, `grace` seconds to obey, then SIGKILL; the engine's wait status."""
    signal_all(signal.SIGTERM)
    status = _until_none_left(engine, grace, lambda: None)
    if descendants():
        killed = _until_none_left(engine, KILL_SECONDS, lambda: signal_all(signal.SIGKILL))
        status = status if status is not None else killed
    return status


def _until_none_left(engine: int, seconds: float, act: Callable[[], None]) -> int | None:
    status: int | None = None
    deadline = time.monotonic() + seconds
    while True:
        ended = reap()
        status = ended.get(engine, status)
        if not descendants() or time.monotonic() > deadline:
            return status
        act()
        time.sleep(POLL_SECONDS)


def signal_all(number: int) -> None:
    """Send a signal to every process below this one, whatever its group or session."""
    for pid in descendants():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def descendants() -> set[int]:
    """Every process below this one, from /proc; zombies count until they are reaped."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - pathlib costs start-up time here
        if entry.isdigit() and (parent := _parent_of(int(entry))) is not None:
            parents[int(entry)] = parent
    found: set[int] = set()
    frontier = {os.getpid()}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier and pid not in found}
        found |= frontier
    return found


def reap() -> dict[int, int]:
    """Collect every child that has ended: pid -> wait status."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def run_cleanup(command: list[str]) -> None:
    """Run a clean-up command, bounded; its failure is said, not raised."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CLEANUP_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        say(f"clean-up {command[0]} failed: {type(error).__name__}")
        return
    if done.returncode:
        say(f"clean-up {command[0]} exited with status {done.returncode}")


def say(message: str) -> None:
    """A line in the engine's log; nobody reads it when gate is already dead, which must not stop us."""
    with contextlib.suppress(BrokenPipeError):
        os.write(2, f"gate: {message}\n".encode())


def describe(status: int) -> str:
    """A wait status in words."""
    code = os.waitstatus_to_exitcode(status)
    return f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"


def exit_status(status: int) -> int:
    """A wait status as an exit status, 128 + n for signal n."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def prctl(option: int, value: int) -> None:
    """Linux `prctl`; elsewhere nothing (the group is still ended, orphans are not inherited)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _parent_of(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:  # noqa: PTH123 - as above
            text = stat.read()
    except OSError:
        return None
    # The command's name is in parentheses and may itself hold anything.
    return int(text[text.rindex(b")") + 2 :].split()[FIELDS_AFTER_NAME_PARENT])


def _note_only(number: int, frame: object) -> None:
    """The wake-up file descriptor carries the signal; this only replaces its default action."""


if __name__ == "__main__":
    sys.exit(main(sys.argv))
