"""From a complete fixed-size run record to a run of the baseline."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from gate.baseline.check import check, copied_run, is_date, run_id
from gate.baseline.pool import NOT_POOLED, current_runs, require_homogeneous
from gate.errors import BaselineError
from gate.model.baseline import Acceptance, Baseline, BaselineRun
from gate.model.canonical import sha256_of
from gate.model.fingerprint import Fingerprint
from gate.model.record import RunRecord
from gate.model.sample import Finish, Outcome


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


class Terms(NamedTuple):
    """What adding a run may do beyond adding it; by default nothing.

    Args:
        new_epoch: the run begins a new epoch; the earlier runs count no longer.
        new_fingerprint: so it does if it has another fingerprint: a baseline of something else.
        keep: count at most so many runs, the newest.
        max_age: count no run that was measured more than so many days before `date`.
    """

    new_epoch: bool = False
    new_fingerprint: bool = False
    keep: int | None = None
    max_age: int | None = None


ONLY_ADD: Final = Terms()


def add_run(
    baseline: Baseline | None,
    record: RunRecord,
    *,
    accepted_by: str,
    reason: str,
    date: str,
    terms: Terms = ONLY_ADD,
) -> Baseline:
    """The baseline with one more run and the line that says who accepted it, when and why.

    Whatever stops counting leaves the file, unless it is pinned; where nothing is, what counted so far is
    pinned first, so that the slow drift always has something to be measured against.

    Args:
        baseline: what `store.load` returned; None for a cell that has none.
        record: a complete fixed-size run.
        accepted_by: who answers for it.
        reason: why, in words.
        date: YYYY-MM-DD, today.
        terms: what else may change.

    Raises:
        BaselineError: `run_of` refuses the record; it has another fingerprint; it copies a stored run; it
            does not measure what the stored runs do.
    """
    run = run_of(record)
    where = str(record.cell)
    accepted = acceptance(run.id, accepted_by=accepted_by, reason=reason, date=date, where=where)
    if baseline is None:
        grown = Baseline(
            fingerprint=record.fingerprint, questions=record.questions, runs=(run,), history=(accepted,)
        )
    elif terms.new_fingerprint and baseline.fingerprint.differences(record.fingerprint):
        began = accepted.model_copy(update={"act": "epoch"})
        grown = Baseline(
            fingerprint=record.fingerprint,
            questions=record.questions,
            runs=(run,),
            history=(*baseline.history, began),
        )
    else:
        grown = _added(baseline, run, record.fingerprint, accepted, terms)
    check(grown, where=where)
    return grown


def acceptance(run: str, *, accepted_by: str, reason: str, date: str, where: str) -> Acceptance:
    """The line of the history; raises BaselineError where name, reason or date is none."""
    if not accepted_by.strip() or not reason.strip():
        raise BaselineError(
            "a run needs to know who accepted it, and why",
            where=where,
            hint="give --accepted-by and --reason",
        )
    if not is_date(date):
        raise BaselineError(f"{date!r} is not a date: YYYY-MM-DD", where=where, hint="write it as 2026-11-24")
    return Acceptance(run=run, accepted_by=accepted_by, date=date, reason=reason)


def _added(
    baseline: Baseline, run: BaselineRun, fingerprint: Fingerprint, accepted: Acceptance, terms: Terms
) -> Baseline:
    where = str(baseline.fingerprint.cell)
    check_same_measurement(baseline, fingerprint)
    if copied := copied_run(run, baseline.runs):
        raise BaselineError(
            f"the new run is refused: {copied}",
            where=where,
            hint="collect it again: each run draws samples of its own",
        )
    grown = baseline.model_copy(
        update={"runs": (*baseline.runs, run), "history": (*baseline.history, accepted)}
    )
    if NOT_POOLED in run.provenance:
        return grown
    current = current_runs(baseline)
    if terms.new_epoch and current:
        began = accepted.model_copy(update={"act": "epoch"})
        grown = grown.model_copy(update={"history": (*baseline.history, began)})
        return _counting_from(grown, run, before=current)
    require_homogeneous((*current, run), where=where)
    kept = _kept((*current, run), accepted.date, terms)
    return grown if len(kept) == len(current) + 1 else _counting_from(grown, kept[0], before=current)


def _kept(runs: tuple[BaselineRun, ...], today: str, terms: Terms) -> tuple[BaselineRun, ...]:
    """The runs that `keep` and `max_age` leave; the newest always."""
    *earlier, newest = runs
    if terms.max_age is not None:
        oldest = (datetime.date.fromisoformat(today) - datetime.timedelta(days=terms.max_age)).isoformat()
        young = [run.provenance.get("date", today)[: len(today)] >= oldest for run in earlier]
        # Runs stand in the order they were accepted: from the first young one on, all of them count.
        earlier = earlier[young.index(True) :] if True in young else []
    if terms.keep is not None:
        earlier = earlier[max(len(earlier) + 1 - terms.keep, 0) :]
    return (*earlier, newest)


def _counting_from(baseline: Baseline, first: BaselineRun, *, before: tuple[BaselineRun, ...]) -> Baseline:
    """The baseline with `first` as the first run that counts, and without the runs that nobody needs."""
    anchor = baseline.anchor or tuple(run.id for run in before)
    return pruned(baseline.model_copy(update={"epoch": first.id, "anchor": anchor}))


def pruned(baseline: Baseline) -> Baseline:
    """The baseline without the runs that neither count nor are pinned."""
    ids = [run.id for run in baseline.runs]
    start = 0 if baseline.epoch is None else ids.index(baseline.epoch)
    runs = tuple(run for i, run in enumerate(baseline.runs) if i >= start or run.id in baseline.anchor)
    epoch = None if runs[0].id == baseline.epoch else baseline.epoch
    return baseline.model_copy(update={"runs": runs, "epoch": epoch})


def _reasons_to_refuse(record: RunRecord) -> Iterator[str]:
    if record.purpose != "baseline":
        yield (
            "this record is a gate's: a sequential test decided when it stopped, which biases its score, "
            "so its samples never enter a baseline"
        )
    if record.failure is not None:
        yield f"the run failed ({record.failure.kind}): {record.failure.message}"
    if record.fingerprint.temperature == 0 and record.max_repeats > 1:
        yield (
            "its answers are greedy, and the repeats of a greedy answer in one run are copies that would "
            f"count as samples: measure runs of 1 repeat, not {record.max_repeats}"
        )
    if len(record.outcomes) != record.max_repeats:
        yield f"the run is incomplete: {len(record.outcomes)} of the {record.max_repeats} declared repeats"
    if missing := sum(row.count(Outcome.NOT_ASKED) for row in (*record.outcomes, *record.finish)):
        yield f"the run is incomplete: declared samples missing: {missing}"
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
