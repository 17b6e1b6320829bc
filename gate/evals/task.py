"""What a task is: questions, the request for one sample, and the grade of its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from gate.model.sample import Finish, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

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
