"""The verdict of a cell and of a run, and everything a report says about them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Literal

from pydantic import Field

from gate.model.calibration import FalseAlarms
from gate.model.cell import Cell
from gate.model.changes import Changes
from gate.model.evidence import Evidence, EvidenceCheck
from gate.model.fields import Frozen
from gate.model.probe import Numerics
from gate.model.record import Restart

REPORT_SCHEMA: Final = "vllm-eval-gate/report/1"


class Verdict(StrEnum):
    """The verdict of a cell (design.md section 2)."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    REGRESSION = "regression"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURED = "not_measured"
    INCOMPARABLE = "incomparable"
    NO_BASELINE = "no_baseline"


class AnchorLook(Frozen):
    """The single look at a cell against its anchor: a drop is proven where `p_value` <= `alpha`."""

    runs: tuple[str, ...]
    repeats: int
    difference: float
    p_value: float
    alpha: float

    @property
    def dropped(self) -> bool:
        """Whether a drop against the anchor is proven."""
        return self.p_value <= self.alpha


class Look(Frozen):
    """One look at complete blocks: statistics and the boundaries they were held against."""

    samples: int
    repeats: int
    information: float
    difference: float
    z_regression: float
    boundary_regression: float
    z_pass: float | None
    boundary_pass: float


class CellResult(Frozen):
    """The verdict of a cell and everything a report says about it.

    `from_record` is the date of the earlier run whose record was taken; None where the cell was measured now.
    """

    cell: Cell
    verdict: Verdict
    reason: str
    notes: tuple[str, ...] = ()
    from_record: str | None = None
    score: float | None = None
    baseline_score: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    p_value: float | None = None
    margin: float | None = None
    detectable_drop: float | None = None
    samples_used: int = 0
    samples_generated: int = 0
    samples_budget: int = 0
    seconds: float = 0.0
    gpu_minutes: float = 0.0
    invalid_rate: float | None = None
    looks: tuple[Look, ...] = ()
    anchor: AnchorLook | None = None
    tolerated_loss: float = 0.0
    false_alarms: FalseAlarms | None = None
    threshold: float | None = None
    old_rule_minimum: float | None = None
    old_rule_passes: bool | None = None
    evidence: Evidence = Evidence()
    evidence_checks: tuple[EvidenceCheck, ...] = ()
    fingerprint_differences: dict[str, tuple[str, str]] = Field(default={})
    restarts: tuple[Restart, ...] = ()
    declared: tuple[str, ...] = ()
    numerics: Numerics | None = None
    changes: Changes | None = None
    provenance_differences: dict[str, tuple[str, str]] = Field(default={})
    next_step: str = ""


class GateReport(Frozen):
    """All cells of a run, worst first, and the verdict of the whole."""

    schema_: Literal["vllm-eval-gate/report/1"] = Field(default=REPORT_SCHEMA, alias="schema")
    gate_version: str
    created: str
    commit: str | None
    verdict: Verdict
    exit_code: int
    fail_on: tuple[Verdict, ...]
    family_size: int
    alpha: float
    cells: tuple[CellResult, ...]
