"""evalscope: a work folder with `configs/`, `reviews/` (one line a graded sample) and `predictions/`.

Read in evalscope 1.14.1 (evalscope/constants.py, evalscope/api/evaluator/cache.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pydantic import Field

from gate.document import read_document
from gate.errors import RecordError
from gate.importers.log import (
    HarnessLog,
    LoggedSample,
    LogPart,
    Question,
    Wanted,
    one_path,
    outcome_of,
    question,
    read_lines,
)
from gate.model.canonical import sha256_of
from gate.model.sample import Finish

NAME: Final = "evalscope"
HINT: Final = "import the whole folder that --work-dir names: configs/, reviews/ and predictions/"
_FINISHES: Final = {"stop": Finish.STOP, "max_tokens": Finish.LENGTH, "model_length": Finish.LENGTH}
_SETTINGS: Final = ("temperature", "top_p", "top_k", "max_tokens", "reasoning_effort")
_PROTOCOL: Final = (
    *("prompt_template", "query_template", "system_prompt", "few_shot_num", "few_shot_random"),
    *("few_shot_prompt_template", "filters", "metric_list", "extra_params"),
)
_OPTION: Final = re.compile(r"^([A-Z])\) (.*)$", re.MULTILINE)


class Message(LogPart):
    """One message of a conversation; a content of several parts is not read."""

    role: str
    content: Any = ""


class Score(LogPart):
    """What the benchmark says of an answer."""

    value: dict[str, Any]
    status: str = "success"
    extracted_prediction: str | None = None
    prediction: str | None = None
    main_score_name: str | None = None


class SampleScore(LogPart):
    """A score and the place of its sample: question `group_id`, repeat `generation_index`."""

    score: Score
    group_id: int | str
    generation_index: int | None = None


class Review(LogPart):
    """One line of a review file."""

    index: int
    target: str | list[str] = ""
    messages: list[Message] = Field(default_factory=list)
    sample_score: SampleScore


class Usage(LogPart):
    """Tokens of one answer."""

    output_tokens: int = 0


class Choice(LogPart):
    """One generated answer."""

    stop_reason: str | None = None


class ModelOutput(LogPart):
    """What the model answered."""

    choices: list[Choice] = Field(default_factory=list)
    usage: Usage | None = None
    error: str | None = None


class Prediction(LogPart):
    """One line of a prediction file."""

    index: int
    model_output: ModelOutput | None = None


def read(paths: Sequence[Path], wanted: Wanted) -> HarnessLog:
    """One work folder.

    Raises:
        RecordError: a part of the folder is missing or damaged, or a sample has no outcome.
    """
    root = one_path(paths, NAME)
    config_path, config = _task_config(root)
    datasets = config.get("datasets")
    if not isinstance(datasets, tuple) or wanted.benchmark not in datasets:
        raise RecordError(
            f"measured {', '.join(map(str, datasets or ()))}, not {wanted.benchmark}",
            where=str(config_path),
            hint="`imported: {benchmark: ...}` in the config has the name that --datasets was given",
        )
    folder = config_path.parent.parent
    benchmark = _mapping(_mapping(config.get("resolved_benchmarks")).get(wanted.benchmark))
    samples: list[LoggedSample] = []
    metrics: set[str] = set()
    known = True
    for reviews in _review_files(folder, wanted.benchmark, benchmark):
        predictions = _predictions(folder / "predictions" / reviews.relative_to(folder / "reviews"))
        known = known and bool(predictions)
        for where, review in read_lines(reviews, Review):
            metric = _metric(review.sample_score.score, wanted, where)
            metrics.add(metric)
            samples.append(_sample(review, predictions, metric, benchmark, where))
    if not samples:
        raise RecordError("has no outcomes of single samples", where=str(folder / "reviews"), hint=HINT)
    if len(metrics) != 1:
        raise RecordError(
            f"has several metrics: {', '.join(sorted(metrics))}",
            where=str(folder),
            hint="keep one metric in the evaluation, and let evalscope write the report again",
        )
    generation = _mapping(config.get("generation_config"))
    settings = {name: generation[name] for name in _SETTINGS if generation.get(name) is not None}
    if config.get("eval_type") == "openai_api":
        settings["endpoint"] = "chat"
    version, repeats = config.get("evalscope_version"), config.get("repeats")
    return HarnessLog(
        harness=NAME,
        where=str(folder),
        version=version if isinstance(version, str) else None,
        benchmark=wanted.benchmark,
        metric=metrics.pop(),
        model=str(config["model"]) if config.get("model") else None,
        settings=settings,
        protocol={name: benchmark.get(name) for name in _PROTOCOL},
        samples=tuple(samples),
        repeats=repeats if isinstance(repeats, int) else None,
        lacks=() if known else ("tokens", "finish"),
    )


def _task_config(root: Path) -> tuple[Path, Mapping[str, Any]]:
    found = sorted(root.rglob("configs/task_config*.yaml")) if root.is_dir() else []
    if len(found) != 1:
        said = f"holds {len(found)} runs of evalscope" if found else "holds no configs/task_config*.yaml"
        raise RecordError(said, where=str(root), hint=f"name one of them: {found[0]}" if found else HINT)
    return found[0], read_document(found[0]).values


def _review_files(folder: Path, name: str, benchmark: Mapping[str, Any]) -> list[Path]:
    subsets = benchmark.get("subset_list")
    patterns = [f"{name}_{subset}.jsonl" for subset in subsets] if isinstance(subsets, tuple) else []
    found = [
        p for pattern in patterns or [f"{name}_*.jsonl"] for p in sorted(folder.glob(f"reviews/*/{pattern}"))
    ]
    if not found:
        raise RecordError(
            f"has no outcomes of single samples: no reviews/*/{name}_*.jsonl", where=str(folder), hint=HINT
        )
    if len(found) != len({path.name for path in found}):
        raise RecordError("holds the reviews of several models", where=str(folder / "reviews"), hint=HINT)
    return found


def _predictions(path: Path) -> dict[int, ModelOutput]:
    if not path.is_file():
        return {}
    return {p.index: p.model_output for _, p in read_lines(path, Prediction) if p.model_output is not None}


def _metric(score: Score, wanted: Wanted, where: str) -> str:
    name = wanted.metric or score.main_score_name
    if name is None and len(score.value) == 1:
        name = next(iter(score.value))
    if name is None or name not in score.value:
        raise RecordError(
            f"has no metric {name}, but: {', '.join(sorted(score.value))}",
            where=where,
            hint="say which one decides: `imported: {metric: ...}` in the config",
        )
    return name


def _sample(
    review: Review,
    predictions: Mapping[int, ModelOutput],
    metric: str,
    benchmark: Mapping[str, Any],
    where: str,
) -> LoggedSample:
    scored = review.sample_score
    score, output = scored.score, predictions.get(review.index)
    if score.status != "success" or (output is not None and output.error):
        raise RecordError("ended in an error: it is no outcome", where=where, hint="run it again")
    value = score.value[metric]
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        raise RecordError(
            f"{metric} is neither 0 nor 1", where=where, hint="only a metric of right or wrong can be gated"
        )
    finish = Finish.OTHER
    if output is not None and output.choices:
        finish = _FINISHES.get(output.choices[0].stop_reason or "", Finish.OTHER)
    return LoggedSample(
        question=_question(review, benchmark, where),
        repeat=scored.generation_index,
        outcome=outcome_of(correct=value == 1, readable=bool(score.extracted_prediction), finish=finish),
        answer=sha256_of(score.prediction),
        tokens=output.usage.output_tokens if output is not None and output.usage else 0,
        finish=finish,
    )


def _question(review: Review, benchmark: Mapping[str, Any], where: str) -> Question:
    asked = next((m.content for m in reversed(review.messages) if m.role == "user"), None)
    if not isinstance(asked, str):
        raise RecordError(
            "has no question that is plain text",
            where=where,
            hint="only text questions can be compared: leave samples with pictures out",
        )
    text, options = _apart(asked, benchmark.get("prompt_template"))
    targets = [review.target] if isinstance(review.target, str) else review.target
    if options and all(target in options for target in targets):
        return question(text, "\n".join(options[target] for target in targets), options.values())
    return question(text, "\n".join(targets))


def _apart(asked: str, template: object) -> tuple[str, dict[str, str]]:
    """Question and options of a rendered prompt; all of it where its template does not say."""
    if not isinstance(template, str) or "{question}" not in template or "{choices}" not in template:
        return asked, {}
    parts = re.split(r"(\{question\}|\{choices\}|\{letters\})", template)
    kinds = {"{question}": "(?P<question>.*)", "{choices}": "(?P<choices>.*)", "{letters}": "[A-Z,]+"}
    pattern = "".join(kinds.get(part, re.escape(part)) for part in parts)
    found = re.fullmatch(pattern, asked, re.DOTALL)
    if found is None:
        return asked, {}
    return found["question"], dict(_OPTION.findall(found["choices"]))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
