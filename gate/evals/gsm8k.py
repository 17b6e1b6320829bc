"""gsm8k: vLLM's few-shot completions protocol, and a chat one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from gate.errors import DatasetError
from gate.evals.answers import last_integer, last_number
from gate.evals.dataset import Dataset, Fetch, Row, Source, download, load_dataset, read_jsonl
from gate.evals.endpoints import Asker
from gate.evals.task import Answer, Endpoint, Request
from gate.model.canonical import sha256_of
from gate.model.sample import Finish, Outcome
from gate.sequence import question_id, sample_seed

if TYPE_CHECKING:
    from gate.settings import TaskSettings

# The repository's last commit; vLLM's own test reads a bucket, with which it was not compared.
_DATA: Final = (
    "https://raw.githubusercontent.com/openai/grade-school-math/"
    "3101c7d5072418e28b9008a6636bde82a006892c/grade_school_math/data"
)
TEST: Final = Source(
    f"{_DATA}/test.jsonl", "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"
)
TRAIN: Final = Source(
    f"{_DATA}/train.jsonl", "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465"
)
VLLM_FEW_SHOT: Final = "vllm_few_shot"
_STOP: Final = ("Question", "Assistant:", "<|separator|>")
_FEW_SHOT_TOKENS: Final = 256
_DEFAULT_SHOTS: Final = 5
_COLUMNS: Final = ("question", "answer")


class Problem(NamedTuple):
    """A question and the number that answers it; its repr hides the text."""

    question: str
    number: Decimal

    def __repr__(self) -> str:
        return "Problem()"


@dataclass(frozen=True, kw_only=True)
class Gsm8kTask:
    """gsm8k (see `gate.evals.task.Task`).

    `vllm_few_shot` is vLLM's tests/evals/gsm8k/gsm8k_eval.py: examples before the question, its stop
    strings, the last run of digits without its sign, and a truncated answer graded as it stands. `chat`
    sends the same prompt as a message, but without stop strings, which would cut a model's reasoning at
    the word "Question", reads signs and decimals, and counts a truncated answer as invalid.
    """

    name: str
    protocol: str
    dataset_sha256: str
    asker: Asker = field(repr=False)
    examples: str = field(repr=False)
    problems: Mapping[str, Problem] = field(repr=False)
    gen_prefix: str = ""
    chance: float = 0.0

    @property
    def endpoint(self) -> Endpoint:
        """Which of the engine's endpoints is asked."""
        return self.asker.endpoint

    @property
    def max_tokens(self) -> int | None:
        """The token limit that is sent, if any."""
        return self.asker.sampling.max_tokens

    @property
    def grader(self) -> str:
        """Name and version of what reads the answers."""
        return "vllm-gsm8k/1" if self.protocol == VLLM_FEW_SHOT else "gate-number/1"

    @property
    def prompt_sha256(self) -> str:
        """SHA-256 of the prompt around a question, the examples included, and the stop strings."""
        return sha256_of([_prompt(self.examples, "{question}", self.gen_prefix), *self._stop])

    @property
    def questions(self) -> tuple[str, ...]:
        """Question ids, ascending."""
        return tuple(sorted(self.problems))

    @property
    def groups(self) -> Mapping[str, str]:
        """It has none."""
        return {}

    @property
    def _stop(self) -> tuple[str, ...]:
        return _STOP if self.protocol == VLLM_FEW_SHOT else ()

    def request(self, question_id: str, repeat: int, stream: str) -> Request:
        """The request of one sample."""
        prompt = _prompt(self.examples, self.problems[question_id].question, self.gen_prefix)
        return self.asker.request(prompt, sample_seed(stream, question_id, repeat), self._stop)

    def grade(self, question_id: str, repeat: int, stream: str, answer: Answer) -> Outcome:
        """Correct if the last number of the text is the right one; invalid if there is none."""
        del repeat, stream  # nothing is permuted
        right = self.problems[question_id].number
        whole = answer.finish is Finish.STOP
        if self.protocol == VLLM_FEW_SHOT:
            integer = last_integer(answer.text)
            if integer is not None and integer == abs(right):
                return Outcome.CORRECT
            return Outcome.WRONG if whole and integer is not None else Outcome.INVALID
        number = last_number(answer.text) if whole else None
        if number is None:
            return Outcome.INVALID
        return Outcome.CORRECT if number == right else Outcome.WRONG


