"""Configs x backends x arch -> cells, ready to be measured; the Actions matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gate import server_args
from gate.config import (
    BackendSettings,
    Config,
    GateSettings,
    LoadedConfig,
    Sampling,
    TaskSettings,
    When,
    load_list,
    load_located,
)
from gate.errors import ConfigError, UsageError
from gate.model import Cell
from gate.problems import suggestion
from gate.runners import Runner, runners_beside

DEFAULT_BACKEND: Final = "default"
# What vLLM's own two runners use where a file does not say (tests/evals/{gpt_oss,gsm8k}/test_*.py).
_STARTUP_SECONDS: Final = {"gsm8k": 600.0}
_TOLERANCE: Final = {"gsm8k": 0.08}


@dataclass(frozen=True)
class CellSpec:
    """Everything needed to measure one cell, merged.

    `server_args` and `env` are the config's merged with the backend's; what `launch_preset` and
    `trust_remote_code` add is the launcher's. `gpus` is 0 on a CPU. `threshold` and `tolerance` are the old
    rule's. `list_name` is the list that named the config, `when` the conditions that must all hold.
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
    list_name: str | None = None
    when: tuple[When, ...] = ()

    def selected(self, event: str, changed: tuple[str, ...] | None) -> bool:
        """Whether this cell runs on an event that changed these paths (None: not a pull request)."""
        return all(condition.selects(event, changed) for condition in self.when)


def cells_of(
    paths: Sequence[Path], *, arch: str | None, backends: Sequence[str] = ()
) -> tuple[CellSpec, ...]:
    """The cells of configs (`*.yaml`) and lists (`*.txt`), in the order given.

    Args:
        paths: configs and lists.
        arch: the GPU architecture; None takes it from the list's entry in runners.yaml.
        backends: names to keep; all where empty.

    Raises:
        ConfigError: a file is wrong, or two files make the same cell.
        UsageError: no arch is known, a backend exists in none of the configs, or no path is given.
    """
    specs: dict[Cell, CellSpec] = {}
    known: set[str] = set()
    for file, list_path in _files(paths):
        runner = runners_beside(list_path).get(list_path.name) if list_path else None
        loaded = load_located(file)
        names = tuple(loaded.config.backends) or (DEFAULT_BACKEND,)
        known |= set(names)
        for name in names:
            if not backends or name in backends:
                spec = _spec(file, loaded, name, _arch_of(list_path or file, runner, arch))
                spec = _from_list(spec, list_path, runner)
                if spec.cell in specs:
                    raise ConfigError(
                        f"cell {spec.cell} is made twice, also by {specs[spec.cell].source}",
                        where=spec.source,
                        hint="The file's name is the config's id: rename one, or name it once.",
                    )
                specs[spec.cell] = spec
    _refuse_unknown_backends(backends, known)
    if not specs:
        raise UsageError("no config is given", hint="Name a config (*.yaml) or a list (models-*.txt).")
    return tuple(specs.values())


def _files(paths: Sequence[Path]) -> list[tuple[Path, Path | None]]:
    files: list[tuple[Path, Path | None]] = []
    for path in paths:
        if path.suffix in {".yaml", ".yml"}:
            files.append((path, None))
        elif path.suffix == ".txt":
            files += [(file, path) for file in load_list(path)]
        else:
            raise UsageError(
                "is neither a config (*.yaml) nor a list (*.txt)",
                where=path.as_posix(),
                hint="Name the files, not their folder.",
            )
    return files


def _arch_of(path: Path, runner: Runner | None, arch: str | None) -> str:
    if runner is None:
        if arch is None:
            raise UsageError(
                "nothing says which architecture this runs on",
                where=path.as_posix(),
                hint="Pass --arch, or name a list that runners.yaml maps to hardware.",
            )
        return arch
    if arch is not None and arch != runner.arch:
        raise UsageError(
            f"runners.yaml says this list runs on {runner.arch}, but the arch is {arch}",
            where=path.as_posix(),
            hint="Name the configs themselves to run them elsewhere, or another list.",
        )
    return runner.arch


def _spec(file: Path, loaded: LoadedConfig, name: str, arch: str) -> CellSpec:
    config = loaded.config
    backend = config.backends.get(name, BackendSettings())
    options = server_args.merge(config.options, backend.options)
    task = config.resolved_task()
    try:
        gpus, length = server_args.gpu_count(options), server_args.max_model_len(options)
    except server_args.ServerArgsError as error:
        raise ConfigError(
            f"backend {name}: {error}", where=loaded.document.where(("server_args",))
        ) from error
    return CellSpec(
        cell=_cell(arch, file, name),
        source=file.as_posix(),
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
        gpus=0 if arch == "cpu" else gpus,
        max_model_len=length,
        when=(config.when,) if config.when else (),
    )


def _cell(arch: str, file: Path, backend: str) -> Cell:
    return Cell(arch=arch, config=file.stem, backend=backend)


def _from_list(spec: CellSpec, list_path: Path | None, runner: Runner | None) -> CellSpec:
    if list_path is None:
        return spec
    conditions = (*spec.when, runner.when) if runner and runner.when else spec.when
    return CellSpec(**{**vars(spec), "list_name": list_path.name, "when": conditions})


def _reasoning_effort(config: Config, task: TaskSettings) -> str | None:
    """VLLM's gpt_oss runner asks for `low` where a file says nothing; `reasoning_effort: null` sends none."""
    if "reasoning_effort" not in config.model_fields_set and task.name == "gpqa_diamond":
        return "low"
    return config.reasoning_effort


def _merged(base: Mapping[str, str | None], over: Mapping[str, str | None]) -> Mapping[str, str]:
    merged = {**base, **over}
    return MappingProxyType({key: value for key, value in merged.items() if value is not None})


def _refuse_unknown_backends(wanted: Sequence[str], known: set[str]) -> None:
    for name in wanted:
        if name not in known:
            raise UsageError(f"no config here has a backend {name!r}", hint=suggestion(name, known))
