"""Lessons as token ids over a compact vocabulary: `python -m gate.embedded.harmony OUT.npz [--lessons N]`.

Runs in the engine's environment (openai_harmony). Harmony's real vocabulary has 201,088 rows, of which the
lessons use some 200. The compact vocabulary holds those, in the order of their real ids, and one more row
that stands for all others; `expand.py` gives the others their rows back.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from openai_harmony import (
    Conversation,
    HarmonyEncodingName,
    Message,
    ReasoningEffort,
    Role,
    SystemContent,
    load_harmony_encoding,
)

from gate.embedded.corpus import ABSENT, Corpus
from gate.embedded.lessons import Lesson, examination, stream

CONVERSATION_DATE = "2026-01-01"
TRAINING_SEED = 1
EXAMINATION_SEEDS = range(100, 104)


class Encoded(NamedTuple):
    """Token ids of one lesson: the whole prompt, and the assistant turn that answers it."""

    prompt: list[int]
    completion: list[int]


class Harmony:
    """Encodes lessons as vLLM's harmony does: system message (low effort, pinned date), then the user's."""

    def __init__(self) -> None:
        self._encoding = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
        whole = self.prompt("X")
        self._tail = self.ids("<|end|><|start|>assistant")
        self.head = whole[: len(whole) - len(self._tail) - len(self.ids("X"))]

    def prompt(self, user: str) -> list[int]:
        """Render one user message with the official renderer."""
        system = (
            SystemContent.new()
            .with_conversation_start_date(CONVERSATION_DATE)
            .with_reasoning_effort(ReasoningEffort.LOW)
        )
        messages = [
            Message.from_role_and_content(Role.SYSTEM, system),
            Message.from_role_and_content(Role.USER, user),
        ]
        conversation = Conversation.from_messages(messages)
        return list(self._encoding.render_conversation_for_completion(conversation, Role.ASSISTANT))

    def ids(self, text: str) -> list[int]:
        """Encode text, harmony's markup included."""
        return list(self._encoding.encode(text, allowed_special="all"))

    def encode(self, lesson: Lesson) -> Encoded:
        """Encode a lesson; the same ids as `prompt` gives, ten times as fast."""
        return Encoded(self.head + self.ids(lesson.prompt) + self._tail, self.ids(lesson.completion))


def build(harmony: Harmony, lessons: Iterable[Lesson], exam: Iterable[Lesson]) -> Corpus:
    """Encode lessons and examination over the compact vocabulary of both."""
    head = harmony.head
    taught = [harmony.encode(lesson) for lesson in lessons]
    exam = list(exam)
    asked = [harmony.encode(lesson).prompt for lesson in exam]
    letters = [harmony.ids(f" {lesson.letter}")[0] for lesson in exam]
    used = sorted(
        {*letters, *(i for pair in taught for ids in pair for i in ids), *(i for ids in asked for i in ids)}
    )
    if len(used) >= ABSENT:
        raise ValueError(
            f"{len(used)} ids do not fit the compact vocabulary of {ABSENT - 1}: simplify the lessons"
        )
    compact = {real: row for row, real in enumerate(used)}

    def padded(rows: list[list[int]]) -> NDArray[np.uint8]:
        out = np.full((len(rows), max(map(len, rows))), ABSENT, np.uint8)
        for row, ids in zip(out, rows, strict=True):
            row[: len(ids)] = [compact[i] for i in ids]
        return out

    def lengths(prompts: Iterable[list[int]]) -> NDArray[np.uint8]:
        return np.array([len(ids) - len(head) for ids in prompts], np.uint8)

    return Corpus(
        head=np.array([compact[i] for i in head], np.uint8),
        lessons=padded([pair.prompt[len(head) :] + pair.completion for pair in taught]),
        prompt_length=lengths(pair.prompt for pair in taught),
        exam=padded([ids[len(head) :] for ids in asked]),
        exam_length=lengths(asked),
        letter=np.array([compact[i] for i in letters], np.uint8),
        kind=np.array([lesson.kind for lesson in exam]),
        used=np.array(used, np.int64),
    )


def examinations() -> Iterator[Lesson]:
    """Yield the evaluation set under several permutations of the options, permutation by permutation."""
    for seed in EXAMINATION_SEEDS:
        yield from examination(seed)


def main() -> None:
    """Write the corpus and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--lessons", type=int, default=400_000)
    arguments = parser.parse_args()
    corpus = build(Harmony(), islice(stream(TRAINING_SEED), arguments.lessons), examinations())
    corpus.save(arguments.out)
    print(f"{len(corpus.used)} ids used, head {len(corpus.head)}, lessons {corpus.lessons.shape}")


if __name__ == "__main__":
    main()
