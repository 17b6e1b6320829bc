"""`gate plan`, `gate power`, `gate boundaries`: what was asked for, and the tables as a person reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from gate.baseline.calibration import load_calibration
from gate.baseline.pool import pool, reference_of
from gate.baseline.store import load
from gate.cells import CellSpec, describe, timeout_minutes
from gate.decide import plan_budget
from gate.decide.words import count
from gate.errors import StatisticsError, UsageError
from gate.stats.looks import baseline_moments
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
        raise UsageError(
            "the list of changed paths cannot be read",
            where=str(path),
            hint="give --changed-file a list of paths, one a line",
        ) from error


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


@dataclass(frozen=True)
class Numbers:
    """What to plan from where there is no baseline file: Q, W, score and repeats; all given, or none.

    `flip_rate` stands for W where answers are greedy: how often two runs of one build differ.
    """

    questions: int | None = None
    within: float | None = None
    accuracy: float | None = None
    baseline_repeats: int | None = None
    flip_rate: float | None = None


def design_of(
    baseline: Path | None, numbers: Numbers, *, cells: int, alpha: float, greedy: bool = False
) -> tuple[Design, float]:
    """What to plan from, and the baseline's score: a stored baseline, or the numbers.

    Raises:
        UsageError: neither, or some of both; a flip rate where nothing is greedy, or none where it is needed.
        BaselineError: the file is wrong.
    """
    if greedy and numbers.within is not None:
        raise UsageError("--within is for answers that are sampled", hint="give --flip-rate instead")
    if baseline is not None:
        return _stored_design(baseline, numbers, cells=cells, alpha=alpha, greedy=greedy)
    if numbers.flip_rate is not None and not greedy:
        raise UsageError("--flip-rate is for greedy answers", hint="add --greedy, or give --within instead")
    within = numbers.within if numbers.flip_rate is None else numbers.flip_rate / 2
    repeats = numbers.baseline_repeats or (1 if greedy else None)
    if numbers.questions is None or within is None or numbers.accuracy is None or repeats is None:
        needed = (
            "--questions --accuracy --flip-rate"
            if greedy
            else ("--questions --within --accuracy --baseline-repeats")
        )
        raise UsageError("nothing to plan from", hint=f"name a baseline file, or give {needed}")
    design = Design(numbers.questions, within, repeats, alpha=alpha, cells=cells, greedy=greedy)
    return design, numbers.accuracy


def _stored_design(
    path: Path, numbers: Numbers, *, cells: int, alpha: float, greedy: bool
) -> tuple[Design, float]:
    """The design of a stored baseline; what it says of itself decides which test is planned."""
    if numbers != Numbers(flip_rate=numbers.flip_rate):
        raise UsageError("a baseline file and numbers are given", hint="give one or the other")
    stored = load(path)
    reference, is_greedy = pool(stored), stored.fingerprint.temperature == 0
    if (greedy or numbers.flip_rate is not None) and not is_greedy:
        raise UsageError(
            f"its answers were sampled at temperature {stored.fingerprint.temperature:g}",
            where=str(path),
            hint="leave out --greedy and --flip-rate",
        )
    moments = baseline_moments(reference.correct, reference.repeats)
    if moments.within is not None and numbers.flip_rate is None:
        within = float(moments.within)
    else:
        calibration = load_calibration(path, stored.fingerprint)
        rate = numbers.flip_rate
        if rate is None and calibration is not None:
            rate = calibration.flip_rate
        if rate is None:
            raise UsageError(
                "one repeat shows no variance",
                where=str(path),
                hint="give --flip-rate, or calibrate it (`gate calibrate`)"
                if is_greedy
                else "collect a second one",
            )
        within = rate / 2
    design = Design(
        len(reference.questions),
        within,
        reference.repeats,
        alpha=alpha,
        cells=cells,
        anchored=reference.anchor is not None,
        greedy=is_greedy,
    )
    return design, float(moments.accuracy)


def boundary_rows(table: BoundaryTable) -> Rows:
    """A heading and a row a look."""
    heading = ("pass", "information", "to fail", "to pass")
    looks = zip(table.looks, table.times, table.regression, table.passed, strict=True)
    return [heading, *(tuple(f"{number:.3f}" for number in look) for look in looks)]


def power_rows(table: PowerTable) -> Rows:
    """A heading and a row a true drop."""
    heading = ("true drop", "fails", "passes", "samples", "old rule fails")
    return [heading, *(_power_row(table, index) for index in range(len(table.rows)))]


def power_json(table: PowerTable) -> dict[str, Any]:
    """The table with its design by name."""
    return asdict(table) | {"design": table.design._asdict()}


def power_words(table: PowerTable) -> Iterator[str]:
    """What stands around the rows: the budget, and how much one baseline differs from another."""
    budget = f"{count(table.max_repeats, 'repeat')}, {count(table.samples, 'sample')}"
    yield f"budget: {budget}, to rule out {table.margin:.1%}"
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
        return f"none: {error.message}", error.hint
    return (
        f"{count(budget.max_repeats, 'repeat')}, {count(budget.samples, 'sample')}",
        "not known: nobody measured how often answers flip (`gate calibrate`)"
        if budget.detectable_drop is None
        else f"a drop of {budget.detectable_drop:.1%} in 9 runs of 10",
    )


def _looks_of(part: str, max_repeats: int) -> list[Fraction]:
    first, colon, last = part.partition(":")
    if not colon:
        return [Fraction(part)]
    return [Fraction(number) for number in range(int(first), (int(last) if last else max_repeats) + 1)]
