"""`gate plan`, `gate power`, `gate boundaries`: what was asked for, and the tables as a person reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from gate.baseline.pool import pool, reference_of
from gate.baseline.store import load
from gate.cells import CellSpec, describe, timeout_minutes
from gate.decide import plan_budget
from gate.errors import StatisticsError, UsageError
from gate.stats.planning import Design
from gate.stats.power import BoundaryTable, PowerTable

Rows = list[tuple[str, ...]]


def plan_rows(specs: Sequence[CellSpec], baselines: Path) -> list[dict[str, Any]]:
    """One row a cell: what it is, what it may cost, what that finds, and how long a job may take."""
    rows = []
    for row, spec in zip(describe(specs), specs, strict=True):
        budget, finds = _budget(spec, baselines, len(specs))
        extra = {"budget": budget, "finds": finds, "timeout": f"{timeout_minutes(spec)} minutes"}
        rows.append(row | extra)
    return rows


def read_changed(path: Path | None) -> tuple[str, ...] | None:
    """The paths that a pull request changes, one a line; None where no file is given.

    Raises:
        UsageError: the file cannot be read.
    """
    if path is None:
        return None
    try:
        return tuple(line for line in path.read_text(encoding="utf-8").splitlines() if line)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("the list of changed paths cannot be read", where=str(path)) from error


def parse_looks(text: str, max_repeats: int) -> tuple[float, ...]:
    """Looks in passes from `1/3,2/3,1:16`: fractions, numbers, and ranges that include both ends.

    A range without an end goes to `max_repeats`. Raises UsageError for anything else.
    """
    try:
        return tuple(float(look) for part in text.split(",") for look in _looks_of(part.strip(), max_repeats))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"--looks {text!r} is not a list of looks", hint="write for example 1/3,2/3,1:16"
        ) from error


def design_of(
    baseline: Path | None,
    questions: int | None,
    within: float | None,
    accuracy: float | None,
    repeats: int | None,
    *,
    cells: int,
    alpha: float,
) -> tuple[Design, float]:
    """What to plan from, and the baseline's score: a stored baseline, or the four numbers.

    Raises:
        UsageError: neither, or some of both.
        BaselineError: the file is wrong.
    """
    numbers = (questions, within, accuracy, repeats)
    if baseline is not None:
        if any(number is not None for number in numbers):
            raise UsageError("a baseline file and numbers are given", hint="give one or the other")
        reference = pool(load(baseline))
        n, k = reference.repeats, reference.correct
        if n == 1:
            raise UsageError("one repeat shows no variance", where=str(baseline), hint="collect a second one")
        spread = float(np.mean(k * (n - k)) / (n * (n - 1)))
        design = Design(
            len(k),
            max(spread, 1 / len(k)),
            n,
            alpha=alpha,
            cells=cells,
            anchored=reference.anchor is not None,
        )
        return design, float(k.mean() / n)
    if questions is None or within is None or accuracy is None or repeats is None:
        raise UsageError(
            "nothing to plan from",
            hint="name a baseline file, or give --questions --within --accuracy --baseline-repeats",
        )
    return Design(questions, within, repeats, alpha=alpha, cells=cells), accuracy


def boundary_rows(table: BoundaryTable) -> Rows:
    """A heading and a row a look."""
    heading = ("pass", "information", "to fail", "to pass")
    looks = zip(table.looks, table.times, table.regression, table.passed, strict=True)
    return [heading, *(tuple(f"{number:.3f}" for number in look) for look in looks)]


def power_rows(table: PowerTable) -> Rows:
    """A heading and a row a true drop."""
    heading = ("true drop", "fails", "passes", "samples", "old rule fails")
    return [heading, *(_power_row(table, index) for index in range(len(table.rows)))]


def power_words(table: PowerTable) -> Iterator[str]:
    """What stands around the rows: the budget, and how much one baseline differs from another."""
    yield f"budget: {table.max_repeats} repeats, {table.samples:,} samples, to rule out {table.margin:.1%}"
    yield f"a drop of {table.detectable_drop:.1%} is found with 90 % probability"
    for quantile, rate in table.false_alarms.items():
        yield f"false alarms with a baseline at the {quantile:.0%} quantile of luck: {rate:.2%}"


def _power_row(table: PowerTable, index: int) -> tuple[str, ...]:
    row = table.rows[index]
    shares = (row.drop, row.regression, row.passed)
    return (*(f"{share:.1%}" for share in shares), f"{row.samples:,.0f}", f"{row.old_rule:.1%}")


def _budget(spec: CellSpec, baselines: Path, family_size: int) -> tuple[str, str]:
    """The budget of a cell and what it finds, or why there is none."""
    reference = reference_of(baselines, spec.cell)
    if reference is None:
        return "none: there is no baseline", ""
    try:
        budget = plan_budget(reference, spec.gate, family_size=family_size, chance=spec.task.chance)
    except StatisticsError as error:
        return f"none: {error.message}", error.hint or ""
    return (
        f"{budget.max_repeats} repeats, {budget.samples:,} samples",
        f"a drop of {budget.detectable_drop:.1%} in 9 runs of 10",
    )


def _looks_of(part: str, max_repeats: int) -> list[Fraction]:
    first, colon, last = part.partition(":")
    if not colon:
        return [Fraction(part)]
    return [Fraction(number) for number in range(int(first), (int(last) if last else max_repeats) + 1)]
