"""Wait for what a running process does."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import AnyStr

PAUSE_SECONDS = 0.02
PATIENCE = 900.0
"""Seconds after which something hangs. No test may say by it how fast the machine is that runs the tests."""


def until(condition: Callable[[], bool], process: subprocess.Popen[AnyStr]) -> None:
    """Return once it holds; fails where the process ends before."""
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(PAUSE_SECONDS)


def lines(path: Path) -> int:
    """How many it has; none where it is not there yet."""
    return path.read_text().count("\n") if path.exists() else 0


def soon_enough(attempt: Callable[[], float], seconds: float) -> bool:
    """Whether one of three attempts took less: a machine that others keep busy says nothing of one alone."""
    return any(attempt() < seconds for _ in range(3))
