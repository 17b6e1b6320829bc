"""The question sets of cells, before anything is measured: each once, from a cache or fetched into it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gate.cells import CellSpec
from gate.evals.load import load_task
from gate.evals.task import Task


def asked_of(specs: Sequence[CellSpec]) -> tuple[CellSpec, ...]:
    """One cell for each question set that is asked; an imported log brings its own."""
    return tuple({s.task.model_dump_json(): s for s in specs if s.task.name != "imported"}.values())


def question_set(
    spec: CellSpec, dataset_path: Path | None, cache: Path, fetch: Callable[[str], bytes]
) -> Task:
    """The cell's questions, from the cache or by `fetch`; raises GateError where they cannot be had."""
    return load_task(
        spec.task,
        spec.sampling,
        reasoning_effort=spec.reasoning_effort,
        served_model="any",
        dataset_path=dataset_path,
        cache_dir=cache,
        fetch=fetch,
    )
