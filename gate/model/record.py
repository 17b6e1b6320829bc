"""The run record: everything that one measurement of one cell produced."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, StringConstraints, model_validator

from gate.model.cell import Cell
from gate.model.evidence import Evidence
from gate.model.fields import (
    CompleteString,
    FinishString,
    Frozen,
    GroupName,
    OutcomeString,
    QuestionId,
    Sha256,
)
from gate.model.fingerprint import Fingerprint
from gate.model.probe import Probe

RECORD_SCHEMA: Final = "vllm-eval-gate/run-record/1"
CONFIRMATION_REPEATS: Final = 16
GROUP_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


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
    one asked; empty where the base build could not be measured and `failure` says why. `sequence` as in
    `RunRecord`.
    """

    stream: str
    outcomes: tuple[CompleteString, ...]
    evidence: Evidence
    provenance: dict[str, str]
    seconds: float = Field(ge=0)
    failure: Failure | None = None
    sequence: Sha256 | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Confirmation:
        wanted = 0 if self.failure else CONFIRMATION_REPEATS
        if len(self.outcomes) != wanted:
            raise ValueError(f"a confirmation has {len(self.outcomes)} repeats, not {wanted}")
        return self


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
    `anchor` are the baseline's pinned runs, for which a part of `alpha` is set aside. `sequence` is that
    of the plan (`Plan.sequence`): a rerun takes this record only where it plans the same.
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
    sequence: Sha256 | None = None
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
