"""What a task is: questions, the request for one sample, and the grade of its answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from gate.errors import UsageError
from gate.evals.dataset import Fetch, download
from gate.model import Finish, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gate.settings import Sampling, TaskSettings

Endpoint = Literal["responses", "chat", "completions"]


class Request(NamedTuple):
    """One HTTP request to the engine; its repr hides the body, which holds question text."""

    path: str
    body: Mapping[str, object]

    def __repr__(self) -> str:
        return f"Request({self.path})"


class Answer(NamedTuple):
    """What the engine answered; its repr hides the text."""

    text: str
    finish: Finish
    tokens: int

    def __repr__(self) -> str:
        return f"Answer({len(self.text)} characters, {self.finish.name}, {self.tokens} tokens)"


class Task(Protocol):
    """A set of questions with the protocol that asks and grades them.

    `questions` are ids, ascending; `chance` is the accuracy of guessing. Nothing that prints a task, a
    request or an answer shows question text: GPQA must not be republished.
    """

    @property
    def name(self) -> str:
        """As in the config: gpqa_diamond, gsm8k, choices."""

    @property
    def protocol(self) -> str:
        """Which way of asking and grading, for the fingerprint."""

    @property
    def endpoint(self) -> Endpoint:
        """Which of the engine's endpoints is asked."""

    @property
    def grader(self) -> str:
        """Name and version of what reads the answers, for the fingerprint."""

    @property
    def dataset_sha256(self) -> str:
        """SHA-256 of the question file's bytes."""

    @property
    def prompt_sha256(self) -> str:
        """SHA-256 of everything in a prompt that is not the question itself."""

    @property
    def questions(self) -> tuple[str, ...]:
        """Question ids, ascending."""

    @property
    def groups(self) -> Mapping[str, str]:
        """Question id -> name of its group; empty where the data set has no groups."""

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""

    @property
    def max_tokens(self) -> int | None:
        """The limit that is sent; None leaves it to the engine (what fits its context)."""

    def request(self, question_id: str, repeat: int, stream: str) -> Request:
        """The request of one sample; equal arguments give equal requests."""

    def grade(self, question_id: str, repeat: int, stream: str, answer: Answer) -> Outcome:
        """Correct, wrong or invalid."""


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
    from gate.evals.choices import load_choices  # noqa: PLC0415 - each task imports this module
    from gate.evals.endpoints import Asker  # noqa: PLC0415
    from gate.evals.gpqa import load_gpqa  # noqa: PLC0415
    from gate.evals.gsm8k import load_gsm8k  # noqa: PLC0415

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
