"""From the `task:` section of a config to the task itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gate.errors import UsageError
from gate.evals.choices import load_choices
from gate.evals.dataset import Fetch, download
from gate.evals.endpoints import Asker
from gate.evals.gpqa import load_gpqa
from gate.evals.gsm8k import load_gsm8k
from gate.evals.task import Task

if TYPE_CHECKING:
    from gate.settings import Sampling, TaskSettings


def load_task(
    settings: TaskSettings,
    sampling: Sampling,
    *,
    reasoning_effort: str | None,
    served_model: str,
    dataset_path: Path | None,
    cache_dir: Path,
    fetch: Fetch = download,
) -> Task:
    """The task that a config names, its questions loaded and verified.

    Args:
        settings: the `task:` section of a config.
        sampling: the `sampling:` section of a config.
        reasoning_effort: low, medium, high, or None to send none.
        served_model: the name under which the engine serves the model.
        dataset_path: replaces the config's data set (a file).
        cache_dir: where fetched data sets are kept.
        fetch: gets what is published.

    Raises:
        DatasetError: the questions are missing, altered or malformed.
        UsageError: another harness asks this task.
    """
    asker = Asker(settings.endpoint, served_model, sampling, reasoning_effort)
    match settings.name:
        case "gpqa_diamond":
            return load_gpqa(settings, asker, dataset_path=dataset_path, cache_dir=cache_dir, fetch=fetch)
        case "gsm8k":
            return load_gsm8k(settings, asker, dataset_path=dataset_path, cache_dir=cache_dir, fetch=fetch)
        case "choices":
            return load_choices(settings, asker, dataset_path=dataset_path, cache_dir=cache_dir, fetch=fetch)
        case "imported":
            raise UsageError(
                f"this config's task is asked by {settings.protocol}, not by the gate",
                hint=f"gate import {settings.protocol} LOG --config CONFIG brings in what it measured",
            )
