"""Which workflow a command starts, and what it tells it.

The inputs are a contract with the workflows that users copy (examples/workflows/): all of them are strings,
`cells` a JSON list of arch/config/backend.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from gate.github.client import Hub
from gate.model.cell import Cell

MOST_CELLS_TEXT: Final = 60_000
"""GitHub takes 65,535 characters of inputs in all."""


@dataclass(frozen=True)
class Workflows:
    """File names of the workflows that measure, below .github/workflows of the default branch."""

    rerun: str = "gate.yml"
    refresh: str = "gate-baseline.yml"


@dataclass(frozen=True)
class Order:
    """What is to be measured: these cells of exactly this head.

    Args:
        pull: number of the pull request.
        head_sha: its head, checked again by whoever measures.
        cells: which.
        requested_by: who asked, with write access.
        reason: why, for a refresh.
    """

    pull: int
    head_sha: str
    cells: tuple[Cell, ...]
    requested_by: str
    reason: str = ""

    def inputs(self) -> dict[str, str]:
        """The inputs of the workflow."""
        return {
            "pull-request": str(self.pull),
            "head-sha": self.head_sha,
            "cells": json.dumps([str(cell) for cell in self.cells], separators=(",", ":")),
            "requested-by": self.requested_by,
            "reason": self.reason,
        }


def dispatch(hub: Hub, workflow: str, order: Order, require_head: Callable[[], object]) -> None:
    """Start a workflow of the default branch, if the head is still the one that was meant.

    Raises:
        HeadMovedError: it is not.
        GithubException: there is no such workflow, or the token may not start it.
    """
    branch = hub.repository.default_branch
    started = hub.repository.get_workflow(workflow)

    def send() -> None:
        require_head()
        started.create_dispatch(branch, order.inputs(), throw=True)

    hub.write(send)


def fits(cells: Sequence[Cell]) -> bool:
    """Whether so many cells can be told in one dispatch."""
    return sum(len(str(cell)) + 3 for cell in cells) <= MOST_CELLS_TEXT
