"""Processes that write baselines under bad conditions: `python -m tests.support.store_writers WHAT PATH ...`.

Each prints a line for what happened. The baselines are those of `tests.support.measured`, by number of runs.
"""

from __future__ import annotations

import itertools
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gate.baseline.collect import add_run
from gate.baseline.store import load, save
from gate.errors import BaselineError
from gate.model.baseline import Baseline
from tests.support.measured import CELL, baseline, run_record
from tests.support.refreshing import TRITON, Checkout

CHUNK = 128
NOBODY = 65534


def killed_at_every_step(path: Path) -> None:
    """Save over `path` again and again, killed by SIGKILL at step 0, 1, 2, ...; the last one gets through.

    A step is a system call that changes the file system; a write is cut into chunks of 128 bytes, and the
    one that kills still writes half of its chunk. After each death: `step, what load finds`.
    """
    old, new = load(path), baseline(2)
    found = old
    for step in itertools.count():
        child = os.fork()
        if child == 0:
            _die_at(step)
            save(path, new, replaces=found)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        found = load(path)
        print(step, "old" if found == old else "new" if found == new else "another", end=" ")
        print("killed" if os.WIFSIGNALED(status) else "saved")
        if not os.WIFSIGNALED(status):
            return


def refresh_killed_at_every_step(folder: Path) -> None:
    """Refresh two cells of a checkout made in `folder`, killed at step 0, 1, 2, ... until one gets through.

    After each death, `step, first cell,second cell, end`: `load` finds the old baseline or the new one.
    """
    checkout = Checkout(folder)
    cells = (CELL, TRITON)
    checkout.stored(TRITON)
    for seed, cell in enumerate(cells, start=7):
        checkout.measured_of(cell, seed)
    old = [load(checkout.path(cell)) for cell in cells]
    for step in itertools.count():
        child = os.fork()
        if child == 0:
            _die_at(step)
            checkout.refresh(git=lambda _: "")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        found = [load(checkout.path(cell)) for cell in cells]
        grown = [len(f.runs) - len(o.runs) for f, o in zip(found, old, strict=True)]
        states = [("old", "new", "another")[min(more, 2)] for more in grown]
        print(step, ",".join(states), "killed" if os.WIFSIGNALED(status) else "saved")
        if not os.WIFSIGNALED(status):
            return


def one_after_the_other(path: Path, seed: int) -> None:
    """Load, say so, wait for a line on stdin, add the run `seed`, save."""
    stored = load(path)
    print("loaded", flush=True)
    sys.stdin.readline()
    _say(lambda: save(path, _grown(stored, seed), replaces=stored))


def until_it_is_in(path: Path, seed: int) -> None:
    """Load, add the run `seed` and save, again and again until nobody else was faster."""
    while True:
        stored = load(path)
        try:
            save(path, _grown(stored, seed), replaces=stored)
        except BaselineError:
            continue
        return


def disk_full(path: Path) -> None:
    """Save where no file may grow beyond 1,000 bytes."""
    stored = load(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    _say(lambda: save(path, baseline(2), replaces=stored))


def read_only(path: Path) -> None:
    """Save in the current folder, which nobody may write, as a user who is not root."""
    stored = load(path)
    if os.getuid() == 0:
        os.setuid(NOBODY)
    _say(lambda: save(path, baseline(2), replaces=stored))


def _say(act: Callable[[], None]) -> None:
    try:
        act()
    except BaselineError as error:
        print(error)
    else:
        print("saved")


def _grown(stored: Baseline, seed: int) -> Baseline:
    return add_run(stored, run_record(seed), accepted_by=f"writer {seed}", reason="race", date="2026-11-23")


def _die_at(step: int) -> None:
    left = step

    def counted(call: Callable[..., Any], last: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def counting(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            if left == 0:
                if last is not None:
                    last(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return call(*arguments, **named)

        return counting

    write = os.write
    os.write = counted(lambda h, d: write(h, d[:CHUNK]), lambda h, d: write(h, d[: CHUNK // 2]))
    for name in ("open", "ftruncate", "fsync", "rename", "replace", "close"):
        setattr(os, name, counted(getattr(os, name)))


if __name__ == "__main__":
    what, where, *rest = sys.argv[1:]
    globals()[what](Path(where), *map(int, rest))
