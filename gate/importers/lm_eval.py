"""lm-evaluation-harness: `results_DATE.json` and, with `--log_samples`, `samples_TASK_DATE.jsonl` beside it.

It asks each question once a run, so that every results file is one repeat. Read in lm_eval 0.4.13
(lm_eval/loggers/evaluation_tracker.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from pydantic import Field

from gate.errors import RecordError
from gate.importers.log import (
    HarnessLog,
    LoggedSample,
    LogPart,
    Question,
    Wanted,
    outcome_of,
    question,
    read_json,
    read_lines,
    without_addresses,
)
from gate.model.canonical import sha256_of

NAME: Final = "lm-eval"
INVALID: Final = "[invalid]"
FLAG: Final = "run lm_eval with --log_samples and --output_path"
_PROTOCOL: Final = (
    *("process_docs", "doc_to_text", "doc_to_target", "doc_to_choice", "description", "gen_prefix"),
    *("target_delimiter", "fewshot_delimiter", "num_fewshot", "output_type", "filter_list", "metric_list"),
)
_OF_THE_RUN: Final = ("system_instruction_sha", "chat_template_sha", "fewshot_as_multiturn")
_SETTINGS: Final = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "top_k": ("top_k",),
    "max_tokens": ("max_gen_toks", "max_tokens", "max_completion_tokens"),
    "reasoning_effort": ("reasoning_effort",),
}


class RunConfig(LogPart):
    """`config` of a results file."""

    model: str
    fewshot_seed: int | None = None


class Effective(LogPart):
    """How many questions of a task were asked."""

    effective: int


class Results(LogPart):
    """A results file."""

    configs: dict[str, dict[str, Any]]
    config: RunConfig
    counts: dict[str, Effective] = Field(alias="n-samples")
    group_subtasks: dict[str, list[str]] = Field(default_factory=dict)
    lm_eval_version: str | None = None
    model_name: str | None = None
    date: float | None = None
    total_evaluation_time_seconds: str | float = 0.0
    system_instruction_sha: str | None = None
    chat_template_sha: str | None = None
    fewshot_as_multiturn: bool | None = None


class Row(LogPart):
    """One line of a samples file: a question, seen through one filter."""

    model_config = LogPart.model_config | {"extra": "allow"}

    doc_id: int
    doc: dict[str, Any]
    resps: list[Any]
    filtered_resps: list[Any]
    filter: str
    metrics: list[str]


class Repeat(NamedTuple):
    """One run of the harness: where it is, and the tasks that make up the benchmark."""

    path: Path
    results: Results
    tasks: tuple[str, ...]

    def samples_path(self, task: str) -> Path:
        """The samples of a task, which have the date of the results."""
        return self.path.with_name(f"samples_{task}_{self.path.stem.removeprefix('results_')}.jsonl")


def read(paths: Sequence[Path], wanted: Wanted) -> HarnessLog:
    """Every run below the paths, each one a repeat.

    Raises:
        RecordError: a file is missing or wrong, the runs differ in more than their seeds, or a question
            lacks its outcome.
    """
    repeats = [_repeat(path, wanted) for path in _results_files(paths)]
    first = _alike(repeats)
    metric = wanted.metric or _only_metric(repeats[0])
    samples = [
        sample
        for number, repeat in enumerate(repeats)
        for task in repeat.tasks
        for sample in _samples(repeat, task, number, metric, wanted)
    ]
    results = repeats[0].results
    begun = min((r.results.date for r in repeats if r.results.date is not None), default=None)
    return HarnessLog(
        harness=NAME,
        where=str(repeats[0].path),
        version=results.lm_eval_version,
        benchmark=wanted.benchmark,
        metric=metric,
        model=results.model_name,
        settings=first["settings"],
        protocol=first["protocol"],
        samples=tuple(samples),
        repeats=len(repeats),
        date=None if begun is None else datetime.fromtimestamp(begun, UTC).isoformat(timespec="seconds"),
        seconds=sum(float(r.results.total_evaluation_time_seconds) for r in repeats),
        lacks=("tokens", "finish"),
    )


def _results_files(paths: Sequence[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            files = sorted(path.rglob("results_*.json"))
        elif path.name.startswith("samples_"):
            date = path.stem.rpartition("_")[2]
            files = [path.with_name(f"results_{date}.json")]
        else:
            files = [path]
        if not files:
            raise RecordError("holds no results_*.json of lm-eval", where=str(path), hint=FLAG)
        found |= dict.fromkeys(file.resolve() for file in files)
    return list(found)


def _repeat(path: Path, wanted: Wanted) -> Repeat:
    results = read_json(path, Results)
    tasks = tuple(_subtasks(results, wanted.benchmark))
    if unknown := [task for task in tasks if task not in results.configs or task not in results.counts]:
        raise RecordError(
            f"measured {', '.join(sorted(results.configs))}, not {unknown[0]}",
            where=str(path),
            hint="`imported: {benchmark: ...}` in the config has lm-eval's name of the task or group",
        )
    repeat = Repeat(path, results, tasks)
    for task in tasks:
        if results.configs[task].get("repeats", 1) != 1:
            raise RecordError(
                f"asked {task} several times in one run, and its samples say only what came of all together",
                where=str(path),
                hint="run it once a repeat, each time with another seed=N in --model_args",
            )
        if not repeat.samples_path(task).is_file():
            raise RecordError(
                f"has no outcomes of single samples: {repeat.samples_path(task).name} is not beside it",
                where=str(path),
                hint=FLAG,
            )
    return repeat


def _subtasks(results: Results, name: str) -> Iterator[str]:
    below = results.group_subtasks.get(name)
    if not below:
        yield name
        return
    for task in below:
        yield from _subtasks(results, task)


def _alike(repeats: Sequence[Repeat]) -> dict[str, Any]:
    """What must be the same in every run; RecordError names the first thing that is not."""
    found = [_identity(repeat) for repeat in repeats]
    for repeat, identity in zip(repeats, found, strict=True):
        if differing := [name for name in identity if identity[name] != found[0][name]]:
            raise RecordError(
                f"is not a repeat of {repeats[0].path.name}: its {', '.join(differing)} differ",
                where=str(repeat.path),
                hint="repeats of one run differ in their seeds only",
            )
    return found[0]


def _identity(repeat: Repeat) -> dict[str, Any]:
    results, configs = repeat.results, [repeat.results.configs[task] for task in repeat.tasks]
    protocol: dict[str, Any] = {name: getattr(results, name) for name in _OF_THE_RUN}
    for task, config in zip(repeat.tasks, configs, strict=True):
        asked: dict[str, Any] = {name: config.get(name) for name in _PROTOCOL}
        asked["until"] = _mapping(config.get("generation_kwargs")).get("until")
        asked["version"] = _mapping(config.get("metadata")).get("version")
        # Which examples stand before a question is drawn from this seed.
        asked["fewshot_seed"] = results.config.fewshot_seed if config.get("num_fewshot") else None
        protocol[task] = without_addresses(asked)
    return {
        "tasks": repeat.tasks,
        "model": results.model_name,
        "version": results.lm_eval_version,
        "settings": _settings(repeat, configs),
        "protocol": protocol,
    }


def _settings(repeat: Repeat, configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    held: dict[str, Any] = {}
    asked = [_mapping(config.get("generation_kwargs")) for config in configs]
    for name, keys in _SETTINGS.items():
        values = [next((kwargs[key] for key in keys if key in kwargs), None) for kwargs in asked]
        if any(value != values[0] for value in values):
            raise RecordError(
                f"its tasks were asked with different {name}",
                where=str(repeat.path),
                hint="ask all of them in one run with one setting",
            )
        if values[0] is not None:
            held[name] = values[0]
    kind = repeat.results.config.model
    if kind.endswith("completions"):
        held["endpoint"] = "chat" if kind.endswith("chat-completions") else "completions"
    return held


def _only_metric(repeat: Repeat) -> str:
    rows = read_lines(repeat.samples_path(repeat.tasks[0]), Row)
    names = sorted({f"{metric},{row.filter}" for _, row in rows for metric in row.metrics})
    if len(names) != 1:
        raise RecordError(
            f"has {len(names)} metrics: {'; '.join(names)}",
            where=str(repeat.samples_path(repeat.tasks[0])),
            hint='say which one decides: `imported: {metric: "..."}` in the config',
        )
    return names[0]


def _samples(repeat: Repeat, task: str, number: int, metric: str, wanted: Wanted) -> Iterator[LoggedSample]:
    path = repeat.samples_path(task)
    name, _, wanted_filter = metric.partition(",")
    seen: set[int] = set()
    for where, row in read_lines(path, Row):
        if row.filter != (wanted_filter or row.filter) or name not in row.metrics:
            continue
        if row.doc_id in seen:
            raise RecordError(
                f"doc_id {row.doc_id} is there twice",
                where=where,
                hint="the file was written to twice: remove it, and run lm-eval again",
            )
        seen.add(row.doc_id)
        readable = not row.filtered_resps or row.filtered_resps[0] not in (INVALID, "")
        yield LoggedSample(
            question=_question(row, wanted, where),
            repeat=number,
            outcome=outcome_of(correct=_is_right(row, name, where), readable=readable),
            answer=sha256_of(row.resps),
        )
    if not seen:
        raise RecordError(f"has no metric {metric}", where=str(path), hint="lm-eval writes METRIC,FILTER")
    expected = repeat.results.counts[task].effective
    if len(seen) != expected:
        raise RecordError(
            f"is incomplete: {len(seen)} of the {expected} questions that the run asked",
            where=str(path),
            hint="the run was interrupted, or the file was cut: run it again",
        )


def _is_right(row: Row, metric: str, where: str) -> bool:
    value = (row.model_extra or {}).get(metric)
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise RecordError(
            f"{metric} is neither 0 nor 1", where=where, hint="only a metric of right or wrong can be gated"
        )
    return value == 1


def _question(row: Row, wanted: Wanted, where: str) -> Question:
    columns = wanted.columns
    for column in (columns.question, columns.correct):
        if not isinstance(row.doc.get(column), str | int | float):
            raise RecordError(
                f"its doc has no column {column!r}, but: {', '.join(sorted(row.doc))}",
                where=where,
                hint="name them in the config: `task: {columns: {question: ..., correct: ...}}`",
            )
    others = [json.dumps(row.doc[name]) for name in columns.incorrect if name in row.doc]
    return question(str(row.doc[columns.question]), str(row.doc[columns.correct]), others)


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
