"""The calibration tables of docs/statistics.md, through the production decision code.

python -m benchmarks.simulate_table                  # all of them; ends with 1 where a promise is broken
python -m benchmarks.simulate_table --only alarms
"""

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np

from gate.stats.planning import Design, provable_margin
from gate.stats.scenarios import Change, Difficulty, Scenario
from gate.stats.sequential import Terms
from gate.stats.simulate import Simulated, false_alarms_by_baseline, fixed_rule, simulate

WRONG = "WRONG:"  # begins a line that makes the whole run fail
FULL_RUN = 1584  # 198 questions, 8 repeats: what the fixed rule costs
GATES = {"n_b 32, m_max 16, margin .03": (32, 16, 0.03), "n_b 8, m_max 8, margin .05": (8, 8, 0.05)}


def terms(margin: float, repeats: int) -> Terms:
    return Terms(margin=margin, tolerated_loss=0.0, alpha=0.01, alpha_pass=0.05, max_repeats=repeats)


def percent(share: float, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f} %"


def said(found: Simulated) -> str:
    rates = " / ".join(percent(x, 2) for x in (found.failed, found.passed))
    return f"{rates} | {percent(found.mean_samples / FULL_RUN, 0)}"


def alarms(replicates: int, seed: int) -> Iterator[str]:
    yield "| gate (Q 198, base .58, W .124) | change | fail / pass | of 1584 | bias | interval covers |"
    yield "| --- | --- | --- | --- | --- | --- |"
    worlds = [
        ("none", Scenario()),
        ("1-point drop", Scenario(change=Change.UNIFORM, drop=0.01)),
        ("2-point drop", Scenario(change=Change.UNIFORM, drop=0.02)),
        ("3-point drop", Scenario(change=Change.UNIFORM, drop=0.03)),
        ("5-point drop", Scenario(change=Change.UNIFORM, drop=0.05)),
        ("10-point drop", Scenario(change=Change.UNIFORM, drop=0.1)),
        ("all at chance", Scenario(change=Change.CHANCE)),
        ("reshuffled", Scenario(change=Change.RESHUFFLED)),
        ("3-point gain", Scenario(change=Change.IMPROVEMENT, drop=0.03)),
    ]
    for name, (baseline_repeats, repeats, margin) in GATES.items():
        for label, world in worlds:
            found = simulate(
                world, baseline_repeats, terms(margin, repeats), replicates=replicates, seed=seed
            )
            covered = percent(found.covered)
            if world == Scenario() and not 0.0085 <= found.failed <= 0.0125:
                yield f"{WRONG} {found.failed:.4f} of the gates of {name} alarm without a change"
            yield f"| {name} | {label} | {said(found)} | {100 * found.bias:+.2f} points | {covered} |"


def old_rule(replicates: int, seed: int) -> Iterator[str]:
    yield "| the fixed rule (8 repeats, score < .568 - .05) | fails |"
    yield "| --- | --- |"
    for drop in (0.0, 0.03, 0.05, 0.1):
        world = Scenario(change=Change.UNIFORM, drop=drop)
        rate = fixed_rule(world, repeats=8, threshold=0.568, tolerance=0.05, replicates=replicates, seed=seed)
        yield f"| true drop {100 * drop:.0f} points | {percent(rate, 2)} |"


LOSSES = (Change.UNIFORM, Change.TRUNCATION, Change.BROKEN, Change.CHANCE, Change.RESHUFFLED)


def false_passes(replicates: int, seed: int) -> Iterator[str]:
    """The gates of the specification, each at a drop of its margin."""
    sizes = [
        (30, 0.58, 0.124, 32, 8, 0.1),
        (198, 0.58, 0.124, 32, 16, 0.03),
        (198, 0.58, 0.124, 8, 8, 0.05),
        (198, 0.8, 0.08, 8, 8, 0.05),
        (198, 0.98, 0.012, 8, 8, 0.02),
        (1319, 0.58, 0.124, 8, 4, 0.03),
        (1319, 0.95, 0.03, 8, 4, 0.01),
    ]
    yield from _passes_at_the_margin(sizes, replicates, seed)


def false_pass_grid(replicates: int, seed: int) -> Iterator[str]:
    """Every size and score: W half of what the score allows, n_b 32, the margin that 8 repeats prove."""
    sizes = []
    for q in (30, 66, 198, 546, 1319):
        for accuracy in (0.58, 0.7, 0.8, 0.9, 0.95, 0.98):
            within = round(accuracy * (1 - accuracy) / 2, 4)
            margin = math.ceil(1000 * provable_margin(Design(q, within, 32), 8)) / 1000
            sizes.append((q, accuracy, within, 32, 8, margin))
    yield from _passes_at_the_margin(sizes, replicates, seed)


def _passes_at_the_margin(sizes, replicates: int, seed: int) -> Iterator[str]:
    yield f"| Q | accuracy | W | n_b, m_max, margin | {' | '.join(LOSSES)} |"
    yield f"| --- | --- | --- | --- |{' --- |' * len(LOSSES)}"
    for q, accuracy, within, baseline_repeats, repeats, margin in sizes:
        cells = []
        for change in LOSSES:
            worst = 0.0
            for difficulty in Difficulty:
                world = Scenario(q, accuracy, within, change, margin, difficulty)
                found = simulate(
                    world, baseline_repeats, terms(margin, repeats), replicates=replicates, seed=seed
                )
                worst = max(worst, found.passed)
            if worst > 0.05 + 3 * math.sqrt(0.05 * 0.95 / replicates):
                yield f"{WRONG} {worst:.4f} pass at a drop of the margin (Q {q}, score {accuracy}, {change})"
            cells.append(percent(worst, 2))
        plan = f"{baseline_repeats}, {repeats}, {margin}"
        yield f"| {q} | {accuracy} | {within} | {plan} | {' | '.join(cells)} |"


