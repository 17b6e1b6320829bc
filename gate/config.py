"""Configs and lists: the files in configs/ (design.md section 4), a superset of vLLM's own formats."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from gate.config_values import (
    EXPECT_KEYS,
    FALLBACKS,
    Effort,
    Env,
    Expect,
    Fallbacks,
    Fraction,
    Revision,
    Seconds,
    ServerArgs,
    Unproven,
)
from gate.document import Document, Value, parse_document, read_text
from gate.errors import ConfigError
from gate.model.fields import Frozen, Name
from gate.problems import SAID_TWICE, config_error, did_you_mean
from gate.server_args import Option, parse
from gate.settings import ChoiceColumns, GateSettings, Sampling, TaskName, TaskSettings, Text, When

__all__ = [
    "EXPECT_KEYS",
    "FALLBACKS",
    "UPSTREAM_KEYS",
    "BackendSettings",
    "ChoiceColumns",
    "Config",
    "GateSettings",
    "LoadedConfig",
    "Sampling",
    "TaskSettings",
    "When",
    "json_schema",
    "load_config",
    "load_list",
    "load_located",
    "parse_config",
]

UPSTREAM_KEYS: Final = frozenset(
    {
        *("model_name", "metric_threshold", "reasoning_effort", "server_args", "env", "max_tokens"),
        *("startup_max_wait_seconds", "accuracy_threshold", "num_questions", "num_fewshot", "tolerance"),
        *("temperature", "seed", "gen_prefix", "use_chat_completions", "max_concurrency"),
        *("request_timeout_seconds", "rocm_request_timeout_seconds", "min_acceptance_length"),
        "startup_rpc_checks",
    }
)
"""Keys of vLLM's tests/evals/{gpt_oss,gsm8k}/configs; a file with no other gets the `vllm-eval` preset."""

# Numbers under these keys keep the text of the file: `010` and `1.0` reach the engine as written.
_TEXT_UNDER: Final = frozenset({"env", "expect"})


TASK_KEYS: Final = frozenset({"num_questions", "num_fewshot", "gen_prefix"})
GSM8K_KEYS: Final = TASK_KEYS | {"accuracy_threshold", "use_chat_completions"}
SAMPLING_KEYS: Final = frozenset({"max_tokens", "temperature"})
"""What vLLM's formats have at the top and ours under `task:` and `sampling:`; what tells its gsm8k format."""


def _said_twice(key: str, other: str) -> PydanticCustomError:
    return PydanticCustomError(
        SAID_TWICE, "is the same thing as {other}: keep one", {"key": key, "other": other}
    )


class BackendSettings(Frozen):
    """One entry of `backends:`, merged over the config's own settings; None in env or expect unsets."""

    server_args: ServerArgs = ""
    env: Env = Field(default_factory=dict)
    expect: Expect = Field(default_factory=dict)
    allow_fallback: Fallbacks | None = None

    @property
    def options(self) -> tuple[Option, ...]:
        """`server_args` as options."""
        return parse(self.server_args)


class Config(Frozen):
    """A config as its file says it; `gate.cells` resolves it into cells."""

    model_name: Text
    model_revision: Revision | None = None
    metric_threshold: Fraction | None = None
    accuracy_threshold: Fraction | None = None
    tolerance: Fraction | None = None
    reasoning_effort: Effort | None = None
    num_questions: int | None = Field(default=None, ge=1)
    num_fewshot: int | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=10, allow_inf_nan=False)
    seed: int | None = None
    gen_prefix: str = ""
    use_chat_completions: bool = False
    max_concurrency: int | None = Field(default=None, ge=1)
    request_timeout_seconds: Seconds | None = None
    rocm_request_timeout_seconds: Seconds | None = None
    min_acceptance_length: float | None = Field(default=None, ge=1, allow_inf_nan=False)
    startup_rpc_checks: tuple[Text, ...] = ()
    startup_max_wait_seconds: Seconds | None = None
    server_args: ServerArgs = ""
    env: Env = Field(default_factory=dict)
    task: TaskSettings | None = None
    sampling: Sampling | None = None
    gate: GateSettings = GateSettings()
    expect: Expect = Field(default_factory=dict)
    allow_fallback: Fallbacks = ()
    accept_unproven: Unproven = ()
    trust_remote_code: bool = False
    when: When | None = None
    backends: dict[Name, BackendSettings] = Field(default_factory=dict, min_length=1)

    @model_validator(mode="after")
    def _says_each_thing_once(self) -> Config:
        if self.accuracy_threshold is not None and self.metric_threshold is not None:
            raise _said_twice("accuracy_threshold", "metric_threshold")
        for section, keys in (("sampling", SAMPLING_KEYS), ("task", TASK_KEYS)):
            written = getattr(self, section)
            for key in sorted(self.model_fields_set & keys):
                if written is not None and key in written.model_fields_set:
                    raise _said_twice(key, f"{section}.{key}")
        if self.use_chat_completions and self.task is not None:
            raise _said_twice("use_chat_completions", "task.protocol")
        return self

    @property
    def options(self) -> tuple[Option, ...]:
        """`server_args` as options."""
        return parse(self.server_args)

    @property
    def launch_preset(self) -> Literal["plain", "vllm-eval", "vllm-eval-gsm8k"]:
        """What vLLM's own runner of this format appends, for a file with vLLM's keys only."""
        if not self.model_fields_set <= UPSTREAM_KEYS:
            return "plain"
        return "vllm-eval-gsm8k" if self.resolved_task().name == "gsm8k" else "vllm-eval"

    @property
    def threshold(self) -> float | None:
        """The old rule's floor, before its tolerance is taken off."""
        return self.accuracy_threshold if self.metric_threshold is None else self.metric_threshold

    def resolved_task(self) -> TaskSettings:
        """The task, from `task:` or from which of vLLM's two formats this is."""
        given = self._written(TASK_KEYS)
        if self.task is not None:
            given |= self.task.model_dump(exclude_unset=True)
        elif self.metric_threshold is None and GSM8K_KEYS & self.model_fields_set:
            given |= {"name": "gsm8k", "protocol": "chat" if self.use_chat_completions else "vllm_few_shot"}
        else:
            given |= {"name": "gpqa_diamond"}
        return TaskSettings.model_validate(given)

    def resolved_sampling(self) -> Sampling:
        """The sampling; vLLM's gsm8k decodes greedily, 256 tokens, unless the config says else."""
        own_format = self.task is None and self.resolved_task().name == "gsm8k"
        few_shot = own_format or self.resolved_task().protocol == "vllm_few_shot"
        given: dict[str, Any] = {"temperature": 0.0, "max_tokens": 256} if few_shot else {}
        given |= self._written(SAMPLING_KEYS)
        if self.sampling is not None:
            given |= self.sampling.model_dump(exclude_unset=True)
        return Sampling.model_validate(given)

    def _written(self, keys: frozenset[str]) -> dict[str, Any]:
        values = {key: getattr(self, key) for key in keys & self.model_fields_set}
        return {key: value for key, value in values.items() if value is not None}


