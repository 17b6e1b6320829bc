"""The action's inputs, as `action.yml` hands them over: a variable each, empty where nothing was given."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gate.errors import UsageError

PREFIX: Final = "GATE_INPUT_"


def variable(name: str) -> str:
    """The environment variable of an input: engine-command or engine_command -> GATE_INPUT_ENGINE_COMMAND."""
    return PREFIX + name.replace("-", "_").upper()


def value(environ: Mapping[str, str], name: str) -> str:
    """One input; a missing variable is an empty one."""
    return environ.get(variable(name), "").strip()


def words(environ: Mapping[str, str], name: str) -> list[str]:
    """An input that lists things, split at spaces and lines; quotes hold a space.

    Raises:
        UsageError: a quote is not closed.
    """
    try:
        return shlex.split(value(environ, name))
    except ValueError as error:
        raise UsageError(f"the input {name} cannot be split: {error}", hint="close the quote") from error


def config_paths(environ: Mapping[str, str]) -> list[str]:
    """The input `configs`.

    Raises:
        UsageError: it names none, or a quote is not closed.
    """
    paths = words(environ, "configs")
    if not paths:
        raise UsageError("the input configs is empty", hint="name configs (*.yaml) or lists (*.txt)")
    return paths


def flag(environ: Mapping[str, str], name: str) -> bool:
    """An input that is `true` or `false`; empty is false.

    Raises:
        UsageError: it is something else.
    """
    text = value(environ, name)
    if text not in ("", "true", "false"):
        raise UsageError(f"the input {name} is {text[:40]!r}", hint="write true or false")
    return text == "true"


def event_path(environ: Mapping[str, str]) -> Path:
    """The file with the event that started the workflow.

    Raises:
        UsageError: this is not a job of GitHub Actions.
    """
    if not environ.get("GITHUB_EVENT_PATH"):
        raise UsageError("GITHUB_EVENT_PATH is not set", hint="this mode is for GitHub Actions")
    return Path(environ["GITHUB_EVENT_PATH"])
