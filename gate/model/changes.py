"""What changed beside the score: it describes and never decides."""

from __future__ import annotations

from pydantic import Field

from gate.model.fields import Frozen, GroupName, QuestionId


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
    finish: dict[str, Shift] = Field(default={})
