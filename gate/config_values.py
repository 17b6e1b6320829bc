"""The values that stand in a config: what each may be, for pydantic and for the JSON Schema."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from gate.problems import UNKNOWN_CHECK, UNKNOWN_FACT, UNKNOWN_FALLBACK
from gate.server_args import ServerArgsError, parse
from gate.serving.engine_log import EXPECT_KEYS, SHAPES, UNPROVEN

__all__ = [
    "EXPECT_KEYS",
    "FALLBACKS",
    "Effort",
    "Env",
    "Expect",
    "Fallbacks",
    "Fraction",
    "Revision",
    "Seconds",
    "ServerArgs",
    "Unproven",
]

FALLBACKS: Final = frozenset(shape.fallback for shape in SHAPES if shape.fallback)
"""What `allow_fallback` may name: everything that the log's parser can see the engine give up on."""


def _readable(text: str) -> str:
    try:
        parse(text)
    except ServerArgsError as error:
        raise PydanticCustomError("server_args", "{problem}", {"problem": str(error)}) from error
    return text


def _known_facts(expect: dict[str, str | None]) -> dict[str, str | None]:
    for key in expect:
        if key not in EXPECT_KEYS:
            raise PydanticCustomError(UNKNOWN_FACT, "unknown", {"key": key, "known": sorted(EXPECT_KEYS)})
    return expect


def _known_fallbacks(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in FALLBACKS:
            raise PydanticCustomError(UNKNOWN_FALLBACK, "unknown", {"key": name, "known": sorted(FALLBACKS)})
    return names


def _known_checks(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in UNPROVEN:
            raise PydanticCustomError(UNKNOWN_CHECK, "unknown", {"key": name, "known": sorted(UNPROVEN)})
    return names


Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Revision = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
ValueText = Annotated[
    str, StringConstraints(pattern=r"^[^\x00]*$"), WithJsonSchema({"type": ["string", "number"]})
]
ServerArgs = Annotated[str, AfterValidator(_readable), WithJsonSchema({"type": ["string", "null"]})]
Env = dict[VariableName, ValueText | None]
Expect = Annotated[dict[str, ValueText | None], AfterValidator(_known_facts)]

Fallbacks = Annotated[
    tuple[str, ...],
    AfterValidator(_known_fallbacks),
    WithJsonSchema({"type": "array", "items": {"enum": sorted(FALLBACKS)}}),
]

Unproven = Annotated[
    tuple[str, ...],
    AfterValidator(_known_checks),
    WithJsonSchema({"type": "array", "items": {"enum": sorted(UNPROVEN)}}),
]
