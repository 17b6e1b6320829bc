"""Configs, lists and runners: the files in configs/ (design.md section 4)."""

from __future__ import annotations

from pydantic import Field

from gate.model import Frozen


class GateSettings(Frozen):
    """The `gate:` section of a config: how sure, and at what cost."""

    margin: float = Field(default=0.03, gt=0, lt=1)
    alpha: float = Field(default=0.01, gt=0, lt=0.5)
    alpha_pass: float = Field(default=0.05, gt=0, lt=0.5)
    tolerated_loss: float = Field(default=0.0, ge=0, lt=1)
    max_repeats: int = Field(default=40, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)
