"""The records that flow: cell, sample, run record, baseline, look, cell result, report.

Everything that is written to a file or crosses a process is a frozen pydantic model here; what is only
passed between functions is a NamedTuple. Formats: design.md section 5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

if TYPE_CHECKING:  # numpy takes longer to import than `gate --help` may take altogether
    import numpy as np
    from numpy.typing import NDArray

RECORD_SCHEMA: Final = "vllm-eval-gate/run-record/1"
CONFIRMATION_REPEATS: Final = 16
BASELINE_SCHEMA: Final = "vllm-eval-gate/baseline/2"
CALIBRATION_SCHEMA: Final = "vllm-eval-gate/calibration/1"
GROUP_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
REPORT_SCHEMA: Final = "vllm-eval-gate/report/1"

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,99}$")]
QuestionId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
OutcomeString = Annotated[str, StringConstraints(pattern=r"^[10x.]*$")]
CompleteString = Annotated[str, StringConstraints(pattern=r"^[10x]*$")]
PackedRows = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]*={0,2}$", max_length=100_000)]
GroupName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:+/-]{1,64}$")]
FinishString = Annotated[str, StringConstraints(pattern=r"^[slrto.]*$")]


class Frozen(BaseModel):
    """A record that does not change and accepts no key it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Cell(Frozen):
    """(arch, config, backend): the unit that is measured and gets a verdict."""

    arch: Name
    config: Name
    backend: Name

    def __str__(self) -> str:
        return f"{self.arch}/{self.config}/{self.backend}"

    @property
    def file_stem(self) -> str:
        """`arch__config__backend`: what its files and artifacts are called, and no other cell's.

        Names may hold `__` or end in `_`: where the three could be read off differently, digits of a hash
        follow.
        """
        parts = [self.arch, self.config, self.backend]
        stem = "__".join(parts)
        return stem if stem.split("__") == parts else f"{stem}__{sha256_of(parts)[:12]}"


class Outcome(StrEnum):
    """What became of one sample, as one character of a run record."""

    CORRECT = "1"
    WRONG = "0"
    INVALID = "x"
    NOT_ASKED = "."


class Finish(StrEnum):
    """Why the engine stopped, as one character of a run record."""

    STOP = "s"
    LENGTH = "l"
    REPETITION = "r"
    TIMEOUT = "t"
    OTHER = "o"
    NOT_ASKED = "."


class Sample(NamedTuple):
    """One graded answer; never its text."""

    question: str
    repeat: int
    outcome: Outcome
    tokens: int
    finish: Finish


