"""The client against a real HTTP server in another process."""

from __future__ import annotations

import pytest

from gate.evals.client import EngineClient, ask_block
from gate.evals.task import load_task
from gate.model import Finish, Outcome
from gate.sequence import blocks
from gate.settings import Sampling, TaskSettings
from tests.support.questions import write_questions
from tests.support.stub_process import stub_engine

STREAM = "5" * 32


@pytest.fixture
def engine():
    with stub_engine() as running:
        yield running


@pytest.fixture
def client(engine):
    return EngineClient(engine.url, concurrency=8, timeout_seconds=30, retries=2, backoff_seconds=0.01)


def task_of(tmp_path, number=9, **settings):
    return load_task(
        TaskSettings(name="gpqa_diamond", **settings),
        Sampling(),
        reasoning_effort="low",
        served_model="stub",
        dataset_path=write_questions(tmp_path / "questions.csv", number),
        cache_dir=tmp_path / "cache",
    )


async def ask_first_block(client, task, *, already=None, on_sample=lambda sample: None):
    block = blocks(task.questions, "seed", 1)[0]
    return await ask_block(client, task, block, STREAM, already=already or {}, on_sample=on_sample)


@pytest.mark.parametrize("endpoint", ["responses", "chat", "completions"])
async def test_every_endpoint_is_asked_and_read(client, tmp_path, endpoint):
    task = load_task(
        TaskSettings(name="gpqa_diamond", endpoint=endpoint),
        Sampling(max_tokens=64),
        reasoning_effort="low",
        served_model="stub",
        dataset_path=write_questions(tmp_path / "questions.csv", 9),
        cache_dir=tmp_path / "cache",
    )
    async with client:
        samples = await ask_first_block(client, task)
    assert {s.outcome for s in samples} == {Outcome.CORRECT}
    assert {(s.finish, s.tokens) for s in samples} == {(Finish.STOP, 7)}
