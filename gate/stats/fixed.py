"""A run of a size that was fixed before it began: one look, at its end, with the whole error.

Nobody looked in between, so nothing is spent on looks; the samples may have arrived in any order.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from gate.errors import RecordError
from gate.sequence import Block
from gate.stats.boundaries import boundaries
from gate.stats.looks import baseline_moments
from gate.stats.sequential import Course, SequencePlan, Terms, look_at_asked

_ONCE = (1.0,)


def plan_fixed(questions: Sequence[str], correct: ArrayLike, repeats: int, terms: Terms) -> SequencePlan:
    """One block of `terms.max_repeats` passes, looked at once.

    Args:
        questions: Q ids, ascending.
        correct: correct answers of the baseline, shape (Q,).
        repeats: n_b, the baseline's samples a question.
        terms: margin, error levels, and the size of the run.

    Raises:
        StatisticsError: an error level out of range.
    """
    k, n = np.asarray(correct, dtype=np.float64), np.asarray(float(repeats))
    total = len(questions)
    return SequencePlan(
        terms=terms,
        correct=k,
        repeats=n,
        moments=baseline_moments(k, n),
        blocks=(Block(0, terms.max_repeats - 1, tuple(questions), terms.max_repeats * total),),
        columns=(np.arange(total),),
        times=_ONCE,
        upper_regression=boundaries(_ONCE, terms.alpha),
        upper_pass=boundaries(_ONCE, terms.alpha_pass),
    )


def look_once(plan: SequencePlan, outcomes: Sequence[str]) -> Course:
    """The one look at a complete run.

    Args:
        plan: from `plan_fixed`.
        outcomes: one string of Q characters a repeat, as in a run record.

    Raises:
        RecordError: the run has another size than declared, or lacks a sample.
    """
    repeats, total = plan.terms.max_repeats, len(plan.correct)
    if len(outcomes) != repeats:
        raise RecordError(
            f"{len(outcomes)} repeats, but {repeats} were declared",
            hint="a run of a size chosen afterwards proves nothing: import the declared one",
        )
    if any(len(row) != total or "." in row for row in outcomes):
        raise RecordError(
            "the run is incomplete: a sample is missing",
            hint="finish it: the same command goes on from its journal",
        )
    counts = np.array([[outcome == "1" for outcome in row] for row in outcomes]).sum(axis=0)
    look = look_at_asked(
        plan, plan.correct, counts.astype(np.float64), np.asarray(float(repeats)), plan.moments
    )
    dropped = float(look.z_regression) >= plan.upper_regression[0]
    held = look.z_pass is not None and float(look.z_pass) >= plan.upper_pass[0]
    return Course(
        looks=(look,), stop=0 if dropped or held else None, dropped=dropped, held=held, complete=1, beyond=0
    )
