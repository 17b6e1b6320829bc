"""Configs x backends x arch -> cells, ready to be measured; as rows and as the Actions matrix."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gate.cell_spec import CellSpec, Origin, spec_of
from gate.config import load_list, load_located
from gate.decide.words import count
from gate.errors import ConfigError, UsageError
from gate.model.cell import Cell
from gate.problems import suggestion
from gate.runners import FILE_NAME, Runner, load_runners, runners_beside

__all__ = ["CellSpec", "cells_of", "describe", "matrix", "selected"]

DEFAULT_BACKEND: Final = "default"
MAX_MATRIX_JOBS: Final = 256
"""GitHub's limit on the jobs of one matrix."""
_UNLIMITED_MINUTES: Final = 360
_SPARE_MINUTES: Final = 15
"""For installing gate, collecting logs and uploading records, within a job's timeout."""


def cells_of(
    paths: Sequence[Path],
    *,
    arch: str | None,
    backends: Sequence[str] = (),
    unknown_arch: str | None = None,
) -> tuple[CellSpec, ...]:
    """The cells of configs (`*.yaml`) and lists (`*.txt`), in the order given.

    A cell that two paths name is there once; a runners.yaml among the paths is checked and makes none.

    Args:
        paths: configs and lists.
        arch: the GPU architecture; None takes it from the list's entry in runners.yaml.
        backends: names to keep; all where empty.
        unknown_arch: what to call an architecture that nothing says, instead of raising.

    Raises:
        ConfigError: a file is wrong, or two files make the same cell.
        UsageError: no arch is known, a backend exists in none of the configs, or no path is given.
    """
    specs: dict[Cell, CellSpec] = {}
    known: set[str] = set()
    for origin in _origins(paths, arch, unknown_arch):
        loaded = load_located(origin.file)
        names = tuple(loaded.config.backends) or (DEFAULT_BACKEND,)
        known |= set(names)
        for name in names:
            if not backends or name in backends:
                spec = spec_of(origin, loaded, name)
                other = specs.setdefault(spec.cell, spec)
                if other.source != spec.source:
                    raise ConfigError(
                        f"cell {spec.cell} is made twice, also by {other.source}",
                        where=spec.source,
                        hint="The file's name is the config's id: rename one.",
                    )
    for name in backends:
        if name not in known:
            raise UsageError(f"no config here has a backend {name!r}", hint=suggestion(name, known))
    if not specs:
        raise UsageError("no config is given", hint="Name a config (*.yaml) or a list (models-*.txt).")
    return tuple(specs.values())


def selected(
    specs: Sequence[CellSpec], event: str | None, changed: tuple[str, ...] | None
) -> tuple[CellSpec, ...]:
    """The cells whose `when:` selects this event and these changed paths; all where no event is given."""
    return tuple(spec for spec in specs if event is None or spec.selected(event, changed))


def timeout_minutes(spec: CellSpec) -> int:
    """How long a job that measures this cell may take: starting the engine, its limit, and a spare quarter.

    Without `max_minutes` it is what GitHub gives a job by default.
    """
    minutes = spec.gate.max_minutes
    if minutes is None:
        return _UNLIMITED_MINUTES
    return math.ceil(spec.startup_max_wait_seconds / 60 + minutes) + _SPARE_MINUTES


def describe(specs: Sequence[CellSpec]) -> list[dict[str, Any]]:
    """One row a cell, for `gate config check` and `gate plan`: column -> text or number."""
    return [
        {
            "cell": str(spec.cell),
            "model": spec.model_name,
            "task": f"{spec.task.name} ({spec.task.protocol}, {spec.task.endpoint})",
            "gpus": spec.gpus,
            "server_args": shlex.join(spec.server_args),
            "env": _pairs(spec.env),
            "expect": _pairs(spec.expect),
            "preset": spec.launch_preset,
            "margin": spec.gate.margin,
            "notes": "; ".join(spec.notes),
        }
        for spec in specs
    ]


def matrix(specs: Sequence[CellSpec]) -> dict[str, list[dict[str, Any]]]:
    """The Actions matrix: `strategy.matrix: ${{ fromJSON(...) }}`, one job a cell.

    Each job is told how many cells share the error rate, because no job sees more than its own.

    Raises:
        UsageError: runners.yaml knows no runner for a cell, or one with too few GPUs; or there are more
            cells than a matrix can hold.
    """
    if len(specs) > MAX_MATRIX_JOBS:
        raise UsageError(
            f"{len(specs)} cells, but an Actions matrix holds {MAX_MATRIX_JOBS}",
            hint="Plan one list at a time, or fewer backends.",
        )
    return {"include": [_job(spec, len(specs)) for spec in specs]}


def _job(spec: CellSpec, family_size: int) -> dict[str, Any]:
    if spec.runner is None:
        raise UsageError(
            f"{FILE_NAME} beside {spec.list_name or 'it'} has no runner of arch {spec.cell.arch}",
            where=spec.source,
            hint="Add its list there: arch, runs_on, gpus.",
        )
    if spec.gpus > spec.runner.gpus:
        raise UsageError(
            f"{spec.cell} needs {count(spec.gpus, 'GPU')}, but its runner has {spec.runner.gpus}",
            where=spec.source,
            hint="Serve it yourself and measure it with --base-url: one host serves one cell.",
        )
    return {
        "cell": str(spec.cell),
        "config": spec.source,
        "backend": spec.cell.backend,
        "arch": spec.cell.arch,
        "runs-on": list(spec.runner.runs_on),
        "gpus": spec.gpus,
        "family-size": family_size,
        "timeout-minutes": timeout_minutes(spec),
        "artifact": f"gate-records-{spec.cell.file_stem}",
    }


def _pairs(values: Mapping[str, str]) -> str:
    return " ".join(f"{key}={shlex.quote(value)}" for key, value in values.items())


def _origins(paths: Sequence[Path], arch: str | None, unknown: str | None) -> list[Origin]:
    origins: list[Origin] = []
    for path in paths:
        if path.name == FILE_NAME:
            load_runners(path)
        elif path.suffix in {".yaml", ".yml"}:
            here = _arch(path, None, arch, unknown)
            runners = [r for r in runners_beside(path).values() if r.arch == here]
            origins.append(Origin(path, None, here, runners[0] if runners else None))
        elif path.suffix == ".txt":
            runner = runners_beside(path).get(path.name)
            here = _arch(path, runner, arch, unknown)
            origins += [Origin(file, path.name, here, runner) for file in load_list(path)]
        else:
            raise UsageError(
                "is neither a config (*.yaml) nor a list (*.txt)",
                where=path.as_posix(),
                hint="Name the files, not their folder.",
            )
    return origins


def _arch(path: Path, runner: Runner | None, arch: str | None, unknown: str | None) -> str:
    if runner is None:
        if arch is None and unknown is None:
            raise UsageError(
                "nothing says which architecture this runs on",
                where=path.as_posix(),
                hint=f"Pass --arch, or name a list that {FILE_NAME} beside it maps to hardware.",
            )
        return arch or unknown or ""
    if arch is not None and arch != runner.arch:
        raise UsageError(
            f"{FILE_NAME} says this list runs on {runner.arch}, but the arch is {arch}",
            where=path.as_posix(),
            hint="Name the configs themselves to run them elsewhere, or another list.",
        )
    return runner.arch
