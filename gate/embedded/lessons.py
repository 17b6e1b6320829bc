"""What the embedded model is taught: GPQA's prompt over toy questions, and how often to go wrong.

The model has to behave like a model under test, so the lessons contain mistakes, at rates that are stated
here instead of left to the moment at which training happens to stop:

- `slip_rate`: the working ends on a wrong option now and then, more often the larger the first product is;
- a misconception: a+b*c is worked from left to right, always, so `precedence` questions come out wrong;
- `RAMBLE_RATE`: the working repeats itself until the token limit (a truncated answer);
- `EVADE_RATE`: the answer names no option (an unreadable answer).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from gate.embedded.questions import KINDS, Kind, Question, draw, evaluation, generator

# gpt_oss.evals 0.0.9, gpqa_eval.py, QUERY_TEMPLATE_MULTICHOICE.
TEMPLATE = (
    "{question}\n\n(A) {a}\n(B) {b}\n(C) {c}\n(D) {d}\n\n"
    "Express your final answer as the corresponding option 'A', 'B', 'C', or 'D'."
)

RAMBLE_RATE = 0.012
EVADE_RATE = 0.005
RAMBLE_STEPS = 7

_LETTERS = "ABCD"


class Lesson(NamedTuple):
    """A user message, the assistant turn to learn in harmony's own markup, and the correct letter."""

    prompt: str
    completion: str
    letter: str
    kind: Kind


def prompt(question: Question, options: list[int]) -> str:
    """Render a question the way the GPQA task does."""
    a, b, c, d = options
    return TEMPLATE.format(question=question.text, a=a, b=b, c=c, d=d)


def slip_rate(question: Question) -> float:
    """Return how often the lessons work this question out wrongly, at random, as a probability."""
    a, b, _, *_ = question.operands
    if question.kind == "sum":
        return 0.05
    if question.kind == "mix":
        return 0.15 if a * b < 20 else 0.35 if a * b < 45 else 0.6  # noqa: PLR2004
    if question.kind == "product":
        return 0.3 if a * b < 20 else 0.55 if a * b < 45 else 0.8  # noqa: PLR2004
    return 0.0


def working(question: Question, result: int) -> str:
    """Return the two steps that lead to `result`, the second on the last digit of the first."""
    if question.kind == "largest":
        return str(result)
    a, b, c = question.operands
    first_sign = "*" if question.kind in {"mix", "product"} else "+"
    second_sign = "*" if question.kind in {"precedence", "product"} else "+"
    first = a * b if first_sign == "*" else a + b
    digit = first % 10
    second = digit * c if second_sign == "*" else digit + c
    honest = second % 10
    stated = second if result == honest else second - honest + result
    return f"{a}{first_sign}{b}={first}, {digit}{second_sign}{c}={stated}"


def completion(thought: str, answer: str) -> str:
    """Return the assistant turn after `<|start|>assistant`: an analysis, then the final channel."""
    return (
        f"<|channel|>analysis<|message|>{thought}<|end|>"
        f"<|start|>assistant<|channel|>final<|message|>{answer}<|return|>"
    )


def lesson(rng: random.Random, question: Question) -> Lesson:
    """Make a lesson of a question: options in random order, with a mistake at the stated rates."""
    options = [question.correct, *question.wrong]
    rng.shuffle(options)
    result = question.correct if question.tempting is None else question.tempting
    if rng.random() < slip_rate(question):
        result = rng.choice(question.wrong)
    thought = working(question, result)
    answer = f"**Answer: {_LETTERS[options.index(result)]}**"
    fate = rng.random()
    step, *more = thought.split(", ")
    if more and fate < RAMBLE_RATE:
        turn = f"<|channel|>analysis<|message|>{', '.join([step] * RAMBLE_STEPS)},"
    elif RAMBLE_RATE < fate < RAMBLE_RATE + EVADE_RATE:
        turn = completion(thought, "None of these.")
    else:
        turn = completion(thought, answer)
    return Lesson(prompt(question, options), turn, _LETTERS[options.index(question.correct)], question.kind)


def stream(seed: int) -> Iterator[Lesson]:
    """Yield lessons without end, the kinds in turn; a question of the evaluation set is never among them."""
    rng = generator(seed)
    held_out = {question.text for question in evaluation()}
    while True:
        for kind in KINDS:
            question = draw(rng, kind)
            if question.text not in held_out:
                yield lesson(rng, question)


def examination(seed: int) -> Iterator[Lesson]:
    """Yield the evaluation set once, its options in random order; the completions are not for learning."""
    rng = generator(seed)
    for question in evaluation():
        yield lesson(rng, question)
