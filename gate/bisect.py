"""`gate run --bisect`: what a run tells `git bisect run`, and what has to stop it.

`git bisect run` reads an exit of 0 as good, 125 as "cannot tell, try a neighbour", every other one up to 127
as bad, and gives up above that. So the gate's own exit codes (2 for a wrong option, 4 for an engine that did
not start) would blame a commit for what it did not do.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from gate.errors import Exit, UsageError

if TYPE_CHECKING:
    from gate.fingerprint import Git
    from gate.model.result import Verdict

OPTION: Final = "--bisect"
ExitCode = str | int | None


class BisectExit(IntEnum):
    """What `git bisect run` is told."""

    GOOD = 0
    BAD = 1
    SKIP = 125
    ABORT = 128


_OF_VERDICT: Final[Mapping[str, BisectExit]] = {"pass": BisectExit.GOOD, "regression": BisectExit.BAD}
_OF_FAILURE: Final[Mapping[ExitCode, int]] = {
    Exit.USAGE: BisectExit.ABORT,
    Exit.NOT_MEASURED: BisectExit.SKIP,
}


def exit_of_verdict(verdict: Verdict) -> BisectExit:
    """What the verdict of a run says of its commit; whatever proves nothing skips it."""
    return _OF_VERDICT.get(verdict, BisectExit.SKIP)


def exit_of_failure(code: ExitCode) -> ExitCode:
    """What an exit without a verdict says: an engine that could not be asked skips its commit.

    A wrong option or file is no commit's fault, and every later step would meet it again: it aborts.
    """
    return _OF_FAILURE.get(code, code)


def commit_under_test(head_sha: str | None, git: Git) -> str:
    """`--head-sha`, or the commit that is checked out.

    A commit fixes the samples and whose journal may go on: engines that are built anew in one place look
    the same from outside, and samples of two commits must never meet in one sequence.

    Raises:
        UsageError: git knows no commit here.
    """
    commit = head_sha or git(["rev-parse", "HEAD"])
    if not commit:
        raise UsageError(
            "--bisect: git knows no commit here",
            hint="run it in the checkout that is bisected, or name the commit with --head-sha",
        )
    return commit