class Verdict(StrEnum):
    """The verdict of a cell (design.md section 2)."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    REGRESSION = "regression"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURED = "not_measured"
    INCOMPARABLE = "incomparable"
    NO_BASELINE = "no_baseline"


class Fingerprint(Frozen):
    """What must be equal for two runs to be comparable; every field is compared by name."""

    cell: Cell
    task: str
    protocol: str
    endpoint: Literal["responses", "chat", "completions"]
    dataset_sha256: Sha256
    questions_sha256: Sha256
    prompt_sha256: Sha256
    grader: str
    model: str
    model_revision: str
    temperature: float
    top_p: float
    top_k: int
    max_tokens: int
    max_model_len: int | None
    reasoning_effort: str | None
    conversation_date: str | None
    launch_preset: str

    def differences(self, other: Fingerprint) -> dict[str, tuple[str, str]]:
        """Fields that differ: name -> (self's value, other's value)."""
        mine, theirs = self.model_dump(mode="json"), other.model_dump(mode="json")
        return {k: (str(mine[k]), str(theirs[k])) for k in mine if mine[k] != theirs[k]}


class Evidence(Frozen):
    """What ran, as the engine itself reported it.

    `facts` keys are those of `expect` in a config (moe, experts, scheme, activation, attention,
    kv_cache_dtype, tp, ...) plus engine_version; `fallbacks` names what the engine gave up on.
    """

    facts: dict[str, str] = {}
    fallbacks: tuple[str, ...] = ()
    source: Literal["log", "server_info", "log+server_info", "none"] = "none"


class Failure(Frozen):
    """Why a cell could not be measured."""

    kind: Literal["engine", "evidence", "requests", "cancelled", "resume", "storage", "numerics"]
    message: str
    hint: str | None = None


class Restart(Frozen):
    """The engine was lost, started again, and asked on: after how many samples and seconds, and why."""

    samples: int = Field(ge=0)
    seconds: float = Field(ge=0)
    reason: str


class Confirmation(Frozen):
    """Fresh repeats of the base build on the same machine, asked after a regression; never in the store.

    Shapes: `outcomes` one string a repeat, each of length Q in the order of the record's questions, every
    one asked; empty where the base build could not be measured and `failure` says why.
    """

    stream: str
    outcomes: tuple[CompleteString, ...]
    evidence: Evidence
    provenance: dict[str, str]
    seconds: float = Field(ge=0)
    failure: Failure | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Confirmation:
        wanted = 0 if self.failure else CONFIRMATION_REPEATS
        if len(self.outcomes) != wanted:
            raise ValueError(f"a confirmation has {len(self.outcomes)} repeats, not {wanted}")
        return self


class ProbeFingerprint(Frozen):
    """What must be equal for the numbers of two probes to be comparable.

    `prompts_sha256` is of the prompts' token ids. `instruction_set` names what a CPU multiplies with, which
    rounds differently from one CPU to the next; on a GPU the cell's arch says it, and this is `gpu`.
    """

    cell: Cell
    model: str
    model_revision: str
    prompts: str
    prompts_sha256: Sha256
    instruction_set: str


class Probe(Frozen):
    """What an engine said about the fixed prompts: one entry a prompt, packed by `gate.numerics.codec`.

    `prefill` holds the last positions of each prompt, `decode` those of its greedy continuation.
    """

    fingerprint: ProbeFingerprint
    prefill: tuple[PackedRows, ...]
    decode: tuple[PackedRows, ...]
    seconds: float = Field(ge=0)


class QuestionGroups(Frozen):
    """Which group of the data set (a subject, a domain) each question is of: names only, never its text.

    Shape: `of` has a character for each of Q questions: the group's place in the alphabet, `.` for none.
    """

    names: tuple[GroupName, ...] = Field(min_length=1, max_length=len(GROUP_LETTERS))
    of: Annotated[str, StringConstraints(pattern=r"^[A-Za-z.]*$")]

    @model_validator(mode="after")
    def _names_each(self) -> QuestionGroups:
        if unknown := set(self.of) - {".", *GROUP_LETTERS[: len(self.names)]}:
            raise ValueError(f"no group has the letter {min(unknown)!r}")
        return self


class RunRecord(Frozen):
    """Everything one measurement of one cell produced; `decide` recomputes every look from it.

    Shapes: `questions` Q ids, ascending; `outcomes`, `tokens` and `finish` one entry a repeat, each of
    length Q in the order of `questions`. `generated` counts what the engine produced, cancelled included.
    `anchor` are the baseline's pinned runs, for which a part of `alpha` is set aside.
    """

    schema_: Literal["vllm-eval-gate/run-record/1"] = Field(default=RECORD_SCHEMA, alias="schema")
    purpose: Literal["gate", "baseline"]
    cell: Cell
    family_size: int = Field(ge=1)
    alpha: float = Field(gt=0, lt=0.5)
    alpha_pass: float = Field(gt=0, lt=0.5)
    margin: float = Field(gt=0, lt=1)
    tolerated_loss: float = Field(ge=0, lt=1)
    baseline_repeats: int = Field(ge=0)
    max_repeats: int = Field(ge=1)
    baseline_sha256: Sha256 | None
    anchor: tuple[str, ...] = ()
    question_order_seed: str
    stream: str
    fingerprint: Fingerprint
    provenance: dict[str, str]
    evidence: Evidence
    questions: tuple[QuestionId, ...]
    groups: QuestionGroups | None = None
    look_at: tuple[int, ...]
    outcomes: tuple[OutcomeString, ...]
    tokens: tuple[tuple[int, ...], ...]
    finish: tuple[FinishString, ...]
    generated: int = Field(ge=0)
    seconds: float = Field(ge=0)
    gpus: int = Field(ge=0, default=0)
    threshold: float | None = None
    probe: Probe | None = None
    failure: Failure | None = None
    restarts: tuple[Restart, ...] = ()
    confirmation: Confirmation | None = None

    @model_validator(mode="after")
    def _shapes_agree(self) -> RunRecord:
        q = len(self.questions)
        if list(self.questions) != sorted(set(self.questions)):
            raise ValueError("questions must be unique and ascending")
        if not len(self.outcomes) == len(self.tokens) == len(self.finish):
            raise ValueError("outcomes, tokens and finish must have one entry a repeat")
        if len(self.outcomes) > self.max_repeats:
            raise ValueError(f"{len(self.outcomes)} repeats, but at most {self.max_repeats} were declared")
        if self.groups is not None and len(self.groups.of) != q:
            raise ValueError(f"groups are given for {len(self.groups.of)} of {q} questions")
        fresh = self.confirmation.outcomes if self.confirmation else ()
        for row in (*self.outcomes, *self.tokens, *self.finish, *fresh):
            if len(row) != q:
                raise ValueError(f"a repeat has {len(row)} entries, but there are {q} questions")
        return self


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


class EvidenceCheck(Frozen):
    """One `expect` key against what the engine reported.

    `accepted`: nothing confirms it, and whoever asked for the verdict accepted that (`--accept-unproven`).
    """

    fact: str
    expected: str
    found: str | None
    ok: bool
    accepted: bool = False


class Numerics(Frozen):
    """What the numerics probe says about a cell.

    `state` is what it comes to: `unchanged` within the noise floor, `changed` beyond it, `broken` (not
    numbers, or far past anything healthy), `incomparable` where the fingerprints differ. `times` and
    `p_value` are those of the most telling of eight tests, `path` says where, `few` that a few prompts moved
    rather than most; `p_value` is eight times that test's. `shift` is the mean |difference of a
    log-probability| in nats, `worst` the prompts that moved most, `flips` the positions out of `positions`
    where another token is the likeliest, `agreement` the share of listed tokens that both list.
    `calibrated`: the floor rests on enough healthy runs for a drift to fail a cell.
    """

    state: Literal["unchanged", "changed", "broken", "incomparable"]
    calibrated: bool = False
    times: float | None = None
    p_value: float | None = None
    path: Literal["prefill", "decode"] | None = None
    few: bool = False
    shift: float | None = None
    worst: tuple[int, ...] = ()
    agreement: float | None = None
    flips: int = 0
    positions: int = 0
    seconds: float = 0.0
    differences: dict[str, tuple[str, str]] = {}
    reason: str = ""


class Shift(Frozen):
    """A rate or a mean in the baseline and in the run; `p_value` is of one look, None without a test."""

    before: float
    after: float
    p_value: float | None = None


class GroupChange(Frozen):
    """The score of a group of questions, beside the baseline's; `error` is the difference's standard error.

    It describes: what is looked at in many groups has a large difference in some of them by chance.
    """

    name: GroupName
    questions: int
    before: float
    after: float
    error: float


class QuestionChange(Frozen):
    """How often one question was answered right; `broken`: chance does that in one run of a thousand."""

    question: QuestionId
    before: float
    after: float
    broken: bool


class Changes(Frozen):
    """What changed beside the score, over the samples that count. It describes and never decides.

    `lost` and `gained` count the questions whose majority went from right to wrong, or the other way;
    `questions` names the broken ones and then those that moved most. `finish` has a share of all samples for
    each reason that occurs, once every question was asked. `tokens` is the mean length of an answer.
    """

    lost: int = Field(ge=0)
    gained: int = Field(ge=0)
    questions: tuple[QuestionChange, ...] = ()
    groups: tuple[GroupChange, ...] = ()
    invalid: Shift
    tokens: Shift | None = None
    finish: dict[str, Shift] = {}


class CellResult(Frozen):
    """The verdict of a cell and everything a report says about it."""

    cell: Cell
    verdict: Verdict
    reason: str
    notes: tuple[str, ...] = ()
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
    fingerprint_differences: dict[str, tuple[str, str]] = {}
    restarts: tuple[Restart, ...] = ()
    declared: tuple[str, ...] = ()
    numerics: Numerics | None = None
    changes: Changes | None = None
    provenance_differences: dict[str, tuple[str, str]] = {}
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


def canonical_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """The one JSON text of a value: keys sorted, no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sha256_of(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """SHA-256 in hex of `canonical_json(value)`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
