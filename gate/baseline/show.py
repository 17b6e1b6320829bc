"""`gate baseline show`: what is stored for each cell."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

from gate.baseline.pool import NOT_POOLED, current_runs, pool, runs_homogeneity
from gate.baseline.store import baseline_files, load
from gate.errors import Exit
from gate.model.baseline import Baseline

Z_95: Final = 1.959964
HEADINGS: Final = (
    "cell",
    "score",
    "+-95%",
    "Q",
    "runs",
    "repeats",
    "invalid",
    "W",
    "p",
    "anchor",
    "accepted",
    "sha256",
)


class Row(NamedTuple):
    """One cell of the store.

    `score` is the mean over its questions, `half_width` that of its 95 % interval on these questions,
    `within` the within-question variance W (None with one repeat, as is `half_width`), `p_value` that of
    the runs' homogeneity, `anchor` the score of the pinned runs where something older is pinned.
    """

    cell: str
    score: float
    half_width: float | None
    questions: int
    runs: int
    repeats: int
    invalid_rate: float
    within: float | None
    p_value: float
    anchor: float | None
    accepted: str
    sha256: str


def row_of(baseline: Baseline) -> Row:
    """What there is to say about one baseline; BaselineError where its runs do not pool."""
    reference = pool(baseline)
    total, n, pinned = len(reference.questions), reference.repeats, reference.anchor
    within = None
    if n > 1:
        k = reference.correct
        within = float((k * (n - k)).sum()) / (total * n * (n - 1))
    return Row(
        cell=str(baseline.fingerprint.cell),
        score=float(reference.correct.mean()) / n,
        half_width=None if within is None else Z_95 * math.sqrt(within / (total * n)),
        questions=total,
        runs=len(current_runs(baseline)),
        repeats=n,
        invalid_rate=float(reference.invalid.mean()) / n,
        within=within,
        p_value=runs_homogeneity(current_runs(baseline)).p_value,
        anchor=pinned and float(pinned.correct.mean()) / pinned.repeats,
        accepted=max((a.date for a in baseline.history), default="-"),
        sha256=reference.sha256,
    )


def rows(root: Path, pattern: str = "*") -> tuple[Row, ...]:
    """A row for each cell of which something counts, ordered by path.

    Raises:
        BaselineError: a file is wrong, or no cell is like the pattern (`store.matches`).
    """
    found = map(load, baseline_files(root, (pattern,)))
    return tuple(row_of(baseline) for baseline in found if current_runs(baseline))


def table(found: tuple[Row, ...]) -> str:
    """The rows as aligned text."""
    lines = [HEADINGS, *map(_texts, found)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def show_command(root: Path, pattern: str, *, as_json: bool, write: Callable[[str], None]) -> Exit:
    """Print the table, or JSON; below it the cells of which nothing counts."""
    found = rows(root, pattern)
    if as_json:
        write(json.dumps([row._asdict() for row in found], indent=2))
        return Exit.PASS
    write(table(found))
    for baseline in map(load, baseline_files(root, (pattern,))):
        if not current_runs(baseline):
            write(f"{baseline.fingerprint.cell}: none of its runs counts; {doubt_of(baseline)}")
    return Exit.PASS


def doubt_of(baseline: Baseline) -> str:
    """Why the newest run of a baseline does not count."""
    return baseline.runs[-1].provenance.get(NOT_POOLED, "")


def _texts(row: Row) -> tuple[str, ...]:
    return (
        row.cell,
        f"{row.score:.4f}",
        "-" if row.half_width is None else f"{row.half_width:.4f}",
        str(row.questions),
        str(row.runs),
        str(row.repeats),
        f"{row.invalid_rate:.1%}",
        "-" if row.within is None else f"{row.within:.3f}",
        f"{row.p_value:.2g}" if row.runs > 1 else "-",
        "-" if row.anchor is None else f"{row.anchor:.4f}",
        row.accepted,
        row.sha256[:12],
    )
