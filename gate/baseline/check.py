"""What must hold inside a baseline, beyond the types of its fields."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from gate.errors import BaselineError
from gate.model.baseline import Baseline, BaselineRun
from gate.model.canonical import sha256_of
from gate.model.fingerprint import Fingerprint
from gate.model.sample import Finish

FINISH_NAMES: Final = {f.name.lower(): f for f in Finish if f is not Finish.NOT_ASKED}
MOST_REPEATS: Final = 1_000_000
MOST_TOKENS: Final = 1_000_000_000
MOST_PROVENANCE: Final = 20_000
MOST_STREAM: Final = 100
ID_DIGITS: Final = 12
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


def run_id(fingerprint: Fingerprint, run: BaselineRun) -> str:
    """Hash of everything stored of a run and of what it measured: an edited run no longer has its id."""
    content = run.model_dump(mode="json", exclude={"id"})
    return sha256_of({"fingerprint": fingerprint.model_dump(mode="json"), "run": content})[:ID_DIGITS]


def check(baseline: Baseline, *, where: str) -> None:
    """Raise BaselineError at the first contradiction, naming the run and the question's index."""
    # Lazily: each check relies on those before it.
    if problem := next(_problems(baseline), None):
        raise BaselineError(
            problem, where=where, hint="restore it from git; a baseline is never edited by hand"
        )


def copied_run(run: BaselineRun, others: tuple[BaselineRun, ...]) -> str | None:
    """Why `run` is no sample of its own beside `others`, or None.

    On a deterministic engine a second run with the same seeds is a copy: pooling it would halve the noise
    on paper only. Equal outcome matrices have equal counts, and counts are what is stored.
    """
    for other in others:
        if run.stream == other.stream:
            return f"it has the stream of run {other.id}: the same seeds give the same samples"
        if (run.repeats, run.correct, run.invalid) == (other.repeats, other.correct, other.invalid):
            return f"every count equals that of run {other.id}: a copy is not a second sample"
    return None


def _problems(baseline: Baseline) -> Iterator[str]:
    questions = baseline.questions
    if not questions:
        yield "has no questions"
    if list(questions) != sorted(set(questions)):
        yield f"questions: {_disorder(questions)}"
    if sha256_of(list(questions)) != baseline.fingerprint.questions_sha256:
        yield "questions: they do not hash to the fingerprint's questions_sha256"
    if not baseline.runs:
        yield "has no runs"
    for number, run in enumerate(baseline.runs):
        yield from (f"runs[{number}]: {problem}" for problem in _run_problems(run, len(questions)))
        if copied := copied_run(run, baseline.runs[:number]):
            yield f"runs[{number}]: {copied}"
        if run.id != run_id(baseline.fingerprint, run):
            yield f"runs[{number}]: its content does not hash to its id: it was edited by hand"
    yield from _epoch_problems(baseline)
    yield from _history_problems(baseline)


def _epoch_problems(baseline: Baseline) -> Iterator[str]:
    ids = [run.id for run in baseline.runs]
    if list(baseline.anchor) != [run for run in ids if run in baseline.anchor]:
        yield "anchor: does not name runs of this file, each once and in their order"
    if baseline.epoch is None:
        return
    if baseline.epoch not in ids[1:]:
        yield "epoch: names no run of this file behind the first"
    if stale := [run for run in ids[: ids.index(baseline.epoch)] if run not in baseline.anchor]:
        yield f"runs: {stale[0]} neither counts nor is pinned"


def _history_problems(baseline: Baseline) -> Iterator[str]:
    """Lines of runs that were removed stay, so a line may name a run that the file no longer has."""
    accepted: set[str] = set()
    for number, line in enumerate(baseline.history):
        if not is_date(line.date):
            yield f"history[{number}]: {line.date[:40]!r} is not a date: YYYY-MM-DD"
        if line.act != "anchor":
            accepted.add(line.run)
        elif unknown := [run for run in line.run.split("+") if run not in accepted]:
            yield f"history[{number}]: pins {unknown[0][:40]!r}, which no line before it accepted"
    if missing := [run.id for run in baseline.runs if run.id not in accepted]:
        yield f"history: no line says who accepted run {missing[0]}"


def is_date(text: str) -> bool:
    """Whether it is a day, as YYYY-MM-DD."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _run_problems(run: BaselineRun, total: int) -> Iterator[str]:
    for name, row in (("correct", run.correct), ("tokens", run.tokens)):
        if len(row) != total:
            yield f"{name} has {len(row)} entries, but there are {total} questions"
    if (
        len(run.stream) > MOST_STREAM
        or sum(map(len, itertools.chain(*run.provenance.items()))) > MOST_PROVENANCE
    ):
        yield f"its stream or provenance is longer than {MOST_STREAM} or {MOST_PROVENANCE:,} characters"
    if run.repeats > MOST_REPEATS:
        yield f"repeats is over {MOST_REPEATS:,}"
    for index, correct in enumerate(run.correct):
        if not 0 <= correct <= run.repeats:
            yield f"correct[{index}] is not between 0 and the {run.repeats} repeats"
    for index, invalid in run.invalid.items():
        if not 0 <= index < total:
            yield f"invalid names question {index}, but there are {total} questions"
        if not 1 <= invalid <= run.repeats - run.correct[index]:
            yield f"invalid[{index}] is not between 1 and the {run.repeats - run.correct[index]} not correct"
    if not all(0 <= tokens <= MOST_TOKENS for tokens in run.tokens):
        yield f"tokens holds a number that is not between 0 and {MOST_TOKENS:,}"
    if unknown := sorted(set(run.finish) - set(FINISH_NAMES)):
        yield f"finish names {unknown[0][:40]!r}, which no engine reports"
    if min(run.finish.values(), default=0) < 1 or sum(run.finish.values()) != total * run.repeats:
        yield f"finish does not count {total} x {run.repeats} samples"


def _disorder(questions: tuple[str, ...]) -> str:
    first, second = next((a, b) for a, b in itertools.pairwise(questions) if a >= b)
    return f"{first} is there twice" if first == second else f"{second} stands after {first}: not ascending"
