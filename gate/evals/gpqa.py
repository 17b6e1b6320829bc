"""GPQA diamond: 198 questions in CSV, asked independently or exactly as gpt_oss.evals 0.0.9 asks them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from gate.evals.answers import read_letter_gpt_oss
from gate.evals.choices import ChoiceTask, Item, by_id, first_ids
from gate.evals.dataset import Fetch, Source, download, load_dataset, read_csv
from gate.evals.endpoints import Asker
from gate.evals.groups import groups_of

if TYPE_CHECKING:
    from gate.settings import TaskSettings

COLUMNS: Final = (
    "Question",
    "Correct Answer",
    "Incorrect Answer 1",
    "Incorrect Answer 2",
    "Incorrect Answer 3",
)
GROUP: Final = "High-level domain"
PUBLISHED: Final = Source(
    "https://openaipublic.blob.core.windows.net/simple-evals/gpqa_diamond.csv",
    "41d1213cd7a4998605a26c2798500652572007161b3a92817ba46b35befcd305",
)
GPT_OSS: Final = "gpt_oss"


def load_gpqa(
    settings: TaskSettings,
    asker: Asker,
    *,
    dataset_path: Path | None,
    cache_dir: Path,
    fetch: Fetch = download,
) -> ChoiceTask:
    """GPQA diamond, or any file with its columns.

    Raises:
        DatasetError: the file is missing, altered or malformed.
    """
    dataset = load_dataset(
        path=dataset_path,
        dataset=settings.dataset,
        sha256=settings.dataset_sha256,
        published=PUBLISHED,
        cache_dir=cache_dir,
        fetch=fetch,
    )
    rows = read_csv(dataset, COLUMNS)
    items = by_id(
        dataset,
        rows,
        [Item(row.cells["Question"], tuple(row.cells[name] for name in COLUMNS[1:]), 0) for row in rows],
    )
    groups = groups_of(dataset, rows, items, GROUP if GROUP in rows[0].cells else None)
    if settings.protocol != GPT_OSS:
        return ChoiceTask(
            name=settings.name,
            protocol=settings.protocol,
            grader="gate-letter/1",
            dataset_sha256=dataset.sha256,
            asker=asker.limited(None),
            items=first_ids(items, settings.num_questions),
            groups=groups,
        )
    order = GptOssOrder(tuple(items), settings.num_questions)
    return ChoiceTask(
        name=settings.name,
        protocol=settings.protocol,
        grader="gpt_oss.evals/0.0.9",
        dataset_sha256=dataset.sha256,
        asker=asker.limited(None),
        items={name: items[name] for name in order.questions},
        groups=groups,
        order=order,
        read=lambda text, _letters: read_letter_gpt_oss(text),
        as_gpt_oss=True,
    )


class GptOssOrder:
    """The option permutations of gpt_oss/evals/gpqa_eval.py: one `Random(0)` draw a sample.

    Drawn pass by pass over the questions in the file's order, so that repeat r has the same permutations
    in every run, of however many repeats (statistics.md, pitfall 3: why this is not the default).

    Args:
        questions: ids in the file's order.
        number: ask only this many, which upstream draws with the same generator first.
    """

    def __init__(self, questions: Sequence[str], number: int | None = None) -> None:
        self._random = Random(0)  # noqa: S311 - to reproduce, not to protect
        chosen = self._random.sample(questions, min(number, len(questions))) if number else questions
        self.questions = tuple(chosen)
        self._place = {question: i for i, question in enumerate(self.questions)}
        self._drawn: list[tuple[int, ...]] = []

    def __call__(self, stream: str, question: str, repeat: int, options: int) -> tuple[int, ...]:
        """The permutation of one sample; the stream has no part in it."""
        index = repeat * len(self.questions) + self._place[question]
        while len(self._drawn) <= index:
            self._drawn.append(tuple(self._random.sample(range(options), options)))
        return self._drawn[index]
