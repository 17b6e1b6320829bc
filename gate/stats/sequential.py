"""The sequence of looks at one cell: what is fixed before the first, and where it stops.

The live pipeline and the decision from a stored record both go through `follow`, and the simulations
through `settle`, so that what is proven about one holds for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gate.errors import RecordError
from gate.sequence import Block, blocks
from gate.stats.boundaries import boundaries, look_times
from gate.stats.looks import (
    DropStatistics,
    Floats,
    LookStatistics,
    Moments,
    asked_statistics,
    baseline_moments,
    drop_statistics,
)
from gate.stats.paired import paired_drop, paired_statistics

NEAR_BOUNDARY: Final = 0.3
"""Closer than this to a boundary, the next block is not sent ahead: it would probably be paid for in vain."""

_CORRECT, _NOT_ASKED = ord("1"), ord(".")


class Terms(NamedTuple):
    """The numbers of one cell's test, all declared before its first look.

    Args:
        margin: the drop that must be ruled out.
        tolerated_loss: d0, the drop that does not count.
        alpha: error of this cell's regression test, already split over the family.
        alpha_pass: error of this cell's pass test.
        max_repeats: m_max, the budget in passes.
        alpha_anchor: error of the single look against an anchor, at the stop; 0 where there is none.
        greedy: temperature 0, where a question has one answer a build: one pass, looks at thirds.
    """

    margin: float
    tolerated_loss: float
    alpha: float
    alpha_pass: float
    max_repeats: int
    alpha_anchor: float = 0.0
    greedy: bool = False


@dataclass(frozen=True)
class SequencePlan:
    """Everything about the looks that does not depend on the candidate.

    Shapes: `correct` (Q,), of `repeats` samples each; `columns` one index array a block; `times`,
    `upper_regression` and `upper_pass` one number a block.
    """

    terms: Terms
    correct: Floats
    repeats: Floats
    moments: Moments
    blocks: tuple[Block, ...]
    columns: tuple[NDArray[np.intp], ...]
    times: tuple[float, ...]
    upper_regression: tuple[float, ...]
    upper_pass: tuple[float, ...]

    @property
    def paired(self) -> bool:
        """Whether each question has one answer on either side: the paired tests, not the stratified ones."""
        return self.terms.greedy and self.terms.max_repeats == float(self.repeats) == 1

    @cached_property
    def look_at(self) -> tuple[int, ...]:
        """Cumulative samples at each look, as a run record declares them."""
        return tuple(block.samples_after for block in self.blocks)

    @cached_property
    def first_pass(self) -> int:
        """How many blocks make up the first pass."""
        return sum(block.repeat == 0 for block in self.blocks)

    def asked(self, number: int) -> NDArray[np.intp]:
        """Indices of the questions asked by the end of block `number`."""
        return (
            self.columns[number] if number >= self.first_pass else np.concatenate(self.columns[: number + 1])
        )


class Settled(NamedTuple):
    """Where a sequence stops. Shapes: (...) each.

    stop: index of the first look at which a boundary is crossed, -1 for none.
    dropped, held: whether the regression boundary, the pass boundary is crossed there.
    """

    stop: NDArray[np.intp]
    dropped: NDArray[np.bool_]
    held: NDArray[np.bool_]


class Course(NamedTuple):
    """What the outcomes so far say.

    looks: statistics at each complete block, up to the stop.
    stop: number of the block at which a boundary was crossed, None while none is.
    dropped, held: which boundaries were crossed there.
    complete: leading blocks that are complete.
    beyond: samples after the stop, or after the first incomplete block.
    """

    looks: tuple[LookStatistics, ...]
    stop: int | None
    dropped: bool
    held: bool
    complete: int
    beyond: int


def plan_sequence(
    questions: Sequence[str], correct: ArrayLike, repeats: int, terms: Terms, *, question_order_seed: str
) -> SequencePlan:
    """Lay down blocks, information times and boundaries of one cell.

    Args:
        questions: Q ids, ascending.
        correct: correct answers of the baseline, shape (Q,).
        repeats: n_b, the baseline's samples a question.
        terms: margin, error levels and budget.
        question_order_seed: orders the first pass.

    Raises:
        StatisticsError: a level or a count out of range.
    """
    k = np.asarray(correct, dtype=np.float64)
    n = np.asarray(float(repeats))
    total = len(questions)
    plan, columns = _layout(tuple(questions), question_order_seed, terms.max_repeats)
    times = look_times(
        [b.samples_after / total for b in plan], baseline_repeats=repeats, max_repeats=terms.max_repeats
    )
    return SequencePlan(
        terms=terms,
        correct=k,
        repeats=n,
        moments=baseline_moments(k, n),
        blocks=plan,
        columns=columns,
        times=times,
        upper_regression=boundaries(times, terms.alpha),
        upper_pass=boundaries(times, terms.alpha_pass),
    )


@lru_cache(maxsize=64)
def _layout(
    questions: tuple[str, ...], seed: str, repeats: int
) -> tuple[tuple[Block, ...], tuple[NDArray[np.intp], ...]]:
    """The blocks, and the indices of each one's questions."""
    plan = blocks(questions, seed, repeats)
    place = _places(questions)
    everything = np.arange(len(questions))
    first = [np.sort([place[q] for q in b.questions]) for b in plan if b.repeat == 0]
    return plan, (*first, *(everything for b in plan if b.repeat > 0))


