"""Question files for tests: GPQA's columns, no GPQA text."""

from __future__ import annotations

import csv
from pathlib import Path

from gate.evals.gpqa import COLUMNS


def write_questions(path: Path, number: int) -> Path:
    """A CSV of `number` questions whose right option says "right" (what the stub engine looks for)."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["Record", *COLUMNS])
        for n in range(number):
            writer.writerow([n, f"What is {n}?", f"right {n}", f"low {n}", f"high {n}", f"none {n}"])
    return path
