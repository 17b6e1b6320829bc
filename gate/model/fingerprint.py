"""What must be equal for two runs to be comparable."""

from __future__ import annotations

from typing import Literal

from gate.model.cell import Cell
from gate.model.fields import Frozen, Sha256


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