@lru_cache(maxsize=16)
def _places(questions: tuple[str, ...]) -> dict[str, int]:
    """Index of each question: the same for every record of a cell, whatever its order."""
    return {question: i for i, question in enumerate(questions)}


def settle(z_regression: Floats, z_pass: Floats, c_regression: Floats, c_pass: Floats) -> Settled:
    """The first look at which either boundary is crossed.

    Args:
        z_regression: shape (..., K).
        z_pass: shape (..., K), -inf where the pass test is not available.
        c_regression: broadcastable to (..., K).
        c_pass: broadcastable to (..., K).
    """
    dropped, held = z_regression >= c_regression, z_pass >= c_pass
    crossed = dropped | held
    first = crossed.argmax(axis=-1)
    there = crossed & (np.arange(crossed.shape[-1]) == first[..., None])
    return Settled(
        stop=np.where(crossed.any(axis=-1), first, -1),
        dropped=(dropped & there).any(axis=-1),
        held=(held & there).any(axis=-1),
    )


def follow(plan: SequencePlan, outcomes: Sequence[str]) -> Course:
    """Recompute every look from the outcomes, up to the first crossed boundary.

    Args:
        plan: what was fixed before.
        outcomes: one string of Q characters a repeat, as in a run record.

    Raises:
        RecordError: more repeats than declared, or a repeat that does not have Q characters.
    """
    table = _table(plan, outcomes)
    asked = table != _NOT_ASKED
    right = table == _CORRECT
    complete = _complete_blocks(plan, asked)
    statistics = _statistics(plan, right, complete)
    z_f = np.array([float(look.z_regression) for look in statistics])
    z_p = np.array([-np.inf if look.z_pass is None else float(look.z_pass) for look in statistics])
    stop = None
    dropped = held = False
    if statistics:
        found = settle(
            z_f, z_p, np.array(plan.upper_regression[:complete]), np.array(plan.upper_pass[:complete])
        )
        if found.stop >= 0:
            stop, dropped, held = int(found.stop), bool(found.dropped), bool(found.held)
    used = complete if stop is None else stop + 1
    beyond = int(asked.sum()) - (plan.look_at[used - 1] if used else 0)
    if stop is None and used < len(plan.blocks):
        beyond -= _asked_of(plan, asked, used)  # the block under way
    return Course(statistics[:used], stop, dropped, held, complete, beyond)


def near_boundary(plan: SequencePlan, number: int, look: LookStatistics) -> bool:
    """Whether either statistic is within 0.3 of its boundary, so that the next look may well stop."""
    close = float(look.z_regression) > plan.upper_regression[number] - NEAR_BOUNDARY
    if look.z_pass is None:
        return close
    return close or float(look.z_pass) > plan.upper_pass[number] - NEAR_BOUNDARY


