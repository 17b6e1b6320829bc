"""How long 1,000 baselines take to load and verify, and how large baselines are (`verify` loads each file).

    python -m benchmarks.store_speed [--files 1000]

The files have 198 questions x 32 repeats x 4 runs each, as GPQA diamond does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gate.baseline.check import run_id
from gate.baseline.store import baseline_path, load, render, save
from gate.baseline.verify import verify
from gate.model.baseline import Acceptance, Baseline, BaselineRun
from gate.model.cell import Cell
from tests.support.measured import fingerprint, full_provenance, question_ids


class Timing(NamedTuple):
    """Seconds of the processor for all files together: on a busy machine the clock shows the neighbours."""

    files: int
    load: float
    verify: float


def stored(cell: Cell, *, total: int, repeats: int = 32, runs: int = 4, length: int = 2000) -> Baseline:
    """A baseline of real size: four-digit answer lengths, two-digit counts, 2 % of questions invalid."""
    mark = fingerprint(question_ids(total), cell=cell)
    draw = np.random.default_rng(total)
    chances = draw.beta(1.2, 0.9, size=total)
    made: list[BaselineRun] = []
    for number in range(runs):
        correct = tuple(map(int, draw.binomial(repeats, chances)))
        invalid = {i: 1 for i in range(0, total, 50) if correct[i] < repeats}
        run = BaselineRun(
            id="",
            stream=f"{number:032x}",
            repeats=repeats,
            correct=correct,
            invalid=invalid,
            tokens=tuple(length // 2 + (37 * i + number) % length for i in range(total)),
            finish={"length": sum(invalid.values()), "stop": total * repeats - sum(invalid.values())},
            provenance=full_provenance(number),
        )
        made.append(run.model_copy(update={"id": run_id(mark, run)}))
    history = (
        Acceptance(run=run.id, accepted_by="octocat", date="2026-11-23", reason="the first collection")
        for run in made
    )
    return Baseline(fingerprint=mark, questions=question_ids(total), runs=tuple(made), history=tuple(history))


def measure(folder: Path, files: int) -> Timing:
    """Write the files below `folder`, then time `load` of each, and `verify` of the whole store."""
    for number in range(files):
        cell = Cell(arch="gfx950", config=f"config-{number // 10}", backend=f"backend-{number % 10}")
        save(baseline_path(folder, cell), stored(cell, total=198), replaces=None)
    began = time.process_time()
    for path in sorted(folder.glob("*/*/*.json")):
        load(path)
    loaded = time.process_time()
    found = verify(folder)
    done = time.process_time()
    assert len(found) == files
    assert not any(file.problem for file in found), found[0].problem
    return Timing(files, loaded - began, done - loaded)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--files", type=int, default=1000)
    files = parser.parse_args().files
    cell = Cell(arch="gfx950", config="gpt-oss-20b-rocm-mxfp4-fp8", backend="aiter")
    for total in (198, 14_042):
        print(f"{total:,} questions x 32 repeats x 4 runs: {len(render(stored(cell, total=total))):,} bytes")
    with tempfile.TemporaryDirectory() as folder:
        timing = measure(Path(folder), files)
    print(f"{timing.files:,} files: load {timing.load:.2f} s CPU; load and verify {timing.verify:.2f} s CPU")


if __name__ == "__main__":
    main()
