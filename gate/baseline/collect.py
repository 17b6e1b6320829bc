"""From a complete fixed-size run record to a run of the baseline."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Final

from gate.baseline.check import check, copied_run, run_id
from gate.baseline.pool import current_runs, require_homogeneous
from gate.errors import BaselineError
from gate.model import Acceptance, Baseline, BaselineRun, Fingerprint, Finish, Outcome, RunRecord, sha256_of

DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def run_of(record: RunRecord) -> BaselineRun:
    """The counts of a complete fixed-size run; its id is a hash of them and of what was measured.

    Raises:
        BaselineError: the record is a gate's (its samples were stopped by a sequential test), failed,
            incomplete, or contradicts itself.
    """
    if problem := next(_reasons_to_refuse(record), None):
        raise BaselineError(problem, where=str(record.cell), hint="only `gate baseline collect` makes runs")
    repeats = len(record.outcomes)
    columns = list(zip(*record.outcomes, strict=True))
    invalid = {i: n for i, column in enumerate(columns) if (n := column.count(Outcome.INVALID))}
    finish = Counter("".join(record.finish))
    run = BaselineRun(
        id="",
        stream=record.stream,
        repeats=repeats,
        correct=tuple(column.count(Outcome.CORRECT) for column in columns),
        invalid=invalid,
        tokens=tuple(_rounded_mean(column) for column in zip(*record.tokens, strict=True)),
        finish={Finish(character).name.lower(): count for character, count in sorted(finish.items())},
        provenance=dict(record.provenance) | {f"ran.{k}": v for k, v in record.evidence.facts.items()},
    )
    return run.model_copy(update={"id": run_id(record.fingerprint, run)})


def add_run(
    baseline: Baseline | None, record: RunRecord, *, accepted_by: str, reason: str, date: str
) -> Baseline:
    """The baseline with one more run and the line that says who accepted it, when and why.

    Args:
        baseline: what `store.load` returned; None for a cell that has none.
        record: a complete fixed-size run.
        accepted_by: who answers for it.
        reason: why, in words.
        date: YYYY-MM-DD.

    Raises:
        BaselineError: `run_of` refuses the record; it has another fingerprint; it copies a stored run; it
            does not measure what the stored runs do.
    """
    run = run_of(record)
    where = str(record.cell)
    if not accepted_by.strip() or not reason.strip():
        raise BaselineError("a run needs to know who accepted it, and why", where=where)
    if not DATE.fullmatch(date):
        raise BaselineError(f"{date!r} is not a date: YYYY-MM-DD", where=where)
    accepted = Acceptance(run=run.id, accepted_by=accepted_by, date=date, reason=reason)
    if baseline is None:
        grown = Baseline(
            fingerprint=record.fingerprint, questions=record.questions, runs=(run,), history=(accepted,)
        )
    else:
        check_same_measurement(baseline, record.fingerprint)
        if copied := copied_run(run, baseline.runs):
            raise BaselineError(f"the new run is refused: {copied}", where=where)
        require_homogeneous((*current_runs(baseline), run), where=where)
        grown = baseline.model_copy(
            update={"runs": (*baseline.runs, run), "history": (*baseline.history, accepted)}
        )
    check(grown, where=where)
    return grown


def _reasons_to_refuse(record: RunRecord) -> Iterator[str]:
    if record.purpose != "baseline":
        yield (
            "this record is a gate's: a sequential test decided when it stopped, which biases its score, "
            "so its samples never enter a baseline"
        )
    if record.failure is not None:
        yield f"the run failed ({record.failure.kind}): {record.failure.message}"
    if len(record.outcomes) != record.max_repeats:
        yield f"the run is incomplete: {len(record.outcomes)} of the {record.max_repeats} declared repeats"
    if missing := sum(row.count(Outcome.NOT_ASKED) for row in (*record.outcomes, *record.finish)):
        yield f"the run is incomplete: {missing} entries of its declared samples are missing"
    if not record.questions:
        yield "the run asked no questions"
    if any(count < 0 for row in record.tokens for count in row):
        yield "the record contradicts itself: a number of tokens is negative"
    if record.cell != record.fingerprint.cell:
        yield f"the record contradicts itself: its fingerprint is of {record.fingerprint.cell}"
    if sha256_of(list(record.questions)) != record.fingerprint.questions_sha256:
        yield "the record contradicts itself: its questions do not hash to its fingerprint's"


def check_same_measurement(baseline: Baseline, fingerprint: Fingerprint) -> None:
    """Raise BaselineError, with every differing field, where runs of both do not belong in one file."""
    differing = baseline.fingerprint.differences(fingerprint)
    if differing:
        said = "; ".join(
            f"{name}: {old} in the baseline, {new} here" for name, (old, new) in differing.items()
        )
        raise BaselineError(
            f"the new run is not comparable with the baseline: {said}",
            where=str(fingerprint.cell),
            hint="runs of one file share every field of the fingerprint: measure as the baseline was",
        )


def _rounded_mean(tokens: tuple[int, ...]) -> int:
    return (2 * sum(tokens) + len(tokens)) // (2 * len(tokens))
