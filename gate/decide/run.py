"""The verdict and the exit code of a run, from those of its cells."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from gate.errors import Exit
from gate.model import CellResult, Verdict

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
