"""What the numerics probe does to the verdict of a cell."""

from __future__ import annotations

from typing import Any, Final

from gate.model.probe import Numerics
from gate.model.result import CellResult, Verdict
from gate.numerics.words import numerics_line, outcome_line
from gate.settings import ProbeSettings

_OPEN: Final = (Verdict.PASS, Verdict.INCONCLUSIVE)


def with_numerics(result: CellResult, numerics: Numerics | None, settings: ProbeSettings) -> CellResult:
    """The result with what the probe says, and the verdict that follows from both.

    A drift is no drop of the score: by default it warns. Where the config declares `on_drift: fail` and the
    floor was calibrated on this arch, it is a regression. Numbers that are broken beyond doubt stop the cell
    before its score is measured, so it is never green: `regression` where drift was declared to fail, else
    `not_measured`. A verdict that is red already keeps its reason.

    Args:
        result: the score's verdict.
        numerics: None where the cell was not probed.
        settings: `gate.probe` of the config, as the base branch has it.
    """
    declared = settings.on_drift == "fail" and result.verdict in _OPEN
    if numerics is None:
        if not declared:
            return result
        why = "the config declares that a drift of the numerics fails, and they were not probed"
        return result.model_copy(update=_red(Verdict.NOT_MEASURED, why, f"store a probe: {command(result)}"))
    if numerics.state == "broken":
        update = _broken(result, numerics, fails=settings.on_drift == "fail" and numerics.calibrated)
    elif numerics.state == "unchanged":
        update = {}
    elif declared and numerics.state == "incomparable":
        update = _red(
            Verdict.INCOMPARABLE, f"{numerics_line(numerics)}; the config declares that a drift fails"
        )
    elif declared and numerics.calibrated:
        update = _red(Verdict.REGRESSION, f"{numerics_line(numerics)}; the config declares that this fails")
    elif result.verdict is Verdict.PASS:
        update = {"next_step": f"{outcome_line(result.verdict, numerics)}. {_look(result)}"}
    else:
        update = {}
    if update and "next_step" not in update:
        update["next_step"] = _look(result)
    return result.model_copy(update={"numerics": numerics, **update})


def command(result: CellResult) -> str:
    """What stores a new probe of a cell."""
    cell = result.cell
    return f"gate baseline probe configs/{cell.config}.yaml --backend {cell.backend}"


def _broken(result: CellResult, numerics: Numerics, *, fails: bool) -> dict[str, Any]:
    if result.verdict is Verdict.REGRESSION:
        return {}
    why = f"the engine's numbers are broken: {numerics.reason}; the evaluation was not started"
    verdict = Verdict.REGRESSION if fails else Verdict.NOT_MEASURED
    return _red(verdict, why, "mend the kernel, then run the cell again")


def _look(result: CellResult) -> str:
    return f"Look at the kernel; if the change is meant, renew the probe: {command(result)}"


def _red(verdict: Verdict, reason: str, step: str | None = None) -> dict[str, Any]:
    return {"verdict": verdict, "reason": reason} | ({} if step is None else {"next_step": step})
