"""How the reasons of a verdict write their numbers."""

from __future__ import annotations

from collections.abc import Sequence

from gate.model.evidence import EvidenceCheck


def points(share: float) -> str:
    """A share as points: .031 -> '3.1 points'."""
    return f"{100 * share:.1f} points"


def signed_points(share: float) -> str:
    """A difference as points with its sign: -.031 -> '-3.1 points'."""
    return f"{100 * share:+.1f} points"


def count(number: int, noun: str) -> str:
    """A number and its noun: (1, 'sample') -> '1 sample', (1200, 'sample') -> '1,200 samples'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def something_else_ran(failed: Sequence[EvidenceCheck]) -> str:
    """Each expectation that the engine did not confirm, and what it reported instead."""
    found = "; ".join(
        f"{c.fact}: expected {c.expected}, the engine reported {c.found or 'nothing'}" for c in failed
    )
    return f"something else ran ({found})"
