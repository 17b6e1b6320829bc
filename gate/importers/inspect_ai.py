"""inspect_ai: one `.eval` file (a ZIP of JSON, compressed with Zstandard) or its `.json` form.

Read in inspect_ai 0.3.285 (inspect_ai/log/_log.py).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from gate.errors import RecordError
from gate.importers.log import (
    HarnessLog,
    LoggedSample,
    LogPart,
    Question,
    Wanted,
    one_path,
    outcome_of,
    parse,
    question,
    read_json,
    the_file,
    without_addresses,
)
from gate.model.canonical import sha256_of
from gate.model.sample import Finish, Outcome

if sys.version_info >= (3, 14):
    import zipfile

    from compression.zstd import ZstdError
else:
    from backports.zstd import ZstdError, zipfile  # the same modules, for older Pythons

NAME: Final = "inspect"
ENTRY_LIMIT: Final = 512_000_000
FLAG: Final = "run `inspect eval` with --log-samples (the default)"
_FINISHES: Final = {"stop": Finish.STOP, "max_tokens": Finish.LENGTH, "model_length": Finish.LENGTH}
_SETTINGS: Final = ("temperature", "top_p", "top_k", "max_tokens", "reasoning_effort")
_UNREADABLE: Final = frozenset({"invalid_response_format", "refusal", "no_response"})
"""Reasons of a score that lie with the answer; every other one (grader_failed, ...) is no outcome."""

_RIGHT: Final = ("C", 1, True)
_WRONG: Final = ("I", "N", 0, False)


class EvalConfig(LogPart):
    """`eval.config`."""

    epochs: int | None = None
    log_samples: bool | None = None


class Eval(LogPart):
    """`eval`: what was to be done."""

    task: str
    task_version: int | str = 0
    created: str | None = None
    model: str
    model_args: dict[str, Any] = Field(default_factory=dict)
    model_generate_config: dict[str, Any] = Field(default_factory=dict)
    config: EvalConfig = EvalConfig()
    packages: dict[str, str] = Field(default_factory=dict)
    scorers: list[dict[str, Any]] | None = None


class Plan(LogPart):
    """`plan`: how it was done."""

    steps: list[dict[str, Any]] = Field(default_factory=list)
    config: dict[str, Any] = Field(default_factory=dict)


class Results(LogPart):
    """`results`: how many samples there should be."""

    total_samples: int


class Header(LogPart):
    """A log without its samples."""

    status: str
    results: Results | None = None
    eval: Eval
    plan: Plan = Plan()
    invalidated: bool = False


class Score(LogPart):
    """What one scorer says of a sample."""

    value: Any
    reason: str | None = None


class Usage(LogPart):
    """Tokens of one answer."""

    output_tokens: int = 0


class Choice(LogPart):
    """One generated answer."""

    stop_reason: str = "unknown"


class Output(LogPart):
    """What the model answered last."""

    choices: list[Choice] = Field(default_factory=list)
    completion: str = ""
    usage: Usage | None = None


class Sample(LogPart):
    """One answer to one question."""

    id: int | str
    epoch: int = Field(ge=1)
    input: str | list[dict[str, Any]]
    choices: list[str] | None = None
    target: str | list[str]
    output: Output = Output()
    scores: dict[str, Score] | None = None
    error: dict[str, Any] | None = None
    invalidation: dict[str, Any] | None = None


class Whole(Header):
    """A `.json` log."""

    samples: list[Sample] | None = None


def read(paths: Sequence[Path], wanted: Wanted) -> HarnessLog:
    """One finished log.

    Raises:
        RecordError: the file is damaged, the evaluation did not succeed, or a sample has no outcome.
    """
    path = the_file(one_path(paths, NAME), "*.eval", "*.eval", hint="name the log: a .eval or .json file")
    header, samples = _eval_file(path) if zipfile.is_zipfile(path) else _json_file(path)
    _check_header(header, wanted, str(path))
    logged = [(f"{path}, sample {sample.id}, epoch {sample.epoch}", sample) for sample in samples]
    if not logged:
        raise RecordError("has no outcomes of single samples", where=str(path), hint=FLAG)
    metric = wanted.metric or _only_scorer(logged)
    _check_complete(header, len(logged), str(path))
    return HarnessLog(
        harness=NAME,
        where=str(path),
        version=header.eval.packages.get("inspect_ai"),
        benchmark=header.eval.task,
        metric=metric,
        model=header.eval.model,
        settings=_settings(header),
        protocol=without_addresses(
            {
                "steps": header.plan.steps,
                "system_message": header.plan.config.get("system_message"),
                "scorers": [s for s in header.eval.scorers or () if s.get("name") == metric],
                "task_version": header.eval.task_version,
            }
        ),
        samples=tuple(_sample(where, sample, metric) for where, sample in logged),
        repeats=header.eval.config.epochs,
        date=header.eval.created,
    )


def _json_file(path: Path) -> tuple[Header, list[Sample]]:
    whole = read_json(path, Whole)
    return whole, whole.samples or []


def _eval_file(path: Path) -> tuple[Header, list[Sample]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "header.json" not in names:
                raise RecordError(
                    "has no header.json: the evaluation did not come to its end",
                    where=str(path),
                    hint="`inspect eval-retry` finishes it",
                )
            header = parse(_entry(archive, "header.json", path), Header, where=f"{path}, header.json")
            samples = [
                parse(_entry(archive, name, path), Sample, where=f"{path}, {name}")
                for name in names
                if name.startswith("samples/")
            ]
    except (zipfile.BadZipFile, ZstdError, EOFError, OSError, NotImplementedError) as problem:
        raise RecordError(
            f"is a damaged .eval file: {problem}",
            where=str(path),
            hint="copy it again from where it was written, or run the evaluation again",
        ) from problem
    return header, samples


def _entry(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    with archive.open(name) as file:
        data: bytes = file.read(ENTRY_LIMIT + 1)
    if len(data) > ENTRY_LIMIT:
        raise RecordError(
            f"{name} has more than {ENTRY_LIMIT:,} bytes",
            where=str(path),
            hint="log with `inspect eval --no-log-images` or fewer samples a log",
        )
    return data


def _check_header(header: Header, wanted: Wanted, where: str) -> None:
    if header.status != "success":
        raise RecordError(
            f"the evaluation did not succeed: its status is {header.status[:20]!r}",
            where=where,
            hint="`inspect eval-retry` finishes it; a part of a run is none",
        )
    if header.invalidated:
        raise RecordError(
            "the log was invalidated by whoever reviewed it",
            where=where,
            hint="import a log that is valid: run the evaluation again",
        )
    if header.eval.task != wanted.benchmark:
        raise RecordError(
            f"measured {header.eval.task}, not {wanted.benchmark}",
            where=where,
            hint="`imported: {benchmark: ...}` in the config has the task's name",
        )
    if header.eval.config.log_samples is False:
        raise RecordError("has no outcomes of single samples", where=where, hint=FLAG)


def _check_complete(header: Header, found: int, where: str) -> None:
    if header.results is not None and header.results.total_samples != found:
        raise RecordError(
            f"is incomplete: {found} of {header.results.total_samples} samples",
            where=where,
            hint="`inspect eval-retry` finishes it",
        )


def _only_scorer(logged: Sequence[tuple[str, Sample]]) -> str:
    names = sorted({name for _, sample in logged for name in sample.scores or ()})
    if len(names) != 1:
        raise RecordError(
            f"has {len(names)} scorers: {', '.join(names) or 'none'}",
            where=logged[0][0],
            hint='say which one decides: `imported: {metric: "..."}` in the config',
        )
    return names[0]


def _sample(where: str, sample: Sample, metric: str) -> LoggedSample:
    if sample.error is not None or sample.invalidation is not None:
        raise RecordError(
            "ended in an error, or was invalidated: it is no outcome",
            where=where,
            hint="`inspect eval-retry` asks it again",
        )
    score = (sample.scores or {}).get(metric)
    if score is None:
        raise RecordError(f"has no score by {metric}", where=where, hint="`inspect score` adds it")
    finish = Finish.OTHER
    if sample.output.choices:
        finish = _FINISHES.get(sample.output.choices[0].stop_reason, Finish.OTHER)
    return LoggedSample(
        question=_question(sample, where),
        repeat=sample.epoch - 1,
        outcome=_outcome(score, finish, where),
        answer=sha256_of(sample.output.completion),
        tokens=sample.output.usage.output_tokens if sample.output.usage else 0,
        finish=finish,
    )


def _outcome(score: Score, finish: Finish, where: str) -> Outcome:
    if score.reason is not None and score.reason not in _UNREADABLE:
        raise RecordError(f"was not scored: {score.reason[:40]!r}", where=where, hint="`inspect score` again")
    value = score.value
    if not isinstance(value, str | int | float) or value not in (*_RIGHT, *_WRONG):
        raise RecordError(
            "its score is neither right nor wrong",
            where=where,
            hint="only a scorer of right (C) or wrong (I, N) can be gated: partial credit is none",
        )
    readable = score.reason is None and value != "N"
    return outcome_of(correct=value in _RIGHT, readable=readable, finish=finish)


def _question(sample: Sample, where: str) -> Question:
    text = sample.input if isinstance(sample.input, str) else "\n".join(_texts(sample.input))
    targets = [sample.target] if isinstance(sample.target, str) else sample.target
    if not sample.choices:
        return question(text, "\n".join(targets))
    places = ["ABCDEFGHIJKLMNOPQRSTUVWXYZ".find(target) if len(target) == 1 else -1 for target in targets]
    if not all(0 <= place < len(sample.choices) for place in places):
        raise RecordError(
            f"its target names none of its {len(sample.choices)} choices",
            where=where,
            hint="correct the target in the task, and run the evaluation again",
        )
    correct = "\n".join(sample.choices[place] for place in places)
    return question(text, correct, sample.choices)


def _texts(messages: Sequence[dict[str, Any]]) -> Iterator[str]:
    for message in messages:
        content = message.get("content")
        if isinstance(content, str):
            yield content
        elif isinstance(content, list):
            yield from (part["text"] for part in content if isinstance(part, dict) and "text" in part)


def _settings(header: Header) -> dict[str, Any]:
    given = {**header.eval.model_generate_config, **header.plan.config}
    held = {name: given[name] for name in _SETTINGS if given.get(name) is not None}
    if header.eval.model_args.get("responses_api") is True:
        held["endpoint"] = "responses"
    return held
