"""Under which name an engine serves, and which date it tells the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gate.serving.environment import CONVERSATION_DATE, CONVERSATION_DATE_VARIABLE

if TYPE_CHECKING:
    from gate.cells import CellSpec

SERVED_MODEL: Final = "model-under-test"


@dataclass(frozen=True)
class Served:
    """How the engine serves: the model's name for requests, and the date that the model is told."""

    model: str = SERVED_MODEL
    conversation_date: str | None = CONVERSATION_DATE
    by_config: bool = True

    def date(self, spec: CellSpec) -> str | None:
        """The date for the fingerprint; a config's own variable counts only where the gate sets it."""
        declared = self.conversation_date
        return spec.env.get(CONVERSATION_DATE_VARIABLE, declared) if self.by_config else declared


BY_THE_GATE: Final = Served()
