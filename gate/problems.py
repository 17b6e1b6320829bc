"""What pydantic found wrong with a document, told as one `ConfigError` with line and suggestion."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gate.document import Document, KeyPath
from gate.errors import ConfigError

UNKNOWN_FACT: Final = "unknown_fact"
UNKNOWN_FALLBACK: Final = "unknown_fallback"
UNKNOWN_CHECK: Final = "unknown_check"
SAID_TWICE: Final = "said_twice"
"""Our own pydantic error types; their context holds `key`, the one key or word that is meant."""

_UNKNOWN_TO_PARSERS: Final = {UNKNOWN_FACT: "fact", UNKNOWN_FALLBACK: "fallback", UNKNOWN_CHECK: "check"}
_OF_ONE_KEY: Final = frozenset({UNKNOWN_FACT, SAID_TWICE})

_SHOWN: Final = 60
_SEE_SCHEMA: Final = "`gate config schema` prints what may stand there"
_SEE_PAGE: Final = "docs/configs.md says what may stand there"
_OURS: Final = frozenset({"value_error", "server_args", SAID_TWICE})


def config_error(
    error: ValidationError, document: Document, model: type[BaseModel], *, schema: bool = True
) -> ConfigError:
    """The first problem in file order, and how many others there are.

    `schema` says whether `gate config schema` is about this file: it is about configs alone.
    """
    problems = [(_location(detail), detail) for detail in error.errors(include_url=False)]
    # In one line a misspelt key comes first: the right one "is missing" only because of it.
    problems.sort(key=lambda item: (document.line(item[0]), item[1]["type"] != "extra_forbidden"))
    path, detail = problems[0]
    message, hint = _explain(path, detail, model, _SEE_SCHEMA if schema else _SEE_PAGE)
    if others := len(problems) - 1:
        message += f" (and {others} more problem{'s' if others > 1 else ''} in this file)"
    return ConfigError(message, where=document.where(path), hint=hint)


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A suggestion for a misspelt word, or None where nothing is near."""
    words = list(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    close += [other for other in words if word and other.startswith(word)]
    return f"Did you mean {close[0]!r}?" if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """A suggestion, or everything that is known."""
    words = sorted(known)
    return did_you_mean(word, words) or f"Known: {', '.join(words)}."


def _location(detail: ErrorDetails) -> KeyPath:
    path = tuple(part for part in detail["loc"] if part != "[key]")
    return (*path, str(detail["ctx"]["key"])) if detail["type"] in _OF_ONE_KEY else path


def _explain(path: KeyPath, detail: ErrorDetails, model: type[BaseModel], see: str) -> tuple[str, str]:
    name = ".".join(str(part) for part in path) or "the file"
    kind, value, context = detail["type"], detail["input"], detail.get("ctx", {})
    message = detail["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        return f"unknown key {name!r}", suggestion(str(path[-1]), _keys_at(path[:-1], model))
    if kind == "missing":
        return f"{name} is missing", f"Add it: {see}."
    if kind in _UNKNOWN_TO_PARSERS:
        word, what = str(context["key"]), _UNKNOWN_TO_PARSERS[kind]
        return f"{name}: no parser knows the {what} {word!r}", suggestion(word, context["known"])
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"{name}: {_shown(value)} is not known", suggestion(str(value), choices)
    if kind in _OURS:
        # What a schema cannot say: how words are split, which of them are the gate's own.
        return f"{name}: {message}", f"Correct it: {_SEE_PAGE}."
    hint = f"Correct it: {see}."
    if kind == "string_type" and isinstance(value, bool | int | float):
        hint = f'Quote it: "{str(value).lower() if isinstance(value, bool) else value}".'
    said = f"{name}: {_shown(value)}: {message[0].lower()}{message[1:]}"
    return (f"{name} is empty", f"Fill it: {see}.") if kind == "too_short" else (said, hint)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _keys_at(path: KeyPath, model: type[BaseModel]) -> list[str]:
    """The keys that the schema knows at a key path."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = next(_models_in(field.annotation), model)
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
