"""One backend of one config, merged into everything that is needed to measure its cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from gate import server_args
from gate.config import BackendSettings, Config, GateSettings, LoadedConfig, Sampling, TaskSettings, When
from gate.errors import ConfigError
from gate.model.cell import Cell
from gate.runners import Runner

# What vLLM's own two runners use where a file does not say (tests/evals/{gpt_oss,gsm8k}/test_*.py).
_STARTUP_SECONDS: Final = {"gsm8k": 1200.0}
_TOLERANCE: Final = {"gsm8k": 0.08}


@dataclass(frozen=True)
class CellSpec:
    """Everything needed to measure one cell, merged.

    `server_args` and `env` are the config's merged with the backend's, `--revision` included; what
    `launch_preset` and `trust_remote_code` add is the launcher's. `gpus` is 0 on a CPU. `threshold` and
    `tolerance` are the old rule's. `max_concurrency` and `request_timeout_seconds` are vLLM's keys, None
    where the file leaves them to the gate. `line` of `source` is where its backend begins. `list_name` is
    the list that named the config, `runner` the hardware that runners.yaml knows for it; all of `when` must
    hold; `notes` says which of the file's keys this gate does not act on. `accept_unproven` names the
    checks that nothing needs to confirm.
    """

    cell: Cell
    source: str
    model_name: str
    model_revision: str | None
    task: TaskSettings
    sampling: Sampling
    reasoning_effort: str | None
    server_args: tuple[str, ...]
    env: Mapping[str, str]
    expect: Mapping[str, str]
    allow_fallback: tuple[str, ...]
    gate: GateSettings
    threshold: float | None
    tolerance: float
    startup_max_wait_seconds: float
    launch_preset: str
    trust_remote_code: bool
    gpus: int
    max_model_len: int | None
    max_concurrency: int | None = None
    request_timeout_seconds: float | None = None
    list_name: str | None = None
    runner: Runner | None = None
    accept_unproven: tuple[str, ...] = ()
    when: tuple[When, ...] = ()
    notes: tuple[str, ...] = ()
    line: int = 1

    def selected(self, event: str, changed: tuple[str, ...] | None) -> bool:
        """Whether this cell runs on an event that changed these paths (None: not a pull request)."""
        return all(condition.selects(event, changed) for condition in self.when)


class Origin(NamedTuple):
    """A config file, the list that named it, and where it runs."""

    file: Path
    list_name: str | None
    arch: str
    runner: Runner | None


def spec_of(origin: Origin, loaded: LoadedConfig, name: str) -> CellSpec:
    """Merge one backend over its config.

    Raises:
        ConfigError: a parallel size or a length in the merged server_args that vLLM would not read.
    """
    config = loaded.config
    backend = config.backends.get(name, BackendSettings())
    options = server_args.merge(config.options, backend.options)
    if config.model_revision is not None:
        options = (*options, server_args.Option("--revision", ("--revision", config.model_revision)))
    task = config.resolved_task()
    at_top, below = ("server_args",), ("backends", name, "server_args")
    try:
        gpus, length = server_args.gpu_count(options), server_args.max_model_len(options)
    except server_args.ServerArgsError as error:
        where = loaded.document.where(below if below in loaded.document.lines else at_top)
        raise ConfigError(
            f"backend {name}: {error}",
            where=where,
            hint="correct server_args; those of the backend come after those at the top",
        ) from error
    conditions = (config.when, origin.runner.when if origin.runner and origin.list_name else None)
    return CellSpec(
        cell=Cell(arch=origin.arch, config=origin.file.stem, backend=name),
        source=origin.file.as_posix(),
        model_name=config.model_name,
        model_revision=config.model_revision,
        task=task,
        sampling=config.resolved_sampling(),
        reasoning_effort=_reasoning_effort(config, task),
        server_args=server_args.argv(options),
        env=_merged(config.env, backend.env),
        expect=_merged(config.expect, backend.expect),
        allow_fallback=config.allow_fallback if backend.allow_fallback is None else backend.allow_fallback,
        gate=config.gate,
        threshold=config.threshold,
        tolerance=_TOLERANCE.get(task.name, 0.05) if config.tolerance is None else config.tolerance,
        startup_max_wait_seconds=config.startup_max_wait_seconds or _STARTUP_SECONDS.get(task.name, 1800.0),
        launch_preset=config.launch_preset,
        trust_remote_code=config.trust_remote_code,
        gpus=0 if origin.arch == "cpu" else gpus,
        max_model_len=length,
        max_concurrency=config.max_concurrency,
        request_timeout_seconds=_request_timeout(config, origin.arch),
        list_name=origin.list_name,
        runner=origin.runner,
        accept_unproven=config.accept_unproven,
        when=tuple(condition for condition in conditions if condition is not None),
        notes=_notes(config),
        line=loaded.document.line(("backends", name)),
    )


def _reasoning_effort(config: Config, task: TaskSettings) -> str | None:
    """VLLM's gpt_oss runner asks for `low` where a file says nothing; `reasoning_effort: null` sends none."""
    if "reasoning_effort" not in config.model_fields_set and task.name == "gpqa_diamond":
        return "low"
    return config.reasoning_effort


def _request_timeout(config: Config, arch: str) -> float | None:
    if arch.startswith("gfx") and config.rocm_request_timeout_seconds is not None:
        return config.rocm_request_timeout_seconds
    return config.request_timeout_seconds


def _notes(config: Config) -> tuple[str, ...]:
    notes = []
    if config.seed is not None:
        notes.append("seed is not used: every sample has a seed of its own")
    if config.min_acceptance_length is not None:
        notes.append("min_acceptance_length is not checked: this gate measures answers")
    if config.startup_rpc_checks:
        notes.append("startup_rpc_checks are not run: this gate reads the engine's log instead")
    return tuple(notes)


def _merged(base: Mapping[str, str | None], over: Mapping[str, str | None]) -> Mapping[str, str]:
    merged = {**base, **over}
    return MappingProxyType({key: value for key, value in merged.items() if value is not None})
