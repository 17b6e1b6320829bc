"""`gate calibrate`: from runs of one build to the loss that the gate has to tolerate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gate import records
from gate.baseline.calibration import fingerprint_sha256
from gate.baseline.collect import check_same_measurement, run_of
from gate.baseline.pool import current_runs, pool
from gate.baseline.store import load
from gate.decide.words import count
from gate.errors import UsageError
from gate.fingerprint import gate_version
from gate.model.baseline import Baseline, BaselineRun
from gate.model.calibration import CalibratedRun, Calibration, FalseAlarms
from gate.model.cell import Cell
from gate.model.record import RunRecord
from gate.stats import planning
from gate.stats.calibration import (
    FEWEST_RUNS,
    alarm_curve,
    between_runs,
    flip_rate,
    offset_deviation,
    replayed_alarms,
    restoring_loss,
)
from gate.stats.looks import baseline_moments
from gate.stats.planning import Design
from gate.stats.sequential import SequencePlan, Terms, plan_sequence

ORDERS: Final = 200
_SEED: Final = "calibration"

Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class CalibrationRequest:
    """What the command line asked for: a baseline file, more runs of its build, and the gate in question.

    `max_repeats` None is the budget that the margin takes.
    """

    baseline: Path
    records: tuple[Path, ...] = ()
    margin: float = 0.03
    cells: int = 1
    alpha: float = 0.01
    alpha_pass: float = 0.05
    max_repeats: int | None = None


def calibrate(request: CalibrationRequest) -> Calibration:
    """Measure what runs of one build differ by, and what that does to the false alarms of one gate.

    The runs are those of the baseline that count, and those of the records, each once.

    Raises:
        BaselineError, RecordError: a file is wrong, or a record is not a complete run for this baseline.
        UsageError: fewer than three runs.
        StatisticsError: the margin cannot be proven with this baseline.
    """
    stored = load(request.baseline)
    runs = _runs(stored, request.records)
    if len(runs) < FEWEST_RUNS:
        raise UsageError(
            f"{count(len(runs), 'run')} of one build cannot show what such runs differ by",
            where=str(request.baseline),
            hint=f"give {FEWEST_RUNS} or more, of several days and machines (`gate baseline collect --runs`)",
        )
    correct = np.array([run.correct for run in runs], dtype=np.int64)
    repeats = np.array([run.repeats for run in runs], dtype=np.int64)
    terms, fingerprint = _terms(stored, request), stored.fingerprint
    between = between_runs(correct, repeats)
    loss, alarms = _false_alarms(stored, between.deviation, terms, correct, repeats)
    scores = (correct.mean(axis=1) / repeats).tolist()
    within = baseline_moments(correct.sum(axis=0), repeats.sum()).within
    return Calibration(
        cell=fingerprint.cell,
        fingerprint_sha256=fingerprint_sha256(fingerprint),
        questions=len(stored.questions),
        runs=tuple(
            CalibratedRun(id=run.id, repeats=run.repeats, score=round(score, 6))
            for run, score in zip(runs, scores, strict=True)
        ),
        plan={
            "baseline_repeats": sum(run.repeats for run in current_runs(stored)),
            "baseline_runs": len(current_runs(stored)),
            "max_repeats": terms.max_repeats,
            "margin": terms.margin,
            "alpha": terms.alpha,
            "alpha_pass": terms.alpha_pass,
        },
        within=round(float(np.asarray(within)), 6),
        deviation=round(between.deviation, 6),
        deviation_interval=(round(between.low, 6), round(between.high, 6)),
        tolerated_loss=loss,
        false_alarms=alarms,
        flip_rate=round(flip_rate(correct, repeats), 6) if fingerprint.temperature == 0 else None,
        gate_version=gate_version(),
    )


def _false_alarms(
    stored: Baseline,
    deviation: float,
    terms: Terms,
    correct: NDArray[np.int64],
    repeats: NDArray[np.int64],
) -> tuple[float, FalseAlarms]:
    """The loss to tolerate, and how often the gate of `terms` alarms with and without it."""
    pooled = current_runs(stored)
    sizes = [run.repeats for run in pooled]
    curve = alarm_curve(_plan(stored, np.array([run.correct for run in pooled]), sizes, terms))
    offset = offset_deviation(deviation, sizes)
    loss = restoring_loss(curve, offset, terms.alpha)
    others = [
        _plan(
            stored,
            np.delete(correct, r, axis=0),
            np.delete(repeats, r).tolist(),
            terms._replace(max_repeats=min(terms.max_repeats, int(repeats[r]))),
        )
        for r in range(len(repeats))
    ]
    return loss, FalseAlarms(
        nominal=terms.alpha,
        untreated=round(curve.at(offset), 6),
        expected=round(curve.at(offset, loss), 6),
        measured=round(replayed_alarms(others, correct, repeats.tolist(), orders=ORDERS, seed=0), 6),
        runs=len(repeats),
    )


def calibration_rows(found: Calibration) -> Rows:
    """A heading and a row a run."""
    runs = ((run.id, str(run.repeats), f"{run.score:.4f}") for run in found.runs)
    return [("run", "repeats", "score"), *runs]


def calibration_words(found: Calibration) -> Iterator[str]:
    """What stands below the rows."""
    low, high = found.deviation_interval
    alarms = found.false_alarms
    yield (
        f"runs of one build differ by {100 * found.deviation:.2f} points (standard deviation, 95 % interval "
        f"{100 * low:.2f} to {100 * high:.2f}) beyond sampling"
    )
    yield f"false alarms: nominal {alarms.nominal:.2%}, expected with these runs {alarms.untreated:.2%}"
    loss = f"{100 * found.tolerated_loss:.3f} points"
    yield f"tolerated loss that restores them: {loss} (then {alarms.expected:.2%})"
    yield f"measured, each run against the others in {ORDERS} orders: {alarms.measured:.2%}"
    if found.flip_rate is not None:
        yield f"two greedy runs answer {found.flip_rate:.2%} of the questions differently"


def _runs(stored: Baseline, paths: Sequence[Path]) -> tuple[BaselineRun, ...]:
    """The runs that count and those of the records; a record that is stored already counts once."""
    found = {run.stream: run for run in current_runs(stored)}
    for path in paths:
        for record in _records(path, stored.fingerprint.cell):
            check_same_measurement(stored, record.fingerprint)
            found.setdefault(record.stream, run_of(record))
    return tuple(found.values())


def _records(path: Path, cell: Cell) -> list[RunRecord]:
    """The record in a file, or those of this cell in a folder as `gate baseline collect --out` leaves it."""
    if not path.is_dir():
        return [records.read(path)]
    name = records.record_path(path, cell).name
    found = [records.read(file) for file in sorted(path.rglob(name))]
    if not found:
        raise UsageError(
            f"holds no run records of {cell} ({name})",
            where=str(path),
            hint="give the folder that `gate baseline collect --out` wrote for this cell",
        )
    return found


def _terms(stored: Baseline, request: CalibrationRequest) -> Terms:
    reference = pool(stored)
    moments = baseline_moments(reference.correct, reference.repeats)
    if moments.within is None:
        raise UsageError(
            "one repeat shows no variance", where=str(request.baseline), hint="collect a second one"
        )
    design = planning.checked(
        Design(
            len(stored.questions),
            float(moments.within),
            reference.repeats,
            alpha=request.alpha,
            alpha_pass=request.alpha_pass,
            cells=request.cells,
            anchored=reference.anchor is not None,
        )
    )
    repeats = request.max_repeats or planning.budget_for(design, request.margin)
    return Terms(request.margin, 0.0, design.alpha_regression, design.alpha_pass, repeats)


def _plan(stored: Baseline, correct: NDArray[np.int64], repeats: Sequence[int], terms: Terms) -> SequencePlan:
    """The gate of a candidate against these runs, pooled."""
    return plan_sequence(
        stored.questions, correct.sum(axis=0), sum(repeats), terms, question_order_seed=_SEED
    )
