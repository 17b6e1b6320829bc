"""The single look against the anchor, at the stop: what many small accepted drops add up to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gate.decide.side import Tally
from gate.decide.words import signed_points
from gate.model.baseline import Anchor
from gate.model.result import AnchorLook
from gate.stats.sequential import Terms, single_drop


def against_anchor(tally: Tally, anchor: Anchor, terms: Terms) -> AnchorLook:
    """Test the samples that count against the pinned runs, with the error set aside for it.

    Where the sequential test stopped cannot make it alarm more often: it stops early on a pass, which
    favours samples that score high, or on a regression, which fails the cell anyway.
    """
    return drift(
        anchor._replace(correct=anchor.correct[tally.asked]),
        tally.correct,
        tally.repeats,
        tolerated_loss=terms.tolerated_loss,
        alpha=terms.alpha_anchor,
        greedy=terms.greedy,
    )


def drift(
    anchor: Anchor,
    correct: NDArray[np.int64],
    repeats: int,
    *,
    tolerated_loss: float,
    alpha: float,
    greedy: bool,
) -> AnchorLook:
    """The single test of these samples against the pinned runs.

    Args:
        anchor: counts of the questions at hand, shape (Q,).
        correct: correct answers to each of them, shape (Q,).
        repeats: samples of each.
        tolerated_loss: d0.
        alpha: error of this one test.
        greedy: whether the answers are greedy.
    """
    found = single_drop(
        anchor.correct.astype(np.float64),
        anchor.repeats,
        correct.astype(np.float64),
        repeats,
        tolerated_loss=tolerated_loss,
        greedy=greedy,
    )
    return AnchorLook(
        runs=anchor.runs,
        repeats=anchor.repeats,
        difference=float(found.difference),
        p_value=float(found.p_value),
        alpha=alpha,
    )


def drifted_words(look: AnchorLook, cell: str) -> tuple[str, str]:
    """Reason and next step of a cell that only the anchor fails."""
    return (
        f"a drop against the anchor is proven ({signed_points(look.difference)}, p = {look.p_value:.2g}), "
        "which the current baseline has already taken over",
        "see what was accepted since (`gate baseline history`); if all of it is meant, pin the new level: "
        f"`gate baseline anchor {cell}`",
    )
