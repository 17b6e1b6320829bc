"""What else changed at the stop: invalid answers, broken questions, lengths, finish reasons. It warns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gate.model.baseline import Reference
from gate.model.record import RunRecord
from gate.model.sample import Finish, Outcome
from gate.stats.endpoints import broken_questions, length_shift, rate_rise, share_rise
from gate.stats.looks import Floats
from gate.stats.sequential import SequencePlan

MOST_NAMED: Final = 5
"""So many broken questions are named; the others are counted."""

_RISING: Final = {Finish.LENGTH: "were cut off at the token limit", Finish.REPETITION: "ended in repetition"}


class Tally(NamedTuple):
    """The samples that count, by question.

    asked: indices of the asked questions, shape (q,).
    repeats: m, samples of each.
    correct, invalid: counts, shape (q,).
    tokens: mean length, shape (q,).
    finish: reasons over all samples.
    """

    asked: NDArray[np.intp]
    repeats: int
    correct: NDArray[np.int64]
    invalid: NDArray[np.int64]
    tokens: Floats
    finish: Counter[str]


def tally_of(record: RunRecord, plan: SequencePlan, number: int) -> Tally:
    """Count the samples of the first `number` + 1 blocks."""
    repeats, asked = plan.blocks[number].repeat + 1, plan.asked(number)
    outcomes = _characters(record.outcomes[:repeats])[:, asked]
    reasons = np.bincount(_characters(record.finish[:repeats])[:, asked].ravel())
    return Tally(
        asked=asked,
        repeats=repeats,
        correct=(outcomes == ord(Outcome.CORRECT.value)).sum(axis=0),
        invalid=(outcomes == ord(Outcome.INVALID.value)).sum(axis=0),
        tokens=np.array(record.tokens[:repeats], dtype=np.float64)[:, asked].mean(axis=0),
        finish=Counter({chr(code): int(count) for code, count in enumerate(reasons) if count}),
    )


def warnings(tally: Tally, reference: Reference) -> tuple[str, ...]:
    """One sentence for each side endpoint that alarms, each at an error of .1 %."""
    return (
        *_invalid(tally, reference),
        *_broken(tally, reference),
        *_lengths(tally, reference),
        *_finish(tally, reference),
    )


def _invalid(tally: Tally, reference: Reference) -> Iterator[str]:
    found = rate_rise(reference.invalid[tally.asked], reference.repeats, tally.invalid, tally.repeats)
    if found.alarming:
        yield f"invalid answers rose from {found.before:.1%} to {found.after:.1%} (p = {found.p_value:.1g})"


def _broken(tally: Tally, reference: Reference) -> Iterator[str]:
    found = broken_questions(reference.correct[tally.asked], reference.repeats, tally.correct, tally.repeats)
    if found:
        named = ", ".join(
            f"{reference.questions[tally.asked[q.question]]} ({q.before:.0%} to {q.after:.0%})"
            for q in found[:MOST_NAMED]
        )
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        yield f"questions that broke: {named}{more}"


def _lengths(tally: Tally, reference: Reference) -> Iterator[str]:
    found = length_shift(reference.tokens[tally.asked], reference.repeats, tally.tokens, tally.repeats)
    if found is not None and found.alarming:
        yield f"answers changed length by {found.after:+.1%} (p = {found.p_value:.1g})"


def _finish(tally: Tally, reference: Reference) -> Iterator[str]:
    """Only after a full pass: the baseline's reasons are counted over all of its questions."""
    before, after = sum(reference.finish.values()), sum(tally.finish.values())
    if not before or tally.asked.size < len(reference.questions):
        return
    for reason, words in _RISING.items():
        found = share_rise(reference.finish.get(reason, 0), before, tally.finish[reason.value], after)
        if found.alarming:
            was, p = f"{found.before:.1%} before", f"p = {found.p_value:.1g}"
            yield f"{found.after:.1%} of the answers {words}, {was} ({p})"


def _characters(rows: tuple[str, ...]) -> NDArray[np.uint8]:
    return np.frombuffer("".join(rows).encode("ascii"), dtype=np.uint8).reshape(len(rows), -1)