def gsm8k(replicates: int, seed: int) -> Iterator[str]:
    yield "| gsm8k-like (Q 1319, .95, n_b 8, m_max 4, margin .01) | no change: fail / pass | 1 point: fail |"
    yield "| --- | --- | --- |"
    for within in (0.018, 0.0194, 0.03):
        found = [
            simulate(
                Scenario(1319, 0.95, within, Change.UNIFORM, drop),
                8,
                terms(0.01, 4),
                replicates=replicates,
                seed=seed,
            )
            for drop in (0.0, 0.01)
        ]
        calm = f"{percent(found[0].failed)} / {percent(found[0].passed)}"
        yield f"| W {within} | {calm} | {percent(found[1].failed)} |"


def after_stopping(replicates: int, seed: int) -> Iterator[str]:
    yield "| n_b 32, m_max 16, margin .03 | bias, points | where it failed | plain 95 % interval | repeated |"
    yield "| --- | --- | --- | --- | --- |"
    for drop in (0.0, 0.01, 0.02, 0.03, 0.05):
        world = Scenario(change=Change.UNIFORM, drop=drop)
        found = simulate(world, 32, terms(0.03, 16), replicates=replicates, seed=seed)
        off = found.difference - found.true_difference
        failed = 100 * off[found.dropped & ~found.held].mean()
        intervals = f"{percent(found.covered_naively)} | {percent(found.covered)}"
        yield f"| true drop {100 * drop:.0f} points | {100 * found.bias:+.2f} | {failed:+.2f} | {intervals} |"


def by_baseline(replicates: int, seed: int) -> Iterator[str]:
    yield "| gate | median | 90th | 95th | 99th percentile of a baseline's own false-alarm rate |"
    yield "| --- | --- | --- | --- | --- |"
    for name, (baseline_repeats, repeats, margin) in GATES.items():
        rates = false_alarms_by_baseline(
            Scenario(),
            baseline_repeats,
            terms(margin, repeats),
            baselines=400,
            replicates=replicates // 20,
            seed=seed,
        )
        cells = " | ".join(percent(x) for x in np.quantile(rates, [0.5, 0.9, 0.95, 0.99]))
        yield f"| {name} | {cells} |"


def drift(replicates: int, seed: int) -> Iterator[str]:
    yield "| offset of the candidate's run (n_b 32, m_max 16, margin .03) | false alarms |"
    yield "| --- | --- |"
    for sd in (0.0, 0.003, 0.0035, 0.005, 0.006, 0.01, 0.012):
        found = simulate(Scenario(drift=sd), 32, terms(0.03, 16), replicates=replicates, seed=seed)
        yield f"| {100 * sd:.2f} points | {percent(found.failed, 2)} |"


def ratchet(replicates: int, seed: int) -> Iterator[str]:
    yield "| n_b 32, m_max 16, margin .03 | true drop | fail | pass | failed by the anchor alone |"
    yield "| --- | --- | --- | --- | --- |"
    for repeats in (0, 8, 32, 128):
        alpha, alpha_anchor = (0.008, 0.002) if repeats else (0.01, 0.0)
        for drop in (0.0, 0.03):
            world = Scenario(change=Change.UNIFORM if drop else Change.NONE, drop=drop)
            gate = Terms(0.03, 0.0, alpha, 0.05, 16, alpha_anchor)
            found = simulate(world, 32, gate, replicates=replicates, seed=seed, anchor_repeats=repeats)
            alone = (found.drifted & ~(found.dropped & ~found.held)).mean()
            rates = " | ".join(percent(x, 2) for x in (found.failed, found.passed, float(alone)))
            name = f"anchor of {repeats} repeats" if repeats else "no anchor"
            yield f"| {name} | {100 * drop:.0f} points | {rates} |"


# A false alarm is rare: its share takes many gates to see.
MANY = {"alarms": 100_000, "false-passes": 100_000}
ENOUGH = 20_000

TABLES: dict[str, Callable[[int, int], Iterator[str]]] = {
    "alarms": alarms,
    "old-rule": old_rule,
    "false-passes": false_passes,
    "false-pass-grid": false_pass_grid,
    "gsm8k": gsm8k,
    "after-stopping": after_stopping,
    "by-baseline": by_baseline,
    "drift": drift,
    "ratchet": ratchet,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--replicates", type=int, help="default: 20,000; where rare things count 100,000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=TABLES, action="append")
    asked = parser.parse_args()
    wrong = 0
    for name in asked.only or TABLES:
        replicates = asked.replicates or MANY.get(name, ENOUGH)
        begun = time.perf_counter()
        for line in TABLES[name](replicates, asked.seed):
            print(line, flush=True)
            wrong += line.startswith(WRONG)
        print(f"\n({name}: {replicates:,} replicates, {time.perf_counter() - begun:.0f} s)\n", flush=True)
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
