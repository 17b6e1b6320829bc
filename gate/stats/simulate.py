"""Whole gates, simulated through the production looks, boundaries and stopping rule.

What docs/statistics.md promises about false alarms, power and samples comes from here. Vectorised over
replicates, seeded, and nothing of the decision is written a second time: a gate is laid down by
`plan_sequence`, measured by `asked_statistics` and stopped by `settle`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

from gate.stats.boundaries import boundaries
from gate.stats.looks import Floats, Moments, baseline_moments
from gate.stats.scenarios import Scenario, chances
from gate.stats.sequential import SequencePlan, Terms, look_at_asked, plan_sequence, settle, single_drop

_CHUNK: Final = 100_000  # questions x gates at once: what stays in the cache
_INTERVAL_ALPHA: Final = 0.025


class Pinned(NamedTuple):
    """Anchors of R gates: `correct` (R, Q) out of `repeats` samples of each question."""

    correct: Floats
    repeats: int


@dataclass(frozen=True)
class Simulated:
    """What became of the gates. Shapes: (R,) each.

    stop: number of the block after which it stopped, the last one where the budget was spent.
    dropped, held: the boundaries crossed there; neither: inconclusive; both: a pass.
    samples: used up to there.
    difference: D there.
    error: root of max(V_F, V_u, V_0) there.
    half_width: of the repeated confidence interval there.
    drifted: whether the single look against the anchor found a drop there.
    true_difference: mean change of the chances over the questions.
    """

    stop: NDArray[np.intp]
    dropped: NDArray[np.bool_]
    held: NDArray[np.bool_]
    samples: NDArray[np.int64]
    difference: Floats
    error: Floats
    half_width: Floats
    drifted: NDArray[np.bool_]
    true_difference: float

    @property
    def failed(self) -> float:
        """Share of gates that said regression."""
        return float((self.dropped & ~self.held | self.drifted).mean())

    @property
    def passed(self) -> float:
        """Share of gates that said pass."""
        return float((self.held & ~self.drifted).mean())

    @property
    def mean_samples(self) -> float:
        """Mean samples used."""
        return float(self.samples.mean())

    @property
    def bias(self) -> float:
        """Mean of D at the stop less the truth."""
        return float(self.difference.mean() - self.true_difference)

    @property
    def covered(self) -> float:
        """Share of repeated confidence intervals that hold the truth."""
        return float((np.abs(self.difference - self.true_difference) <= self.half_width).mean())

    @property
    def covered_naively(self) -> float:
        """Share of plain 95 % intervals, D +- 1.96 errors, that hold the truth."""
        return float((np.abs(self.difference - self.true_difference) <= 1.959964 * self.error).mean())


def simulate(
    scenario: Scenario,
    baseline_repeats: int,
    terms: Terms,
    *,
    replicates: int,
    seed: int = 0,
    correct: NDArray[np.int64] | None = None,
    anchor_repeats: int = 0,
) -> Simulated:
    """Run whole gates.

    Args:
        scenario: the questions and what happens to them.
        baseline_repeats: n_b.
        terms: margin, error levels, m_max.
        replicates: R gates.
        seed: of everything random.
        correct: baselines to hold fixed, shape (B, Q), which the gates take in turn; None draws one for each.
        anchor_repeats: samples of each question in an anchor of its own, as good as the baseline; 0 for none.
    """
    b, p = chances(scenario)
    plan = _plan(scenario.questions, baseline_repeats, terms)
    rows = max(1, _CHUNK // scenario.questions)
    starts = range(0, replicates, rows)
    parts = []
    for child, start in zip(SeedSequence(seed).spawn(len(starts)), starts, strict=True):
        rng = default_rng(child)
        size = min(rows, replicates - start)
        if correct is None:
            k = rng.binomial(baseline_repeats, b, (size, b.size))
        else:
            k = correct[np.arange(start, start + size) % len(correct)]
        anchor = None
        if anchor_repeats:
            pinned = rng.binomial(anchor_repeats, b, (size, b.size)).astype(np.float64)
            anchor = Pinned(pinned, anchor_repeats)
        part = _gates(rng, plan, k.astype(np.float64), p, drift=scenario.drift, anchor=anchor)
        parts.append(part)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    stop, dropped, held, drifted, difference, error = columns
    samples = np.array(plan.look_at)[stop]
    half = np.array(boundaries(plan.times, _INTERVAL_ALPHA))[stop] * error
    true = float((p - b).mean())
    return Simulated(stop, dropped, held, samples, difference, error, half, drifted, true)


def false_alarms_by_baseline(
    scenario: Scenario, baseline_repeats: int, terms: Terms, *, baselines: int, replicates: int, seed: int = 0
) -> Floats:
    """False-alarm rate of each of many baselines, shape (baselines,): a team has one, and keeps it.

    Each rate is over `replicates` gates, so it scatters by their number too.
    """
    drawn = _baselines(scenario, baseline_repeats, baselines, seed)
    found = simulate(
        scenario, baseline_repeats, terms, replicates=baselines * replicates, seed=seed + 1, correct=drawn
    )
    failed = (found.dropped & ~found.held).reshape(replicates, baselines)
    return np.asarray(failed.mean(axis=0))


def false_alarms_at(
    scenario: Scenario,
    baseline_repeats: int,
    terms: Terms,
    quantile: float,
    *,
    replicates: int,
    seed: int = 0,
) -> float:
    """False-alarm rate of a baseline at this quantile of luck.

    A baseline alarms the more often the higher it happened to score; of 2,000 drawn, the twenty around
    the quantile of the score share the gates. Far quicker than a distribution of rates, and less noisy.
    """
    drawn = _baselines(scenario, baseline_repeats, 2000, seed)
    ordered = drawn[np.argsort(drawn.sum(axis=1), kind="stable")]
    middle = min(max(round(quantile * len(ordered)), 10), len(ordered) - 10)
    near = ordered[middle - 10 : middle + 10]
    found = simulate(scenario, baseline_repeats, terms, replicates=replicates, seed=seed + 1, correct=near)
    return found.failed


def _baselines(scenario: Scenario, repeats: int, count: int, seed: int) -> NDArray[np.int64]:
    b, _ = chances(scenario)
    return default_rng(seed).binomial(repeats, b, (count, b.size))


def fixed_rule(
    scenario: Scenario, *, repeats: int, threshold: float, tolerance: float, replicates: int, seed: int = 0
) -> float:
    """Share of runs that the old rule fails: one full run, score < threshold - tolerance."""
    _, p = chances(scenario)
    rng = default_rng(seed)
    scores = [rng.binomial(repeats, p).sum() / (repeats * p.size) for _ in range(replicates)]
    return float(np.mean(np.array(scores) < threshold - tolerance))


def _plan(questions: int, baseline_repeats: int, terms: Terms) -> SequencePlan:
    """The plan of such a cell; its baseline counts are not used, every gate has its own."""
    ids = [f"{i:012x}" for i in range(questions)]
    return plan_sequence(ids, np.zeros(questions), baseline_repeats, terms, question_order_seed="simulated")


def _gates(
    rng: Generator,
    plan: SequencePlan,
    k: Floats,
    p: Floats,
    *,
    drift: float,
    anchor: Pinned | None,
) -> tuple[NDArray[np.intp], NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_], Floats, Floats]:
    """Block after block, until all have stopped: (stop, dropped, held, drifted, D, error), (R,) each."""
    count, total = k.shape
    stop = np.full(count, len(plan.blocks) - 1)
    dropped, held = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
    drifted = np.zeros(count, dtype=bool)
    difference, error = np.zeros(count), np.zeros(count)
    moments = baseline_moments(k, plan.repeats)
    here = np.arange(count)
    chance = np.clip(p + rng.normal(0, drift, (count, 1)), 0, 1) if drift else np.broadcast_to(p, k.shape)
    s = np.zeros((count, total))
    for number, (block, columns) in enumerate(zip(plan.blocks, plan.columns, strict=True)):
        _ask(rng, s, chance, columns)
        asked = plan.asked(number)
        whole = asked.size == total
        look = look_at_asked(
            plan,
            k if whole else k[:, asked],
            s if whole else s[:, asked],
            np.asarray(block.repeat + 1.0),
            moments,
        )
        z_p = np.full(len(here), -np.inf) if look.z_pass is None else look.z_pass
        found = settle(
            look.z_regression[:, None],
            z_p[:, None],
            np.asarray(plan.upper_regression[number]),
            np.asarray(plan.upper_pass[number]),
        )
        last = number + 1 == len(plan.blocks)
        over = np.ones(len(here), dtype=bool) if last else found.stop >= 0
        who = here[over]
        stop[who], dropped[who], held[who] = number, found.dropped[over], found.held[over]
        difference[who] = look.difference[over]
        error[who] = np.sqrt(look.variance[over])
        if anchor is not None:
            against = anchor.correct[who][:, asked]
            since = single_drop(
                against,
                anchor.repeats,
                s[over][:, asked],
                block.repeat + 1,
                tolerated_loss=plan.terms.tolerated_loss,
                greedy=plan.terms.greedy,
            )
            drifted[who] = since.p_value <= plan.terms.alpha_anchor
        if over.all():
            break
        if over.any():
            on = ~over
            here, k, s, chance = here[on], k[on], s[on], chance[on]
            moments = _kept(moments, on)
    return stop, dropped, held, drifted, difference, error


def _ask(rng: Generator, s: Floats, chance: Floats, columns: NDArray[np.intp]) -> None:
    """Add one answer to each of these questions, in place."""
    if columns.size == s.shape[1]:
        s += rng.random(s.shape, dtype=np.float32) < chance
    else:
        s[:, columns] += rng.random((len(s), columns.size), dtype=np.float32) < chance[:, columns]


def _kept(moments: Moments, on: NDArray[np.bool_]) -> Moments:
    return Moments(None if moments.within is None else moments.within[on], moments.accuracy[on])
