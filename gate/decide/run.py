"""The verdict, the exit code and the check's conclusion of a run, from the verdicts of its cells."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Literal

from gate.errors import Exit
from gate.model.cell import Cell
from gate.model.result import CellResult, Verdict

Conclusion = Literal["success", "failure", "neutral", "action_required"]

DEFAULT_FAIL_ON: Final = (Verdict.REGRESSION, Verdict.NOT_MEASURED, Verdict.INCOMPARABLE)
"""What blocks a merge unless the policy says otherwise."""

STRICT_FAIL_ON: Final = (*DEFAULT_FAIL_ON, Verdict.INCONCLUSIVE, Verdict.NO_BASELINE)
"""`strict`: everything but a pass blocks."""

WORST_FIRST: Final = (
    Verdict.REGRESSION,
    Verdict.NOT_MEASURED,
    Verdict.INCOMPARABLE,
    Verdict.INCONCLUSIVE,
    Verdict.NO_BASELINE,
    Verdict.PASS,
)

_EXITS: Final = {
    Verdict.REGRESSION: Exit.REGRESSION,
    Verdict.NOT_MEASURED: Exit.NOT_MEASURED,
    Verdict.INCOMPARABLE: Exit.NOT_MEASURED,
    Verdict.INCONCLUSIVE: Exit.UNDECIDED,
    Verdict.NO_BASELINE: Exit.UNDECIDED,
    Verdict.PASS: Exit.PASS,
}


def decide_run(
    results: Iterable[CellResult], fail_on: Collection[Verdict] | None = None
) -> tuple[Verdict, Exit]:
    """The worst verdict of a run's cells, and its exit code.

    Args:
        results: of every expected cell; none at all means that nothing was measured, which is never green.
        fail_on: the verdicts that fail the step; those outside it exit 0 while the verdict keeps them.
            None, a plain command line: every verdict has its own exit code (design.md section 2).
    """
    verdicts = sorted((r.verdict for r in results), key=WORST_FIRST.index)
    if not verdicts:
        return Verdict.NOT_MEASURED, Exit.NOT_MEASURED
    failing = [v for v in verdicts if fail_on is None or v in fail_on]
    return verdicts[0], _EXITS[failing[0]] if failing else Exit.PASS


def conclude_run(
    results: Iterable[CellResult],
    fail_on: Collection[Verdict],
    *,
    accepted: Collection[Cell] = (),
    trusted: bool = True,
) -> Conclusion:
    """The conclusion of the check run; what fails the step fails the check (design.md section 2).

    Args:
        results: of every expected cell; none at all is never green.
        fail_on: the verdicts that fail it.
        accepted: cells whose regression was accepted for this head: they hold nothing up.
        trusted: whether the numbers are attested, or a maintainer approved this head; otherwise nothing that
            contributors' own code says makes the check green.
    """
    every = list(results)
    left = [r for r in every if not (r.verdict is Verdict.REGRESSION and r.cell in accepted)]
    if not left and every:
        return "success" if trusted else "action_required"
    verdict, exit_code = decide_run(left, fail_on)
    if exit_code is not Exit.PASS:
        return "failure"
    if not trusted:
        return "action_required"
    return "success" if verdict is Verdict.PASS else "neutral"