def load_gsm8k(
    settings: TaskSettings,
    asker: Asker,
    *,
    dataset_path: Path | None,
    cache_dir: Path,
    fetch: Fetch = download,
) -> Gsm8kTask:
    """gsm8k's test questions; the examples are the first of train.jsonl beside them.

    Raises:
        DatasetError: a file is missing, altered or malformed.
    """
    dataset = load_dataset(
        path=dataset_path,
        dataset=settings.dataset,
        sha256=settings.dataset_sha256,
        published=TEST,
        cache_dir=cache_dir,
        fetch=fetch,
    )
    shots = _DEFAULT_SHOTS if settings.num_fewshot is None else settings.num_fewshot
    given = dataset_path or (Path(settings.dataset) if settings.dataset else None)
    examples = ""
    if shots:
        train = load_dataset(
            path=given.with_name("train.jsonl") if given else None,
            dataset=None,
            sha256=None,
            published=TRAIN,
            cache_dir=cache_dir,
            fetch=fetch,
        )
        examples = _examples(train, shots, settings.gen_prefix)
    few_shot = settings.protocol == VLLM_FEW_SHOT
    return Gsm8kTask(
        name=settings.name,
        protocol=settings.protocol,
        dataset_sha256=dataset.sha256,
        asker=asker.limited(_FEW_SHOT_TOKENS if few_shot else None),
        examples=examples,
        problems=_problems(dataset, settings.num_questions),
        gen_prefix=settings.gen_prefix,
    )


def _examples(train: Dataset, shots: int, prefix: str) -> str:
    rows = read_jsonl(train, _COLUMNS)
    if len(rows) < shots:
        raise DatasetError(
            f"{len(rows)} examples, but num_fewshot is {shots}",
            where=train.where,
            hint="lower num_fewshot, or give a file with more examples",
        )
    cells = [row.cells for row in rows[:shots]]
    return "".join(f"{_prompt('', cell['question'], prefix)} {cell['answer']}\n\n" for cell in cells)


def _prompt(examples: str, question: str, prefix: str) -> str:
    return f"{examples}Question: {question}\nAnswer:{prefix}"


def _problems(dataset: Dataset, number: int | None) -> dict[str, Problem]:
    """The first `number` problems of the file by question id, as vLLM's test takes them."""
    lines: dict[str, int] = {}
    problems: dict[str, Problem] = {}
    for row in read_jsonl(dataset, _COLUMNS)[:number]:
        problem, answer = _problem(dataset, row)
        name = question_id(problem.question, answer)
        if name in problems:
            where = f"{dataset.where}:{row.line}"
            raise DatasetError(
                f"the question is the same as that of line {lines[name]}",
                where=where,
                hint="remove one of the two lines: each question counts once",
            )
        problems[name], lines[name] = problem, row.line
    return problems


def _problem(dataset: Dataset, row: Row) -> tuple[Problem, str]:
    question, worked = row.cells["question"], row.cells["answer"]
    where = f"{dataset.where}:{row.line}"
    if not isinstance(question, str) or not question.strip():
        raise DatasetError(
            "the column 'question' holds no text", where=where, hint="fill it in, or remove the line"
        )
    answer = worked.rpartition("####")[2].strip() if isinstance(worked, str) else ""
    number = last_number(answer)
    if number is None:
        raise DatasetError(
            "the column 'answer' ends in no number",
            where=where,
            hint="end it with `#### NUMBER`, as gsm8k does",
        )
    return Problem(question, number), answer
