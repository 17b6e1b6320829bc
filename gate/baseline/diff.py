"""`gate baseline diff`: two baselines, or two states of the store, held against each other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from gate.baseline.change import Comparison, compared
from gate.baseline.past import baselines_at
from gate.baseline.pool import current_runs
from gate.baseline.show import Row, row_of
from gate.baseline.store import baseline_files, load
from gate.decide.words import signed_points
from gate.errors import UsageError
from gate.fingerprint import Git
from gate.model.baseline import Acceptance, Baseline

HEADINGS: Final = ("cell", "score", "new - old", "95 %", "fit p", "runs", "differs", "accepted")


class Difference(NamedTuple):
    """One cell on both sides.

    Args:
        name: the cell, or both where they are two.
        before: the first side; None where it has none, or none that counts.
        after: the second side, likewise.
        comparison: the runs that only the second side counts against those of the first; None where there is
            nothing to compare.
        fingerprint: fields that differ, name -> (first, second).
        accepted: lines of the second side's history that the first has not.
    """

    name: str
    before: Row | None
    after: Row | None
    comparison: Comparison | None
    fingerprint: dict[str, tuple[str, str]]
    accepted: tuple[Acceptance, ...]


def sides(
    first: str, second: str | None, root: Path, git: Git, patterns: tuple[str, ...]
) -> tuple[Mapping[str, Baseline], Mapping[str, Baseline]]:
    """What `gate baseline diff FIRST [SECOND]` compares: two files, two refs, or a ref and what is there now.

    Raises:
        UsageError: only one of them is a file, or one is neither file nor commit.
        BaselineError: a file is wrong.
    """
    if second is None and ".." in first:
        first, _, second = first.partition("..")
    paths = [Path(side) for side in (first, second) if side and Path(side).is_file()]
    if len(paths) == 2 and second is not None:  # noqa: PLR2004 - both of them
        one, other = map(load, paths)
        name = str(one.fingerprint.cell)
        if one.fingerprint.cell != other.fingerprint.cell:
            name = f"{name} -> {other.fingerprint.cell}"
        return {name: one}, {name: other}
    if paths:
        raise UsageError(
            f"{paths[0]} is a file and the other side is none", hint="give two files, two refs, or REF..REF"
        )
    before = baselines_at(git, first, patterns)
    if second is not None:
        return before, baselines_at(git, second or "HEAD", patterns)
    now = {path.relative_to(root).with_suffix("").as_posix(): path for path in baseline_files(root, patterns)}
    return before, {cell: load(path) for cell, path in now.items()}


def differences(before: Mapping[str, Baseline], after: Mapping[str, Baseline]) -> tuple[Difference, ...]:
    """Every cell that differs between both sides, ordered by name."""
    cells = sorted({*before, *after})
    return tuple(
        _difference(cell, before.get(cell), after.get(cell))
        for cell in cells
        if before.get(cell) != after.get(cell)
    )


def table(found: tuple[Difference, ...]) -> list[tuple[str, ...]]:
    """A heading and a row for each cell."""
    return [HEADINGS, *map(_texts, found)]


def plain(difference: Difference) -> dict[str, Any]:
    """The difference as JSON values."""
    return difference._asdict() | {
        "before": difference.before and difference.before._asdict(),
        "after": difference.after and difference.after._asdict(),
        "comparison": difference.comparison and difference.comparison._asdict(),
        "accepted": [line.model_dump(mode="json") for line in difference.accepted],
    }


def _difference(name: str, one: Baseline | None, other: Baseline | None) -> Difference:
    differing = one.fingerprint.differences(other.fingerprint) if one and other else {}
    comparison = None
    if one and other and one.questions == other.questions and not set(differing) - {"cell"}:
        comparison = compared(one, other)
    known = one.history if one else ()
    return Difference(
        name,
        row_of(one) if one and current_runs(one) else None,
        row_of(other) if other and current_runs(other) else None,
        comparison,
        differing,
        tuple(line for line in (other.history if other else ()) if line not in known),
    )


def _texts(found: Difference) -> tuple[str, ...]:
    before, after, comparison = found.before, found.after, found.comparison
    return (
        found.name,
        " -> ".join(f"{row.score:.4f}" if row else "-" for row in (before, after)),
        signed_points(comparison.difference) if comparison else "-",
        comparison.bounds if comparison else "-",
        f"{comparison.p_value:.2g}" if comparison else "-",
        " -> ".join(str(row.runs) if row else "-" for row in (before, after)),
        ", ".join(found.fingerprint) or "-",
        "; ".join(f"{line.accepted_by}: {line.reason}" for line in found.accepted) or "-",
    )
