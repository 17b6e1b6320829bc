"""From run records to verdicts: the plan of a cell, its looks, its verdict, and the run's. Pure."""

from gate.decide.budget import Budget, plan_budget, plan_sequence
from gate.decide.cell import after_failure, decide_cell, missing_baseline, unmeasured
from gate.decide.live import NextStep, next_step
from gate.decide.numerics import with_numerics
from gate.decide.run import DEFAULT_FAIL_ON, STRICT_FAIL_ON, WORST_FIRST, Conclusion, conclude_run, decide_run

__all__ = [
    "DEFAULT_FAIL_ON",
    "STRICT_FAIL_ON",
    "WORST_FIRST",
    "Budget",
    "Conclusion",
    "NextStep",
    "after_failure",
    "conclude_run",
    "decide_cell",
    "decide_run",
    "missing_baseline",
    "next_step",
    "plan_budget",
    "plan_sequence",
    "unmeasured",
    "with_numerics",
]
