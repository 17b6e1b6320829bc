"""What the probe says, in one line: the same in a note, a report and a log. Pure."""

from __future__ import annotations

from gate.model.probe import Numerics
from gate.model.result import Verdict


def numerics_line(numerics: Numerics) -> str:
    """State, drift in units of the noise floor, p, and which prompts moved most."""
    if numerics.state == "incomparable":
        return f"numerics not compared: {numerics.reason}"
    if numerics.state == "broken":
        return f"numerics broken: {numerics.reason}{_worst(numerics)}"
    said = f"{_times(numerics)} the noise floor ({_p(numerics)})"
    if numerics.state == "unchanged":
        return f"numerics unchanged: {said}"
    uncalibrated = "" if numerics.calibrated else "; the floor is not calibrated on this arch"
    where = f"a few prompts ({numerics.path})" if numerics.few else numerics.path
    return f"numerics changed in {where}: {said}{_worst(numerics)}{_tokens(numerics)}{uncalibrated}"


def outcome_line(verdict: Verdict, numerics: Numerics) -> str:
    """`numerics_line` beside the score's verdict: where only the numbers moved, it says so."""
    line = numerics_line(numerics)
    return f"score unchanged, {line}" if verdict is Verdict.PASS and numerics.state == "changed" else line


def _times(numerics: Numerics) -> str:
    times = numerics.times or 0.0
    return f"{times:,.0f} times" if times >= 10 else f"{times:.1f} times"  # noqa: PLR2004 - two digits


def _p(numerics: Numerics) -> str:
    p = 1.0 if numerics.p_value is None else numerics.p_value
    return "p ≤ 1e-11" if p <= 1e-11 else f"p = {p:.2g}"  # noqa: PLR2004 - four times the least that is told


def _worst(numerics: Numerics) -> str:
    if not numerics.worst:
        return ""
    return f"; worst prompts {', '.join(map(str, numerics.worst))}"


def _tokens(numerics: Numerics) -> str:
    return f"; another token is the likeliest at {numerics.flips} of {numerics.positions:,} positions"
