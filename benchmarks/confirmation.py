"""What a confirmation by the base build on the same machine saves and costs, through the production decision.

python -m benchmarks.confirmation --replicates 4000               # docs/statistics.md, minutes

A world has two numbers: how much the change loses, and how much everything that this machine measures scores
below what it scored when the baseline was collected. Only the first is a regression.
"""

import argparse

import numpy as np

from gate.decide.confirm import confirm
from gate.decide.side import Tally
from gate.model.baseline import Reference
from gate.model.record import CONFIRMATION_REPEATS
from gate.stats.scenarios import Change, Scenario, chances
from gate.stats.sequential import Terms, follow, plan_sequence

BASELINE_REPEATS, MAX_REPEATS, MARGIN = 32, 16, 0.03
WORLDS = [
    (0.0, 0.0),
    (0.0, 0.005),
    (0.0, 0.01),
    (0.0, 0.02),
    (0.02, 0.0),
    (0.03, 0.0),
    (0.05, 0.0),
    (0.03, 0.01),
]


def rows(right):
    return ["".join("1" if hit else "0" for hit in row) for row in right]


def after(loss):
    """Chances of a right answer after a loss spread over all questions."""
    return chances(Scenario(change=Change.UNIFORM, drop=loss))[1]


def gate(rng, ids, b, here, candidate):
    """One gate: whether it says regression, and whether it still does after its confirmation."""
    k = rng.binomial(BASELINE_REPEATS, b)
    right = rng.random((MAX_REPEATS, b.size)) < candidate
    terms = Terms(margin=MARGIN, tolerated_loss=0.0, alpha=0.01, alpha_pass=0.05, max_repeats=MAX_REPEATS)
    plan = plan_sequence(ids, k, BASELINE_REPEATS, terms, question_order_seed="simulated")
    course = follow(plan, rows(right))
    if not course.dropped or course.held:
        return False, False
    number = len(course.looks) - 1
    repeats, asked = plan.blocks[number].repeat + 1, plan.asked(number)
    counts = right[:repeats, asked].sum(axis=0)
    nothing = np.zeros(asked.size)
    tally = Tally(asked, repeats, counts, nothing.astype(np.int64), nothing, {})
    reference = Reference(ids, k, BASELINE_REPEATS, np.zeros_like(k), np.zeros(b.size), {}, "", None)
    fresh = rng.random((CONFIRMATION_REPEATS, b.size)) < here
    return True, confirm(plan, number, tally, rows(fresh), reference).holds


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--replicates", type=int, default=4000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    b, _ = chances(Scenario())
    ids = tuple(f"{i:012x}" for i in range(b.size))
    print("| the change loses | the machine scores below the baseline's | fails | fails after confirmation |")
    print("| --- | --- | --- | --- |")
    for loss, offset in WORLDS:
        rng = np.random.default_rng([given.seed, round(1000 * loss), round(1000 * offset)])
        here, candidate = after(offset), after(loss + offset)
        found = np.array([gate(rng, ids, b, here, candidate) for _ in range(given.replicates)])
        first, then = found.mean(axis=0)
        print(
            f"| {100 * loss:g} points | {100 * offset:g} points | {100 * first:.2f} % | {100 * then:.2f} % |",
            flush=True,
        )


if __name__ == "__main__":
    main()
