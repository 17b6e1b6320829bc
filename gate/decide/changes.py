"""What changed beside the score, by question and by group. It describes, it decides nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from gate.decide.side import Tally
from gate.model.baseline import Reference
from gate.model.changes import Changes, GroupChange, QuestionChange, Shift
from gate.model.record import GROUP_LETTERS, QuestionGroups, RunRecord
from gate.model.sample import Finish
from gate.stats.endpoints import broken_questions, length_shift, rate_rise
from gate.stats.looks import Floats

MOST_NAMED: Final = 20
"""So many questions are named by their ids."""
_WORTH_NAMING: Final = 0.5
_LONGEST_VALUE: Final = 300
_NOT_COMPARED: Final = frozenset({"not_pooled", "for_head"})


def changes_of(record: RunRecord, tally: Tally, reference: Reference) -> Changes:
    """What changed beside the score.

    Args:
        record: what was measured.
        tally: its samples that count.
        reference: the baseline, with the same questions.
    """
    before = reference.correct[tally.asked] / reference.repeats
    after = tally.correct / tally.repeats
    invalid = rate_rise(reference.invalid[tally.asked], reference.repeats, tally.invalid, tally.repeats)
    return Changes(
        lost=int(((before > 0.5) & (after < 0.5)).sum()),  # noqa: PLR2004 - half
        gained=int(((before < 0.5) & (after > 0.5)).sum()),  # noqa: PLR2004 - half
        questions=tuple(_questions(tally, reference, before, after)),
        groups=tuple(_groups(record.groups, tally, reference)) if record.groups else (),
        invalid=Shift(before=invalid.before, after=invalid.after, p_value=invalid.p_value),
        tokens=_tokens(tally, reference),
        finish=_finish(tally, reference),
    )


def provenance_differences(record: RunRecord, reference: Reference) -> dict[str, tuple[str, str]]:
    """Where both came from, as far as it differs: name -> (this run's value, the baseline's newest run's)."""
    ran = {f"ran.{fact}": value for fact, value in record.evidence.facts.items()}
    ours, theirs = {**record.provenance, **ran}, reference.provenance
    return {
        name: (ours.get(name, "")[:_LONGEST_VALUE], theirs.get(name, "")[:_LONGEST_VALUE])
        for name in sorted({*ours, *theirs} - _NOT_COMPARED)
        if theirs and ours.get(name) != theirs.get(name)
    }


def _questions(tally: Tally, reference: Reference, before: Floats, after: Floats) -> Iterator[QuestionChange]:
    """The broken ones, the least likely first; then those that moved by half or more, the furthest first."""
    found = broken_questions(reference.correct[tally.asked], reference.repeats, tally.correct, tally.repeats)
    broken = [q.question for q in found]
    moved = [int(i) for i in np.argsort(-np.abs(after - before), kind="stable")]
    far = [i for i in moved if abs(after[i] - before[i]) >= _WORTH_NAMING and i not in set(broken)]
    for place in [*broken, *far][:MOST_NAMED]:
        yield QuestionChange(
            question=reference.questions[tally.asked[place]],
            before=float(before[place]),
            after=float(after[place]),
            broken=place in broken,
        )


def _groups(groups: QuestionGroups, tally: Tally, reference: Reference) -> Iterator[GroupChange]:
    n, m = reference.repeats, tally.repeats
    k, s = reference.correct[tally.asked], tally.correct
    p = (k + s) / (n + m)
    variance = p * (1 - p) * (1 / n + 1 / m)
    letters = np.array(list(groups.of))[tally.asked]
    for name, letter in zip(groups.names, GROUP_LETTERS, strict=False):
        chosen = letters == letter
        if q := int(chosen.sum()):
            yield GroupChange(
                name=name,
                questions=q,
                before=float(k[chosen].mean()) / n,
                after=float(s[chosen].mean()) / m,
                error=float(variance[chosen].sum()) ** 0.5 / q,
            )


def _tokens(tally: Tally, reference: Reference) -> Shift | None:
    before = reference.tokens[tally.asked]
    found = length_shift(before, reference.repeats, tally.tokens, tally.repeats)
    if found is None:
        return None
    return Shift(before=float(before.mean()), after=float(tally.tokens.mean()), p_value=found.p_value)


def _finish(tally: Tally, reference: Reference) -> dict[str, Shift]:
    """Only after a full pass: the baseline's reasons are counted over all of its questions."""
    before, after = sum(reference.finish.values()), sum(tally.finish.values())
    if not before or tally.asked.size < len(reference.questions):
        return {}
    return {
        reason.name.lower(): Shift(
            before=reference.finish.get(reason, 0) / before, after=tally.finish[reason.value] / after
        )
        for reason in Finish
        if reference.finish.get(reason, 0) or tally.finish[reason.value]
    }
