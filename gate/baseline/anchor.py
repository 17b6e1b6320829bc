"""`gate baseline anchor`: pin the level that slow drift is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gate.baseline.check import check
from gate.baseline.collect import acceptance, pruned
from gate.baseline.pool import NOT_POOLED, current_runs, require_homogeneous
from gate.baseline.store import baseline_files, load, save
from gate.errors import BaselineError, UsageError
from gate.model.baseline import Baseline, BaselineRun

SHORTEST_ID = 4


def pinned(baseline: Baseline, runs: Sequence[str], *, accepted_by: str, reason: str, date: str) -> Baseline:
    """The baseline with these runs as its anchor, and the line that says who moved it, when and why.

    Args:
        baseline: as it is stored.
        runs: ids, or how they begin; whatever counts today where empty.
        accepted_by: who answers for it.
        reason: why, in words.
        date: YYYY-MM-DD.

    Raises:
        BaselineError: a run is not there, may not count, does not fit the others, or nothing would change.
    """
    where = str(baseline.fingerprint.cell)
    chosen = {_found(baseline, run).id for run in runs} or {run.id for run in current_runs(baseline)}
    anchor = tuple(run for run in baseline.runs if run.id in chosen)
    if not anchor:
        raise BaselineError(
            "none of its runs counts, so there is no level to pin",
            where=where,
            hint="collect a run that counts first: `gate baseline collect`",
        )
    require_homogeneous(anchor, where=where)
    ids = tuple(run.id for run in anchor)
    if ids == baseline.anchor:
        raise BaselineError(
            f"{', '.join(ids)}: pinned already",
            where=where,
            hint="nothing to do; `--run ID` pins another run",
        )
    said = acceptance("+".join(ids), accepted_by=accepted_by, reason=reason, date=date, where=where)
    history = (*baseline.history, said.model_copy(update={"act": "anchor"}))
    moved = pruned(baseline.model_copy(update={"anchor": ids, "history": history}))
    check(moved, where=where)
    return moved


def move_anchor(
    root: Path, cell: str, runs: Sequence[str], *, accepted_by: str, reason: str, date: str
) -> tuple[Path, Baseline]:
    """Pin runs of one stored cell; returns its file and what it holds now.

    Raises:
        UsageError: the pattern fits several cells.
        BaselineError: it fits none, or `pinned` refuses.
    """
    files = baseline_files(root, (cell,))
    if len(files) > 1:
        raise UsageError(
            f"{cell!r} fits {len(files)} cells: one at a time",
            where=str(root),
            hint=f"the first is {files[0].relative_to(root).with_suffix('').as_posix()}",
        )
    before = load(files[0])
    after = pinned(before, runs, accepted_by=accepted_by, reason=reason, date=date)
    save(files[0], after, replaces=before)
    return files[0], after


def _found(baseline: Baseline, name: str) -> BaselineRun:
    """The run of this id; no file has two whose ids begin alike in so many digits."""
    where = str(baseline.fingerprint.cell)
    matching = [run for run in baseline.runs if len(name) >= SHORTEST_ID and run.id.startswith(name)]
    if len(matching) != 1:
        known = ", ".join(run.id for run in baseline.runs)
        raise BaselineError(f"{name!r} names no run of it", where=where, hint=f"its runs: {known}")
    if NOT_POOLED in matching[0].provenance:
        raise BaselineError(
            f"{name!r} may not count: {matching[0].provenance[NOT_POOLED]}",
            where=where,
            hint="pin a run that counts: `gate baseline show` lists them",
        )
    return matching[0]
