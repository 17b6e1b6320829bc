"""The baseline: runs accepted for a cell, as a file and pooled."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from pydantic import Field

from gate.model.calibration import Calibration
from gate.model.fields import Frozen, QuestionId
from gate.model.fingerprint import Fingerprint
from gate.model.sample import Finish

if TYPE_CHECKING:  # numpy takes longer to import than `gate --help` may take altogether
    import numpy as np
    from numpy.typing import NDArray

BASELINE_SCHEMA: Final = "vllm-eval-gate/baseline/2"


class BaselineRun(Frozen):
    """One complete fixed-size run: counts per question, never the single answers.

    Shapes: `correct` and `tokens` (mean, rounded) length Q; `invalid` sparse: question index -> count.
    """

    id: str
    stream: str
    repeats: int = Field(ge=1)
    correct: tuple[int, ...]
    invalid: dict[int, int]
    tokens: tuple[int, ...]
    finish: dict[str, int]
    provenance: dict[str, str]


class Acceptance(Frozen):
    """Who decided what about which run, when, and why.

    `act` is what was decided: to `add` the run to those that count, to begin a new `epoch` with it, or to pin
    it as the `anchor` (several ids joined by +).
    """

    run: str
    accepted_by: str
    date: str
    reason: str
    act: Literal["add", "epoch", "anchor"] = "add"


class Baseline(Frozen):
    """The content of baselines/<arch>/<config>/<backend>.json.

    `epoch` is the id of the first run that counts today, None where all do; what stands before it is only
    there because it is pinned. `anchor` are the ids of the pinned runs, against which slow drift is measured.
    """

    fingerprint: Fingerprint
    questions: tuple[QuestionId, ...]
    runs: tuple[BaselineRun, ...]
    epoch: str | None = None
    anchor: tuple[str, ...] = ()
    history: tuple[Acceptance, ...] = ()


class Anchor(NamedTuple):
    """The pinned runs, pooled: `correct` (Q,) out of `repeats` samples of each question."""

    runs: tuple[str, ...]
    correct: NDArray[np.int64]
    repeats: int


class Reference(NamedTuple):
    """The pooled baseline of one cell: what a candidate is compared with (made by `gate.baseline.pool`).

    Shapes: the arrays are (Q,), in the order of `questions`; `correct` and `invalid` count out of `repeats`
    samples of each question, `tokens` is their mean length. `finish` counts all Q x repeats samples.
    `sha256` is that of the baseline file's bytes. `anchor` is what slow drift is measured against, where
    something is pinned that the pool does not hold; `calibration` is what lies beside the file.
    `provenance` is that of the newest run that counts. `origins` has of every stored run its stream and when
    it was measured, where another harness's log says so.
    """

    questions: tuple[str, ...]
    correct: NDArray[np.int64]
    repeats: int
    invalid: NDArray[np.int64]
    tokens: NDArray[np.float64]
    finish: Mapping[Finish, int]
    sha256: str
    fingerprint: Fingerprint
    anchor: Anchor | None = None
    calibration: Calibration | None = None
    provenance: Mapping[str, str] = MappingProxyType({})
    origins: frozenset[tuple[str, str | None]] = frozenset()
