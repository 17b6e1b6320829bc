"""What cells cost: GPU minutes, hours on so many GPUs, and what the gate itself takes meanwhile.

    python -m benchmarks.scaling [--tokens 900] [--rate 10824] [--start 180] [--gpus 8]

Samples are the mean that `gate power` simulates for a cell that has not changed, at a margin of 3 points with
a baseline of 64 repeats over GPQA's 198 questions; 10,000 cells are a hundred runs of 100, because no
baseline of that size proves 3 points for 10,000 cells that share one alpha.
`--rate` is one GPU's tokens/s (docs/benchmarks.md: one H100, 256 in flight), `--tokens` the tokens of a
sample, `--start` the seconds from the engine's start to its first answer. The driver's share per 1,000
samples is what `benchmarks.cluster million` measured; both are arguments, because both are somebody else's
on another machine.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from gate.stats.planning import Design
from gate.stats.power import power_table

CELLS = (10, 100, 10_000)
TOGETHER = 100
QUESTIONS, WITHIN, ACCURACY, BASELINE_REPEATS, MARGIN, ALPHA = 198, 0.13, 0.6, 64, 0.03, 0.01


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tokens", type=float, default=900)
    parser.add_argument("--rate", type=float, default=10_824)
    parser.add_argument("--start", type=float, default=180)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--driver", type=float, default=0.02, help="CPU seconds per 1,000 samples")
    given: Any = parser.parse_args(argv)
    print(
        "| cells | samples a cell | GPU minutes a cell | GPU hours | hours on the GPUs | samples/s | driver |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for cells in CELLS:
        samples = samples_of(min(cells, TOGETHER))
        seconds = given.start + samples * given.tokens / given.rate
        hours = cells * seconds / 3600
        a_second = given.gpus * samples / seconds
        print(
            f"| {cells:,} | {samples:,.0f} | {seconds / 60:.1f} | {hours:,.1f} | {hours / given.gpus:,.1f} "
            f"| {a_second:,.0f} | {100 * a_second * given.driver / 1000:.2f} % of a core |"
        )
    return 0


def samples_of(cells: int) -> float:
    """The mean samples of a cell that has not changed."""
    design = Design(QUESTIONS, WITHIN, BASELINE_REPEATS, ALPHA, 0.05, cells)
    return power_table(design, ACCURACY, MARGIN).rows[0].samples


if __name__ == "__main__":
    sys.exit(main())