class LoadedConfig(NamedTuple):
    """A config with the document it came from, for problems that only show when it is merged."""

    config: Config
    document: Document


def load_config(path: Path) -> Config:
    """Read one config file.

    Raises:
        ConfigError: with file, line and, for a misspelt key, a suggestion.
    """
    return load_located(path).config


def load_located(path: Path) -> LoadedConfig:
    """`load_config`, with the lines of the file."""
    if not re.fullmatch(get_args(Name)[1].pattern, path.stem):
        raise ConfigError(
            f"{path.stem!r} cannot be a config id",
            where=path.as_posix(),
            hint="The file's name is the config's id: letters, digits, '_', '.', '+', '-', at most 100.",
        )
    return parse_config(read_text(path), path.as_posix())


def parse_config(text: str, source: str) -> LoadedConfig:
    """Read a config from its text.

    Raises:
        ConfigError: the first problem in file order; it counts the others.
    """
    document = parse_document(text, source, text_under=_TEXT_UNDER)
    values = {key: value for key, value in document.values.items() if not _means_absent(key, value)}
    try:
        config = Config.model_validate(values, strict=True)
    except ValidationError as error:
        raise config_error(error, document, Config) from error
    return LoadedConfig(config, document)


def load_list(path: Path) -> tuple[Path, ...]:
    """The config files that a list names: one file name a line, relative to the list, `#` comments.

    Raises:
        ConfigError: an empty list, a name that stands twice, or a file that is not there (with its line).
    """
    found: dict[Path, int] = {}
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        name = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if not name:
            continue
        where = f"{path.as_posix()}:{number}"
        file = path.parent / name
        if file in found:
            raise ConfigError(
                f"{name!r} stands twice, first in line {found[file]}",
                where=where,
                hint="remove one of the two lines",
            )
        if not file.is_file():
            others = (other.name for other in path.parent.glob("*.yaml"))
            hint = did_you_mean(name, others) or f"Files are looked up in {path.parent.as_posix()}/."
            raise ConfigError(f"names {name!r}, which is not there", where=where, hint=hint)
        found[file] = number
    if not found:
        raise ConfigError(
            "names no config", where=path.as_posix(), hint="Write one config file name a line, e.g. x.yaml."
        )
    return tuple(found)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a config, for editors and `gate config schema`."""
    schema = Config.model_json_schema()
    task = schema["$defs"]["TaskSettings"]
    schema["$defs"]["TaskSettings"] = {"anyOf": [{"enum": list(get_args(TaskName))}, task]}
    for section in (schema, schema["$defs"]["BackendSettings"]):
        section["properties"]["expect"]["propertyNames"] = {"enum": sorted(EXPECT_KEYS)}
        section["properties"]["env"] |= {"type": ["object", "null"], "additionalProperties": False}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "vllm-eval-gate config"}
    return {**schema, **head}


def _means_absent(key: str, value: Value) -> bool:
    """VLLM's files may leave `server_args:` or `env:` empty."""
    return value is None and key in {"server_args", "env"}
