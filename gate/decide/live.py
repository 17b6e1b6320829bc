"""What the pipeline does next, from the outcomes so far: the same looks that decide the record later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gate.model.result import Look
from gate.stats.looks import Floats
from gate.stats.sequential import Course, SequencePlan, follow, near_boundary

_Z_SHOWN: Final = 99.0  # a report is JSON, which has no infinity


class NextStep(NamedTuple):
    """What to do after a block.

    Args:
        stop: a boundary was crossed or the budget is spent: cancel what is in flight and use none of it.
        lookahead: whether the block after the running one may be sent before the running one is complete.
        looks: all looks so far, the latest last.
    """

    stop: bool
    lookahead: bool
    looks: tuple[Look, ...]


def next_step(plan: SequencePlan, outcomes: Sequence[str]) -> NextStep:
    """Look at every complete block of the outcomes and say whether to go on.

    Args:
        plan: from `plan_sequence`.
        outcomes: one string a repeat, as in a run record, '.' where there is no answer yet. Samples of
            blocks that are not complete do no harm.

    Raises:
        RecordError: more repeats than declared, or a repeat without one outcome a question.
    """
    course = follow(plan, outcomes)
    spent = course.complete == len(plan.blocks)
    stop = course.stop is not None or spent
    near = bool(course.looks) and near_boundary(plan, len(course.looks) - 1, course.looks[-1])
    return NextStep(stop, not stop and not near, looks_taken(plan, course))


def looks_taken(plan: SequencePlan, course: Course) -> tuple[Look, ...]:
    """The looks of a course as a report shows them."""
    return tuple(
        Look(
            samples=plan.blocks[i].samples_after,
            repeats=plan.blocks[i].repeat + 1,
            information=plan.times[i],
            difference=float(look.difference),
            z_regression=_shown(look.z_regression),
            boundary_regression=plan.upper_regression[i],
            z_pass=None if look.z_pass is None else _shown(look.z_pass),
            boundary_pass=plan.upper_pass[i],
        )
        for i, look in enumerate(course.looks)
    )


def _shown(z: Floats) -> float:
    return min(max(float(z), -_Z_SHOWN), _Z_SHOWN)
