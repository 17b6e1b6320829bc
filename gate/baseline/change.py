"""What accepting new runs does to a baseline: before and after, and what must not happen unsaid. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from gate.baseline.pool import current_runs, pool, runs_homogeneity
from gate.baseline.show import Z_95, Row, row_of
from gate.config import GateSettings
from gate.decide import plan_budget
from gate.decide.ratchet import drift
from gate.decide.words import points, signed_points
from gate.errors import StatisticsError
from gate.model.baseline import Baseline, BaselineRun
from gate.model.result import AnchorLook
from gate.stats.looks import look_statistics
from gate.stats.planning import ANCHOR_SHARE

ANY_MARGIN: Final = 0.03  # neither of the two variances depends on it
HEADINGS: Final = (
    "cell",
    "score",
    "new - before",
    "95 %",
    "fit p",
    "noise +-95%",
    "detectable drop",
    "runs",
    "anchor",
    "",
)


class Comparison(NamedTuple):
    """New runs against those that counted before.

    Args:
        difference: of their scores.
        interval: its 95 % interval, on these questions.
        p_value: do both measure the same (`pool.homogeneity`)?
    """

    difference: float
    interval: tuple[float, float]
    p_value: float

    @property
    def bounds(self) -> str:
        """The interval in points."""
        return "{:+.1f} .. {:+.1f}".format(*(100 * bound for bound in self.interval))


class Change(NamedTuple):
    """One cell before and after.

    Args:
        before: what counted; None where nothing did, or where it was of other questions.
        after: what will count.
        comparison: the new runs against what counted; None where nothing did, or another fingerprint.
        new_epoch: whether what counted before counts no longer.
        detectable: the drop that a gate finds 9 times in 10, before and after; None where it can prove none.
        drift: the new runs against the pinned ones, where something older is pinned.
    """

    cell: str
    before: Row | None
    after: Row
    comparison: Comparison | None
    new_epoch: bool
    detectable: tuple[float | None, float | None]
    drift: AnchorLook | None

    @property
    def drop(self) -> float:
        """By how much the baseline's score falls; 0 where it does not."""
        return max(self.before.score - self.after.score, 0.0) if self.before else 0.0


def change_of(
    before: Baseline | None, after: Baseline, settings: GateSettings, *, chance: float = 0.0
) -> Change:
    """Compare a baseline with what it becomes.

    Args:
        before: as it is stored; None where nothing is.
        after: with the new runs; at least one run of it counts.
        settings: the config's `gate:` section.
        chance: score of guessing.
    """
    counted = current_runs(before) if before is not None else ()
    if before is None or not counted or before.questions != after.questions:
        return Change(
            cell=str(after.fingerprint.cell),
            before=None,
            after=row_of(after),
            comparison=None,
            new_epoch=bool(counted),
            detectable=(None, _detectable(after, settings, chance)),
            drift=None,
        )
    return Change(
        cell=str(after.fingerprint.cell),
        before=row_of(before),
        after=row_of(after),
        comparison=compared(before, after) if before.fingerprint == after.fingerprint else None,
        new_epoch=not {run.id for run in counted} & {run.id for run in current_runs(after)},
        detectable=(_detectable(before, settings, chance), _detectable(after, settings, chance)),
        drift=_drift(after, settings),
    )


def compared(before: Baseline, after: Baseline) -> Comparison | None:
    """The runs that only `after` counts against those that `before` does; None where either has none.

    Both are of the same questions. The variance is the larger one of two estimates (statistics.md: V_F, V_u).
    """
    known = {run.id for run in before.runs}
    counted, new = current_runs(before), [run for run in current_runs(after) if run.id not in known]
    if not counted or not new:
        return None
    (k, n), (s, m) = _counts(counted), _counts(new)
    found = look_statistics(k, n, s, m, margin=ANY_MARGIN)
    variance = max(float(found.variance_regression), float(found.variance_plain or 0.0))
    difference, half = float(found.difference), Z_95 * math.sqrt(variance)
    return Comparison(
        difference, (difference - half, difference + half), runs_homogeneity([*counted, *new]).p_value
    )


def objections(change: Change, settings: GateSettings) -> Iterator[str]:
    """What of a change has to be accepted in so many words."""
    if change.drop > settings.margin:
        yield (
            f"lowers the score by {points(change.drop)}, more than the margin of {points(settings.margin)}"
        )
    if change.drift is not None and change.drift.dropped:
        yield (
            f"is {signed_points(change.drift.difference)} from the anchor, a proven drop "
            f"(p = {change.drift.p_value:.2g}) that was accepted piece by piece"
        )


def table(changes: Sequence[Change]) -> list[tuple[str, ...]]:
    """A heading and a row for each change; scores as shares, differences in points."""
    return [HEADINGS, *map(_texts, changes)]


def plain(change: Change) -> dict[str, Any]:
    """The change as JSON values."""
    return change._asdict() | {
        "before": change.before and change.before._asdict(),
        "after": change.after._asdict(),
        "comparison": change.comparison and change.comparison._asdict(),
        "drift": change.drift and change.drift.model_dump(mode="json") | {"dropped": change.drift.dropped},
    }


def _counts(runs: Sequence[BaselineRun]) -> tuple[Any, int]:
    return np.sum([run.correct for run in runs], axis=0, dtype=np.int64), sum(run.repeats for run in runs)


def _drift(after: Baseline, settings: GateSettings) -> AnchorLook | None:
    """What counts now against what is pinned, each sample on one side only."""
    anchor = pool(after).anchor
    fresh = [run for run in current_runs(after) if run.id not in after.anchor]
    if anchor is None or not fresh:
        return None
    correct, repeats = _counts(fresh)
    alpha = ANCHOR_SHARE * settings.alpha
    return drift(
        anchor,
        correct,
        repeats,
        tolerated_loss=settings.tolerated_loss,
        alpha=alpha,
        greedy=after.fingerprint.temperature == 0,
    )


def _detectable(baseline: Baseline, settings: GateSettings, chance: float) -> float | None:
    try:
        budget = plan_budget(pool(baseline), settings, family_size=1, chance=chance, accept_wider_margin=True)
    except StatisticsError:
        return None
    return budget.detectable_drop


def _texts(change: Change) -> tuple[str, ...]:
    before, after = change.before, change.after
    return (
        change.cell,
        _arrow(before and f"{before.score:.4f}", f"{after.score:.4f}"),
        signed_points(change.comparison.difference) if change.comparison else "-",
        change.comparison.bounds if change.comparison else "-",
        f"{change.comparison.p_value:.2g}" if change.comparison else "-",
        _arrow(before and _points(before.half_width), _points(after.half_width)),
        _arrow(_points(change.detectable[0]) if before else None, _points(change.detectable[1])),
        _arrow(before and str(before.runs), str(after.runs)),
        "-"
        if change.drift is None
        else f"{signed_points(change.drift.difference)} p={change.drift.p_value:.2g}",
        "new epoch" if change.new_epoch else "new" if before is None else "",
    )


def _points(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"


def _arrow(before: str | None, after: str) -> str:
    return after if before is None else f"{before} -> {after}"
