"""The engine's command line: splitting, merging and reading options; never a shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from typing import Final, NamedTuple

ALIASES: Final = {
    "-tp": "--tensor-parallel-size",
    "-pp": "--pipeline-parallel-size",
    "-dp": "--data-parallel-size",
    "-pcp": "--prefill-context-parallel-size",
    "-dcp": "--decode-context-parallel-size",
    "-dpl": "--data-parallel-size-local",
    "-ep": "--enable-expert-parallel",
    "-q": "--quantization",
    "-n": "--nnodes",
    "-r": "--node-rank",
    "-sc": "--speculative-config",
    "-cc": "--compilation-config",
    "-ac": "--attention-config",
    "-O": "--optimization-level",
}
"""vLLM 0.32's short options (vllm/engine/arg_utils.py)."""

RESERVED: Final = frozenset(
    {
        *("--host", "--port", "--uds", "--model", "--served-model-name", "--revision", "--api-key"),
        *(
            "--root-path",
            "--headless",
            "--ssl-keyfile",
            "--ssl-certfile",
            "--ssl-ca-certs",
            "--ssl-cert-reqs",
        ),
        *("--enable-log-requests", "--enable-log-outputs", "--log-config-file"),
    }
)
"""Options that the gate sets itself (`--revision` from `model_revision`), or that would log prompts."""

REPEATABLE: Final = frozenset({"--middleware"})

GPU_OPTIONS: Final = (
    "--tensor-parallel-size",
    "--pipeline-parallel-size",
    "--prefill-context-parallel-size",
    "--data-parallel-size",
)
"""World size in vllm/config/parallel.py is TP x PP x PCP, once per data-parallel rank."""

_OPTION: Final = re.compile(r"--?[A-Za-z]")
_SUFFIXES: Final = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY_SUFFIXES: Final = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class ServerArgsError(ValueError):
    """The arguments cannot be split or merged; the config loader adds file and line."""


class Option(NamedTuple):
    """One option: the name that identifies it, and its tokens as written."""

    name: str
    tokens: tuple[str, ...]

    @property
    def value(self) -> str | None:
        """What follows the option, joined by a space; None for a flag."""
        head, *rest = self.tokens
        if "=" in head:
            return head.partition("=")[2]
        attached = _attached(head)
        return attached or " ".join(rest) or None


def parse(text: str) -> tuple[Option, ...]:
    """Split one string of server arguments into options, each at most once.

    Raises:
        ServerArgsError: unbalanced quote, a value before the first option, an option that stands twice, or
            one that the gate sets itself.
    """
    options = _options(_split(text))
    seen: dict[str, Option] = {}
    for option in options:
        if option.name in RESERVED:
            raise ServerArgsError(f"{option.tokens[0]} belongs to the gate: remove it")
        if option.name in seen and option.name not in REPEATABLE:
            first, second = " ".join(seen[option.name].tokens), " ".join(option.tokens)
            raise ServerArgsError(f"the same option stands twice: {first!r} and {second!r}")
        seen[option.name] = option
    return options


def merge(base: Sequence[Option], backend: Sequence[Option]) -> tuple[Option, ...]:
    """The base's options, then the backend's; an option that the backend sets replaces the base's."""
    replaced = {option.name for option in backend}
    return (*(option for option in base if option.name not in replaced), *backend)


def argv(options: Sequence[Option]) -> tuple[str, ...]:
    """The tokens, in order."""
    return tuple(token for option in options for token in option.tokens)


def gpu_count(options: Sequence[Option]) -> int:
    """GPUs that these options ask for: the product of the parallel sizes, each 1 unless given.

    Raises:
        ServerArgsError: a parallel size that is not a positive whole number.
    """
    count = 1
    for option in options:
        if option.name in GPU_OPTIONS:
            if not (option.value or "").isdecimal() or int(option.value or 0) < 1:
                raise ServerArgsError(f"{' '.join(option.tokens)!r} is not a positive whole number")
            count *= int(option.value or 0)
    return count


def max_model_len(options: Sequence[Option]) -> int | None:
    """Tokens of `--max-model-len`; None where it is absent or `auto`. Units as vLLM's: 1k = 1000, 1K = 1024.

    Raises:
        ServerArgsError: a length that vLLM would not read either.
    """
    value = next((o.value for o in options if o.name == "--max-model-len"), None)
    if value is None or value.lower() in {"auto", "-1"}:
        return None
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?)([kmgtKMGT]?)", value.strip())
    if not match or ("." in match[1] and match[2] not in _SUFFIXES):
        raise ServerArgsError(f"--max-model-len {value!r} is not a length")
    number, suffix = match.groups()
    if suffix in _SUFFIXES:
        return int(float(number) * _SUFFIXES[suffix])
    return int(number) * _BINARY_SUFFIXES.get(suffix, 1)


def _split(text: str) -> list[str]:
    if "\0" in text:
        raise ServerArgsError("contains a NUL character")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ServerArgsError(f"cannot be split into words: {error}".lower()) from error


def _options(tokens: Sequence[str]) -> tuple[Option, ...]:
    options: list[Option] = []
    for token in tokens:
        if _OPTION.match(token):
            options.append(Option(_name(token), (token,)))
        elif options:
            options[-1] = options[-1]._replace(tokens=(*options[-1].tokens, token))
        else:
            raise ServerArgsError(f"{token!r} stands before the first option")
    return tuple(options)


def _name(token: str) -> str:
    """What identifies an option: long spelling, dashes, without `=value` and without `--no-`.

    `--attention_config.backend=X` keeps its dotted part: two different sub-keys are two options.
    """
    head = token.partition("=")[0]
    if _attached(head):
        return "--optimization-level"
    key, dot, rest = head.partition(".")
    key = ALIASES.get(key, key.replace("_", "-"))
    if key.startswith("--no-"):
        key = f"--{key[5:]}"
    return f"{key}{dot}{rest}"


def _attached(head: str) -> str:
    """The level in `-O3`, the only option that takes its value without a space."""
    return head[2:] if re.fullmatch(r"-O\d+", head) else ""
