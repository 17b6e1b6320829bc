"""Several runs of one cell as one reference, if they are samples of the same thing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from gate.baseline.calibration import load_calibration
from gate.baseline.check import FINISH_NAMES
from gate.baseline.store import baseline_path, load, sha256
from gate.errors import BaselineError
from gate.model.baseline import Anchor, Baseline, BaselineRun, Reference
from gate.model.cell import Cell
from gate.model.sample import Finish

POOLING_ALPHA: Final = 0.01
NOT_POOLED: Final = "not_pooled"
"""Key of a run's provenance that says why it does not count, where `--allow-dirty` let it in all the same."""


class Homogeneity(NamedTuple):
    """Do the runs' mean scores scatter as their sampling noise says? Yes while `p_value` > 0.01."""

    statistic: float
    degrees: int
    p_value: float

    @property
    def holds(self) -> bool:
        """Whether the runs may be pooled."""
        return self.p_value > POOLING_ALPHA


def homogeneity(correct: NDArray[np.int64], repeats: NDArray[np.int64]) -> Homogeneity:
    """H = sum_r (ybar_r - ybar)^2 / (W / (Q n_r)) against chi^2 with R-1 degrees (statistics.md, Baselines).

    W is the within-question variance of the pooled counts, at least 1/Q as in the pass test.

    Args:
        correct: (R, Q) correct samples of each run and question.
        repeats: (R,) samples of a question in each run.
    """
    runs, total = correct.shape
    if runs < 2:  # noqa: PLR2004 - one run scatters around nothing
        return Homogeneity(0.0, 0, 1.0)
    pooled, n = correct.sum(axis=0), int(repeats.sum())
    within = max(float((pooled * (n - pooled)).mean()) / (n * (n - 1)), 1 / total)
    means = correct.mean(axis=1) / repeats
    grand = float(pooled.mean()) / n
    statistic = float((repeats * (means - grand) ** 2).sum()) * total / within
    return Homogeneity(statistic, runs - 1, float(special.chdtrc(runs - 1, statistic)))


def runs_homogeneity(runs: Sequence[BaselineRun]) -> Homogeneity:
    """`homogeneity` of stored runs; of none, too."""
    if not runs:
        return Homogeneity(0.0, 0, 1.0)
    return homogeneity(
        np.array([r.correct for r in runs], dtype=np.int64),
        np.array([r.repeats for r in runs], dtype=np.int64),
    )


def current_runs(baseline: Baseline) -> tuple[BaselineRun, ...]:
    """The runs that count today: those of the current epoch, without what was collected despite a doubt."""
    ids = [run.id for run in baseline.runs]
    first = 0 if baseline.epoch is None else ids.index(baseline.epoch)
    return tuple(run for run in baseline.runs[first:] if NOT_POOLED not in run.provenance)


def anchored_runs(baseline: Baseline) -> tuple[BaselineRun, ...]:
    """The pinned runs; none where nothing is pinned."""
    return tuple(run for run in baseline.runs if run.id in baseline.anchor)


def pool(baseline: Baseline) -> Reference:
    """The current runs as one reference, with the anchor and the SHA-256 of the baseline file's bytes.

    Raises:
        BaselineError: the runs differ by more than their sampling noise, or none counts.
    """
    pinned = anchor_of(baseline)
    anchor = pinned and Anchor(baseline.anchor, pinned.correct, pinned.repeats)
    return _pooled(baseline, current_runs(baseline))._replace(anchor=anchor)


def anchor_of(baseline: Baseline) -> Reference | None:
    """The pinned runs as one reference, for the ratchet (statistics.md, Baselines).

    None where nothing is pinned, and where everything pinned still counts: the current pool then holds it.

    Raises:
        BaselineError: the pinned runs differ by more than their sampling noise.
    """
    current = {run.id for run in current_runs(baseline)}
    return None if set(baseline.anchor) <= current else _pooled(baseline, anchored_runs(baseline))


def reference_of(root: Path, cell: Cell) -> Reference | None:
    """The pooled baseline of a cell; None where nothing is stored, or nothing that counts.

    Raises:
        BaselineError: the file is wrong, or its runs do not pool.
    """
    if root.exists() and not root.is_dir():
        raise BaselineError("is not a folder of baselines", where=str(root), hint="check --baselines")
    path = baseline_path(root, cell)
    if not path.exists():
        return None
    baseline = load(path)
    if not current_runs(baseline):
        return None
    return pool(baseline)._replace(calibration=load_calibration(path, baseline.fingerprint))


def _pooled(baseline: Baseline, runs: tuple[BaselineRun, ...]) -> Reference:
    if not runs:
        raise BaselineError(
            "none of its runs counts",
            where=str(baseline.fingerprint.cell),
            hint="`gate baseline show` says why; collect a run that counts",
        )
    require_homogeneous(runs, where=str(baseline.fingerprint.cell))
    repeats = sum(run.repeats for run in runs)
    finish: Counter[Finish] = Counter()
    for run in runs:
        finish.update({FINISH_NAMES[name]: count for name, count in run.finish.items()})
    weights = np.array([run.repeats for run in runs]) / repeats
    return Reference(
        questions=baseline.questions,
        correct=np.sum([run.correct for run in runs], axis=0, dtype=np.int64),
        repeats=repeats,
        invalid=np.sum([_dense(run) for run in runs], axis=0, dtype=np.int64),
        tokens=weights @ np.array([run.tokens for run in runs], dtype=np.float64),
        finish=finish,
        sha256=sha256(baseline),
        fingerprint=baseline.fingerprint,
        provenance=runs[-1].provenance,
        origins=frozenset((run.stream, run.provenance.get("measured")) for run in baseline.runs),
    )


def require_homogeneous(runs: Sequence[BaselineRun], *, where: str) -> Homogeneity:
    """The runs' homogeneity; BaselineError, with each run's score and the p-value, where it does not hold."""
    found = runs_homogeneity(runs)
    if not found.holds:
        scores = ", ".join(f"{r.id} {sum(r.correct) / (r.repeats * len(r.correct)):.4f}" for r in runs)
        raise BaselineError(
            f"its runs do not measure the same thing: p = {found.p_value:.2g}, and they pool only above "
            f"{POOLING_ALPHA} (chi2 {found.statistic:.1f}, {found.degrees} degrees; scores: {scores})",
            where=where,
            hint="find out what changed between the runs; a change that is meant begins a --new-epoch",
        )
    return found


def _dense(run: BaselineRun) -> NDArray[np.int64]:
    counts = np.zeros(len(run.correct), dtype=np.int64)
    counts[list(run.invalid)] = list(run.invalid.values())
    return counts
