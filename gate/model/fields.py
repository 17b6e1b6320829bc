"""What every record is made of: the frozen model, and the strings that its fields may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

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
