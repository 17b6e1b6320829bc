"""The sections of a config that other modules take whole: gate, sampling, task, when."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, StringConstraints, model_validator

from gate.model.fields import Frozen, Sha256

TaskName = Literal["gpqa_diamond", "gsm8k", "choices", "imported"]
Harness = Literal["lm-eval", "inspect", "gpt-oss", "evalscope"]
Protocol = Literal["independent", "gpt_oss", "vllm_few_shot", "chat", Harness]
Endpoint = Literal["responses", "chat", "completions"]
Event = Literal["pull_request", "schedule", "push", "workflow_dispatch", "issue_comment", "merge_group"]
Text = Annotated[str, StringConstraints(min_length=1, pattern=r"^[^\x00]+$")]

HANG_SECONDS: Final = 360.0
"""Longer than vLLM itself waits for a step: it up after 300 s (VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS), and
then says more than can be seen from outside."""

PROTOCOLS: Final[Mapping[str, tuple[str, ...]]] = {
    "gpqa_diamond": ("independent", "gpt_oss"),
    "gsm8k": ("vllm_few_shot", "chat"),
    "choices": ("independent",),
    "imported": get_args(Harness),
}


class ProbeSettings(Frozen):
    """The `probe:` part of `gate:`: what the numerics probe asks, and what a drift means.

    `prompts` is a set that comes with the gate (docs/numerics.md) or a path; `alpha` is a probe's own error.
    """

    prompts: Text = "gpt-oss"
    alpha: float = Field(default=0.001, gt=0, lt=0.5)
    on_drift: Literal["warn", "fail"] = "warn"


class GateSettings(Frozen):
    """The `gate:` section of a config: how sure, and at what cost.

    An engine that shows no sign of life for `hang_seconds`, while requests are in flight, hangs.
    """

    margin: float = Field(default=0.03, gt=0, lt=1)
    alpha: float = Field(default=0.01, gt=0, lt=0.5)
    alpha_pass: float = Field(default=0.05, gt=0, lt=0.5)
    tolerated_loss: float = Field(default=0.0, ge=0, lt=1)
    max_repeats: int = Field(default=40, ge=1)
    max_minutes: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    hang_seconds: float = Field(default=HANG_SECONDS, gt=0, allow_inf_nan=False)
    probe: ProbeSettings = ProbeSettings()


class Sampling(Frozen):
    """How answers are drawn; every parameter is sent with every request. `top_k` 0 is off."""

    temperature: float = Field(default=1.0, ge=0, le=2, allow_inf_nan=False)
    top_p: float = Field(default=1.0, gt=0, le=1, allow_inf_nan=False)
    top_k: int = Field(default=0, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)


class ChoiceColumns(Frozen):
    """Which columns of a multiple-choice data set hold what; the defaults are GPQA's own.

    With `choices`, that column holds a JSON list of all options and `correct` the right one's letter,
    index from 0, or text; without, `correct` and `incorrect` hold one option each. `group` names the subject
    of a question, by which reports break the score down; its names are shown, so it must not hold text of
    the questions.
    """

    question: Text = "Question"
    correct: Text = "Correct Answer"
    incorrect: tuple[Text, ...] = Field(
        default=("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3"), min_length=1
    )
    choices: Text | None = None
    group: Text | None = None


class ImportedRuns(Frozen):
    """What a log of another harness cannot be asked, declared before the runs are made.

    `benchmark` is the harness's own name of it; `metric` the one that decides, where the log has several;
    `repeats` the size of a run; `guessing` the score of guessing, 0 for open answers; `conversation_date` the
    date that the model is told, `none` where it is told none; `version` the harness's, where its log does
    not say it.
    """

    benchmark: Text
    metric: Text | None = None
    repeats: int = Field(ge=1, le=1000)
    guessing: float = Field(ge=0, lt=1, allow_inf_nan=False)
    conversation_date: Annotated[str, StringConstraints(pattern=r"^(\d{4}-\d{2}-\d{2}|none)$")]
    version: Text | None = None


class TaskSettings(Frozen):
    """The benchmark: which questions, asked how. In YAML a mapping, or just the name.

    `num_questions` None asks all; `dataset` is a path, relative to where `gate` runs, or None for the
    task's own source; `gen_prefix` is what vLLM's gsm8k puts after the prompt (e.g. an empty reasoning).
    """

    name: TaskName
    protocol: Protocol = "independent"
    endpoint: Endpoint = "responses"
    num_questions: int | None = Field(default=None, ge=1)
    num_fewshot: int | None = Field(default=None, ge=0)
    dataset: Text | None = None
    dataset_sha256: Sha256 | None = None
    columns: ChoiceColumns = ChoiceColumns()
    gen_prefix: str = ""
    imported: ImportedRuns | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_task(cls, data: Any) -> Any:  # noqa: ANN401 - unvalidated YAML
        if isinstance(data, str):
            data = {"name": data}
        if not isinstance(data, dict):
            return data
        filled: dict[str, Any] = dict(data)
        if filled.get("name") == "gsm8k":
            filled.setdefault("protocol", "vllm_few_shot")
            filled.setdefault("num_fewshot", 5)
        if "protocol" in filled and filled.get("name") != "imported":
            by_protocol = {"vllm_few_shot": "completions", "chat": "chat"}
            filled.setdefault("endpoint", by_protocol.get(str(filled["protocol"]), "responses"))
        return filled

    @property
    def chance(self) -> float:
        """Accuracy of guessing: one in the number of options; 0 where the answer is open."""
        if self.imported is not None:
            return self.imported.guessing
        return 0.0 if self.name == "gsm8k" else 1 / (1 + len(self.columns.incorrect))

    @model_validator(mode="after")
    def _protocol_belongs_to_the_task(self) -> TaskSettings:
        known = PROTOCOLS[self.name]
        if self.protocol not in known:
            raise ValueError(f"the protocol of {self.name} is one of {', '.join(known)}, not {self.protocol}")
        if self.name == "choices" and self.dataset is None:
            raise ValueError("the task choices needs `dataset: PATH`")
        return self

    @model_validator(mode="after")
    def _imported_runs_are_declared(self) -> TaskSettings:
        if (self.name == "imported") != (self.imported is not None):
            raise ValueError("`name: imported` and the mapping `imported:` need each other")
        if self.imported is None:
            return self
        if "endpoint" not in self.model_fields_set:
            raise ValueError("the task imported needs `endpoint:`, the one that the harness asked")
        asks = {"num_questions", "num_fewshot", "dataset", "dataset_sha256", "gen_prefix"}
        if ours := sorted(asks & self.model_fields_set):
            raise ValueError(f"{ours[0]} is the harness's affair, not an imported task's")
        return self


class When(Frozen):
    """Which events, and changes to which paths, select a cell. Absent means every one.

    Path patterns are GitHub's: `*` stays within a folder, `**` does not, a leading `!` takes away again.
    """

    paths: tuple[Text, ...] | None = Field(default=None, min_length=1)
    events: tuple[Event, ...] | None = Field(default=None, min_length=1)

    def selects(self, event: str, changed: tuple[str, ...] | None) -> bool:
        """Whether a cell runs on `event`; `changed` None (no pull request) is not filtered by path."""
        if self.events is not None and event not in self.events:
            return False
        if self.paths is None or changed is None:
            return True
        return any(self._path_selected(path) for path in changed)

    def _path_selected(self, path: str) -> bool:
        selected = False
        for pattern in self.paths or ():
            if _glob(pattern.removeprefix("!")).fullmatch(path):
                selected = not pattern.startswith("!")
        return selected


def _glob(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/?|\*|\?)", pattern)
    translated = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(translated.get(part, re.escape(part)) for part in parts))
