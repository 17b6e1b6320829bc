"""How the reasons of a verdict write their numbers."""

from __future__ import annotations


def points(share: float) -> str:
    """A share as points: .031 -> '3.1 points'."""
    return f"{100 * share:.1f} points"


def signed_points(share: float) -> str:
    """A difference as points with its sign: -.031 -> '-3.1 points'."""
    return f"{100 * share:+.1f} points"


def count(number: int, noun: str) -> str:
    """A number and its noun: (1, 'sample') -> '1 sample', (1200, 'sample') -> '1,200 samples'."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
