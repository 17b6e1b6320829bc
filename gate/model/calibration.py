"""What runs of one build differ by, measured."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from gate.model.cell import Cell
from gate.model.fields import Frozen, Sha256

CALIBRATION_SCHEMA: Final = "vllm-eval-gate/calibration/1"


class CalibratedRun(Frozen):
    """One of the runs of one build that a calibration rests on."""

    id: str
    repeats: int = Field(ge=1)
    score: float


class FalseAlarms(Frozen):
    """How often a cell fails although nothing changed.

    `nominal` is what its test promises, `expected` what the runs' scatter makes of it with the tolerated loss
    that was calibrated, `untreated` without; `measured` is the share of alarms without it when each of `runs`
    runs of one build is judged against the others, in many random orders.
    """

    nominal: float
    untreated: float
    expected: float
    measured: float
    runs: int


class Calibration(Frozen):
    """The content of baselines/<arch>/<config>/<backend>.calibration.json (made by `gate calibrate`).

    `deviation`, with its 95 % interval, is what runs of one build differ by beyond sampling; `tolerated_loss`
    the d0 that undoes it for the gate of `plan`. `flip_rate`, for greedy decoding: how often two runs answer
    a question differently.
    """

    schema_: Literal["vllm-eval-gate/calibration/1"] = Field(default=CALIBRATION_SCHEMA, alias="schema")
    cell: Cell
    fingerprint_sha256: Sha256
    questions: int = Field(ge=1)
    runs: tuple[CalibratedRun, ...]
    plan: dict[str, float]
    within: float
    deviation: float = Field(ge=0)
    deviation_interval: tuple[float, float]
    tolerated_loss: float = Field(ge=0, lt=1)
    false_alarms: FalseAlarms
    flip_rate: float | None = None
    gate_version: str