def _table(plan: SequencePlan, outcomes: Sequence[str]) -> NDArray[np.uint8]:
    total = len(plan.correct)
    if len(outcomes) > plan.terms.max_repeats:
        raise RecordError(
            f"{len(outcomes)} repeats, but {plan.terms.max_repeats} were declared",
            hint="measure again; a record that went on past its plan proves nothing",
        )
    if any(len(row) != total for row in outcomes):
        raise RecordError(
            f"a repeat does not have one outcome for each of the {total} questions",
            hint="measure again; a record is never mended by hand",
        )
    return np.frombuffer("".join(outcomes).encode("ascii"), dtype=np.uint8).reshape(len(outcomes), total)


def _complete_blocks(plan: SequencePlan, asked: NDArray[np.bool_]) -> int:
    """How many blocks, from the first on, have every sample."""
    full: NDArray[np.bool_] = np.asarray(asked.all(axis=1))
    for number, (block, columns) in enumerate(zip(plan.blocks, plan.columns, strict=True)):
        if block.repeat >= len(asked):
            return number
        if not (full[block.repeat] or (block.repeat == 0 and asked[0, columns].all())):
            return number
    return len(plan.blocks)


def _asked_of(plan: SequencePlan, asked: NDArray[np.bool_], number: int) -> int:
    """Samples of this block that were asked."""
    repeat = plan.blocks[number].repeat
    return int(asked[repeat, plan.columns[number]].sum()) if repeat < len(asked) else 0


def _statistics(plan: SequencePlan, right: NDArray[np.bool_], complete: int) -> tuple[LookStatistics, ...]:
    """The looks at the complete blocks; those after full passes in one go."""
    first = plan.first_pass
    looks = []
    for number in range(min(complete, first - 1)):
        columns = plan.asked(number)
        looks.append(
            _look(plan, plan.correct[columns], right[0, columns].astype(np.float64), np.asarray(1.0))
        )
    passes = complete - first + 1
    if passes > 0:
        counts = right[:passes].cumsum(axis=0, dtype=np.float64)
        looks += _rows(_look(plan, plan.correct, counts, np.arange(1.0, passes + 1)[:, None]))
    return tuple(looks)


def look_at_asked(plan: SequencePlan, k: Floats, s: Floats, m: Floats, moments: Moments) -> LookStatistics:
    """The look that this plan takes, at the asked questions: paired for greedy answers, stratified else.

    Args:
        plan: what was fixed before.
        k: correct answers of the baseline, shape (..., q).
        s: correct answers of the candidate, shape (..., q).
        m: its samples, broadcastable to s.
        moments: of all Q questions of that baseline.
    """
    margin, tolerated = plan.terms.margin, plan.terms.tolerated_loss
    if plan.paired:
        return paired_statistics(k, s, margin=margin, tolerated_loss=tolerated)
    return asked_statistics(k, plan.repeats, s, m, moments, margin=margin, tolerated_loss=tolerated)


def single_drop(
    k: Floats, n: int, s: Floats, m: int, *, tolerated_loss: float, greedy: bool
) -> DropStatistics:
    """A single test for a drop outside any sequence: k of n right then, s of m now; shapes (..., q)."""
    if greedy and n == m == 1:
        return paired_drop(k, s, tolerated_loss=tolerated_loss)
    return drop_statistics(k, np.asarray(float(n)), s, np.asarray(float(m)), tolerated_loss=tolerated_loss)


def _look(plan: SequencePlan, k: Floats, s: Floats, m: Floats) -> LookStatistics:
    return look_at_asked(plan, k, s, m, plan.moments)


def _rows(looks: LookStatistics) -> list[LookStatistics]:
    """One LookStatistics a look, from one whose fields have a leading axis of looks."""
    count = len(looks.difference)
    columns = [[None] * count if field is None else np.broadcast_to(field, (count,)) for field in looks]
    return [LookStatistics(*row) for row in zip(*columns, strict=True)]
