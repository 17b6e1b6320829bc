"""The fixed prompts of a probe: token ids, never text, so that no tokenizer can change what is asked."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError, model_validator

from gate.errors import ConfigError
from gate.files import invalid_field, parse_json, read_bytes
from gate.model.canonical import sha256_of
from gate.model.fields import Frozen
from gate.numerics.codec import MAX_ID
from gate.stats.drift import FEWEST_PROMPTS

SHIPPED: Final = ("gpt-oss", "tiny-gpt-oss")
SIZE_LIMIT: Final = 4_000_000


class ProbePrompt(Frozen):
    """Token ids, scored as they stand, and continued greedily from `continue_at` on.

    `source` says where the text is from: it is in the public domain or was generated.
    """

    source: str
    ids: tuple[int, ...] = Field(min_length=2)
    continue_at: int = Field(ge=1)

    @model_validator(mode="after")
    def _is_whole(self) -> ProbePrompt:
        if self.continue_at > len(self.ids):
            raise ValueError(f"continue_at is {self.continue_at}, but there are {len(self.ids)} ids")
        if min(self.ids) < 0 or max(self.ids) > MAX_ID:
            raise ValueError(f"an id lies outside 0 to {MAX_ID}")
        return self


class PromptSet(Frozen):
    """Prompts for the models of one vocabulary.

    `scored`: how many of each prompt's last positions are kept; `continuation`: how many tokens are decoded.
    """

    schema_: Literal["vllm-eval-gate/probe-prompts/1"] = Field(alias="schema")
    name: str
    vocabulary: str
    scored: int = Field(ge=1, le=500)
    continuation: int = Field(ge=2, le=500)
    prompts: tuple[ProbePrompt, ...] = Field(min_length=FEWEST_PROMPTS, max_length=1000)

    @property
    def sha256(self) -> str:
        """SHA-256 of everything that changes what is asked or kept."""
        asked = [[list(prompt.ids), prompt.continue_at] for prompt in self.prompts]
        return sha256_of([self.scored, self.continuation, asked])


def load_prompts(name: str) -> PromptSet:
    """A set that comes with the gate, by name, or the one in a file.

    Raises:
        ConfigError: there is none of this name, or the file is wrong.
    """
    if name in SHIPPED:
        data = resources.files("gate.numerics").joinpath("prompts", f"{name}.json").read_bytes()
    elif "/" in name or name.endswith(".json"):
        data = read_bytes(Path(name), limit=SIZE_LIMIT, error=ConfigError)
    else:
        raise ConfigError(
            f"there are no probe prompts {name!r}",
            where="gate.probe.prompts",
            hint=f"one of {', '.join(SHIPPED)}, or the path of a JSON file",
        )
    value = parse_json(data, where=name, error=ConfigError)
    try:
        return PromptSet.model_validate(value)
    except ValidationError as problem:
        raise ConfigError(
            invalid_field(problem), where=name, hint="write it like gate/numerics/prompts/gpt-oss.json"
        ) from problem
