"""`gate baseline verify`: is every file of the store what the gate wrote, where it belongs, and poolable?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from gate.baseline.calibration import load_calibration
from gate.baseline.pool import anchor_of, current_runs, require_homogeneous
from gate.baseline.source import Merged, whole_default_branch
from gate.baseline.store import SIDECARS, baseline_files, load
from gate.decide.words import count
from gate.errors import BaselineError, Exit
from gate.fingerprint import Git
from gate.model.baseline import Baseline

STORE_FILES: Final = ("README.md", ".gitattributes", ".gitignore")


class Verified(NamedTuple):
    """One file of the store: what is wrong with it, or how well its runs agree."""

    path: Path
    problem: str | None
    runs: int = 0
    repeats: int = 0
    p_value: float | None = None


def verify(root: Path, git: Git | None = None) -> tuple[Verified, ...]:
    """Every file under `root`, ordered by path: schema, hashes, canonical text, place, and pools recomputed.

    Args:
        root: the store.
        git: runs git in it; then runs of accepted heads must be of code that is merged by now.

    Raises:
        BaselineError: `root` is not a folder.
    """
    if not root.is_dir():
        raise BaselineError("is not a folder", where=str(root), hint="--baselines names the store's folder")
    branch = None if git is None else whole_default_branch(git)
    merged = Merged(git, branch) if git is not None and branch is not None else None
    return tuple(sorted((*(_verified(path, merged) for path in baseline_files(root)), *_strays(root))))


def verify_command(root: Path, git: Git, *, as_json: bool, write: Callable[[str], None]) -> Exit:
    """Print one line a file, or JSON; exit 2 where anything is wrong."""
    found = verify(root, git)
    if as_json:
        write(json.dumps([_plain(file) for file in found], indent=2))
    else:
        for file in found:
            write(_line(file))
        wrong = sum(file.problem is not None for file in found)
        write(f"{count(len(found), 'file')}, {wrong} wrong")
    return Exit.USAGE if any(file.problem is not None for file in found) else Exit.PASS


def _verified(path: Path, merged: Merged | None) -> Verified:
    try:
        baseline = load(path)
        if merged is not None:
            _check_heads(baseline, merged)
        load_calibration(path, baseline.fingerprint)
        anchor_of(baseline)
        runs = current_runs(baseline)
        agreement = require_homogeneous(runs, where=str(path))
    except BaselineError as problem:
        return Verified(path, str(problem))
    return Verified(path, None, len(runs), sum(run.repeats for run in runs), agreement.p_value)


def _check_heads(baseline: Baseline, merged: Merged) -> None:
    """Raise BaselineError where a run is of a head that was accepted and never merged."""
    for run in baseline.runs:
        head = run.provenance.get("for_head")
        if head is not None and not merged.holds(head, run.provenance.get("tree")):
            raise BaselineError(
                f"run {run.id} was accepted for the commit {head[:12]}, which is not on {merged.branch} yet",
                where=str(baseline.fingerprint.cell),
                hint="merge that first; what was merged otherwise has to be measured again",
            )


def _strays(root: Path) -> Iterator[Verified]:
    expected = set(baseline_files(root))
    for path in root.rglob("*"):
        known = path in expected or (path.parent == root and path.name in STORE_FILES)
        sidecar = path.suffix == ".json" and path.stem.endswith(SIDECARS)
        leftover = path.name.startswith(".") and path.name.endswith(".tmp")
        if path.is_file() and not (known or sidecar or leftover):
            yield Verified(path, f"{path}: is no baseline: those are <arch>/<config>/<backend>.json")


def _plain(file: Verified) -> dict[str, object]:
    return file._asdict() | {"path": str(file.path)}


def _line(file: Verified) -> str:
    if file.problem is not None:
        return f"WRONG  {file.problem}"
    agreement = f", homogeneous (p = {file.p_value:.2g})" if file.runs > 1 else ""
    return f"ok     {file.path}: {count(file.runs, 'run')}, {count(file.repeats, 'repeat')}{agreement}"
