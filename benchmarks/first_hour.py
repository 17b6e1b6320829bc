"""A new user's first minutes: set-up, first verdict, second verdict, and `gate --help`.

    python -m benchmarks.first_hour [--folder DIR]

Clones this checkout's HEAD into an empty folder and types README's first command there, in parts, so that
each is timed. Ends with status 1 when a target is missed or a verdict is not `pass`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
HELPS = 11


class Timed(NamedTuple):
    """One thing a new user waits for, in seconds."""

    what: str
    seconds: float
    target: float


def seconds_of(command: Sequence[str], folder: Path) -> float:
    """Run a command to its end, its output passed on; raises CalledProcessError."""
    began = time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
    return time.monotonic() - began


def verdict(folder: Path) -> str:
    """The verdict of the demo's report."""
    return str(json.loads((folder / "out/demo/report.json").read_text())["verdict"])


def measure(folder: Path) -> list[Timed]:
    """Everything, in the order a new user meets it."""
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)  # noqa: S607
    found = [Timed("set-up (make engine)", seconds_of(["make", "engine"], folder), 360)]
    found.append(Timed("first verdict (make demo)", seconds_of(["make", "demo"], folder), 240))
    assert verdict(folder) == "pass"
    found.append(Timed("again (make demo)", seconds_of(["make", "demo"], folder), 120))
    assert verdict(folder) == "pass"
    gate = str(folder / ".venv/bin/gate")
    helps = [seconds_of([gate, "--help"], folder) for _ in range(HELPS)]
    return [*found, Timed(f"gate --help (median of {HELPS})", statistics.median(helps), 0.3)]


def main() -> int:
    """Print a table; the number of missed targets decides the status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="an empty place for the clone, kept afterwards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        found = measure(options.folder or Path(scratch) / "clone")
    print("| what | seconds | target |\n| --- | --- | --- |")
    for row in found:
        print(f"| {row.what} | {row.seconds:.2f} | {row.target:g} |")
    return int(any(row.seconds > row.target for row in found))


if __name__ == "__main__":
    sys.exit(main())
