"""After a regression: the base build, on the same machine, asked the same questions again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from gate.model.record import Confirmation, RunRecord
from gate.outputs import Outputs
from gate.plan import Plan
from gate.report.progress import Progress
from gate.serving.launch import Launcher
from gate.serving.remote import RemoteServer

Ask = Callable[[Plan, Launcher | RemoteServer, Outputs], Awaitable[RunRecord]]


class BaseBuild(NamedTuple):
    """What is asked of the base build, and how its engine is started."""

    plan: Plan
    launcher: Launcher | RemoteServer

    def asked_for(self, record: RunRecord) -> bool:
        """Whether the record has this confirmation already."""
        fresh = record.confirmation
        return fresh is not None and fresh.failure is None and fresh.sequence == self.plan.sequence


async def confirm(base: BaseBuild, ask: Ask, outputs: Outputs, progress: Progress) -> Confirmation:
    """Measure the base build; what goes wrong there is told in the confirmation, never raised.

    Its journal and log lie apart, below `confirmation`, and what an earlier run left there is not used:
    the repeats are fresh.
    """
    plan, apart = base.plan, Outputs(outputs.root / "confirmation")
    apart.journal(plan.spec.cell).unlink(missing_ok=True)
    progress.cell_started(plan.spec.cell, plan.max_repeats * len(plan.task.questions))
    progress.engine_line("gate: WARNING a drop was found; the base build is asked to confirm it")
    record = await ask(plan, base.launcher, apart)
    return Confirmation(
        stream=record.stream,
        outcomes=() if record.failure else record.outcomes,
        evidence=record.evidence,
        provenance=record.provenance,
        seconds=record.seconds,
        failure=record.failure,
        sequence=record.sequence,
    )
