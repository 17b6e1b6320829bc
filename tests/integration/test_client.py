"""The client against a real HTTP server in another process."""

from __future__ import annotations

import asyncio
import socket
import time
from email.utils import formatdate

import pytest

from gate.errors import EngineError, EngineLost
from gate.evals.client import EngineClient
from gate.evals.load import load_task
from gate.evals.task import Request
from gate.model.sample import Finish, Outcome
from gate.sequence import blocks, sample_seed
from gate.settings import Sampling, TaskSettings
from tests.support.questions import write_questions
from tests.support.stub_process import stub_engine

STREAM = "5" * 32
UNREADABLE = (
    "Unknown channel: comment",
    "Unexpected token 11 while expecting start token 200006",
    'unexpected tokens remaining in message header: Some("D: D")',
    "could not decode header",
    "channel marker present but no channel value found in header",
    "message header did not contain a role",
    "Unexpected EOS while waiting for message header to complete",
)
"""What vLLM 0.22.1 says of an answer that is no harmony message: four were seen, the last three read."""


@pytest.fixture(scope="module")
def process():
    with stub_engine() as running:
        yield running


@pytest.fixture
def engine(process):
    process.switch(reset=True)
    return process


@pytest.fixture
def client_of(engine):
    def make(url=engine.url, **options):
        defaults = {"concurrency": 8, "timeout_seconds": 30, "retries": 2, "backoff_seconds": 0.01}
        return EngineClient(url, **{**defaults, **options})

    return make


@pytest.fixture
def task_of(tmp_path):
    def load(number=9, model="stub", **settings):
        return load_task(
            TaskSettings(name="gpqa_diamond", **settings),
            Sampling(max_tokens=64),
            reasoning_effort="low",
            served_model=model,
            dataset_path=write_questions(tmp_path / "questions.csv", number),
            cache_dir=tmp_path / "cache",
        )

    return load


async def ask(client, task, number=0, *, already=None, on_sample=lambda sample: None):
    """One block: three thirds of the first repeat, then a repeat each."""
    block = blocks(task.questions, "seed", 3)[number]
    return await client.ask_block(task, block, STREAM, already=already or {}, on_sample=on_sample)


async def ask_one(client, task):
    return await client.ask(task.request(task.questions[0], 0, STREAM))


@pytest.mark.parametrize("endpoint", ["responses", "chat", "completions"])
async def test_every_endpoint_is_asked_and_read(client_of, task_of, endpoint):
    async with client_of() as client:
        samples = await ask(client, task_of(endpoint=endpoint))
    assert {s.outcome for s in samples} == {Outcome.CORRECT}
    assert {(s.finish, s.tokens) for s in samples} == {(Finish.STOP, 7)}


async def test_a_block_comes_back_in_its_own_order_and_each_sample_once_as_it_arrives(client_of, task_of):
    task, arrived = task_of(), []
    async with client_of() as client:
        samples = await ask(client, task, 3, on_sample=arrived.append)
    block = blocks(task.questions, "seed", 3)[3]
    assert [s.question for s in samples] == list(block.questions)
    assert {s.repeat for s in samples} == {1}
    assert sorted(arrived) == sorted(samples)


async def test_samples_that_are_there_already_are_not_asked_again(client_of, engine, task_of):
    task, arrived = task_of(), []
    async with client_of() as client:
        first = await ask(client, task)
        kept = {(s.question, s.repeat): s for s in first[:2]}
        again = await ask(client, task, already=kept, on_sample=arrived.append)
    assert again == first
    assert arrived == [first[2]]
    assert engine.counts()["requests"] == 4


async def test_each_request_carries_its_own_seed(client_of, engine, task_of):
    task = task_of()
    async with client_of() as client:
        await ask(client, task)
    wanted = {sample_seed(STREAM, q, 0) for q in blocks(task.questions, "seed", 1)[0].questions}
    assert {body["seed"] for body in engine.counts()["bodies"]} == wanted


async def test_no_more_requests_are_in_flight_than_allowed(client_of, engine, task_of):
    engine.switch(delay=0.02)
    task = task_of(60)
    async with client_of(concurrency=5) as client:
        await asyncio.gather(ask(client, task, 3), ask(client, task, 4))
    assert engine.counts()["requests"] == 120
    assert engine.counts()["most_in_flight"] == 5


async def test_a_block_asked_ahead_waits_for_the_one_before_it(client_of, engine, task_of):
    engine.switch(delay=0.01)
    task = task_of(40)
    async with client_of(concurrency=4) as client:
        ahead = asyncio.create_task(ask(client, task, 4))
        await engine.until(requests=1)
        await ask(client, task, 3)
        await ahead
    sooner = {sample_seed(STREAM, question, 1) for question in task.questions}
    arrived = "".join("s" if body["seed"] in sooner else "." for body in engine.counts()["bodies"])
    assert arrived.count("s") == arrived.count(".") == 40
    # What came in between was already on its way when the sooner block began.
    assert arrived.strip(".").count(".") <= 4


@pytest.mark.parametrize("fault", ["500", "503", "429", "garbage", "no_choice", "drop"])
async def test_what_fails_on_the_way_is_asked_again(client_of, engine, task_of, fault):
    engine.switch(fault=fault, first=2)
    async with client_of() as client:
        samples = await ask(client, task_of())
    assert {s.outcome for s in samples} == {Outcome.CORRECT}
    assert engine.counts()["requests"] == 5


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("500", r"HTTP 500 \(InternalServerError 500 temperature\) \(3 times\)"),
        ("503", r"HTTP 503 .*\(3 times\)"),
        ("garbage", r"the reply is not JSON \(3 times\)"),
        ("no_choice", r"the reply has no output \(3 times\)"),
        ("drop", r"connection failed: \w+ \(3 times\)"),
        ("400", r"HTTP 400 \(BadRequestError 400 temperature\)"),
        ("404", r"HTTP 404 \(BadRequestError 404 temperature\)"),
        ("wrong_model", r"the engine serves 'another-model', not 'stub'"),
    ],
)
async def test_a_fault_that_stays_is_the_engines_error(client_of, engine, task_of, fault, message):
    engine.switch(fault=fault)
    async with client_of() as client:
        with pytest.raises(EngineError, match=rf"{message}\n") as caught:
            await ask(client, task_of())
    assert caught.value.where == f"{engine.url}/v1/responses"


@pytest.mark.parametrize(
    ("fault", "advice"),
    [("400", "check `sampling`"), ("404", "check `sampling`"), ("wrong_model", "--served-model")],
)
async def test_a_refused_request_is_not_sent_again(client_of, engine, task_of, fault, advice):
    engine.switch(fault=fault)
    async with client_of() as client:
        with pytest.raises(EngineError) as caught:
            await ask_one(client, task_of())
    assert advice in caught.value.hint
    assert engine.counts()["requests"] == 1


@pytest.mark.parametrize("fault", ["echo_400", "echo_500"])
async def test_an_error_body_that_echoes_the_prompt_is_not_quoted(client_of, engine, task_of, fault):
    engine.switch(fault=fault)
    async with client_of(retries=0) as client:
        with pytest.raises(EngineError) as caught:
            await ask_one(client, task_of())
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not any("What is" in f"{error!s}{error!r}" for error in chain)


async def test_retry_after_decides_the_pause(client_of, engine, task_of):
    engine.switch(fault="429", first=1, retry_after="1")
    started = time.monotonic()
    async with client_of() as client:
        await ask_one(client, task_of())
    assert 1 <= time.monotonic() - started < 30


@pytest.mark.parametrize("retry_after", [formatdate(1e9, usegmt=True), "soon"])
async def test_a_past_or_unreadable_retry_after_means_no_long_pause(client_of, engine, task_of, retry_after):
    engine.switch(fault="503", first=1, retry_after=retry_after)
    started = time.monotonic()
    async with client_of() as client:
        await ask_one(client, task_of())
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("fault", "finish"),
    [
        ("empty", Finish.STOP),
        ("length", Finish.LENGTH),
        *((f"says: {text}", Finish.OTHER) for text in UNREADABLE),
    ],
)
async def test_a_bad_answer_of_a_healthy_engine_is_an_invalid_sample(
    client_of, engine, task_of, fault, finish
):
    engine.switch(fault=fault)
    async with client_of() as client:
        samples = await ask(client, task_of())
    assert {(s.outcome, s.finish) for s in samples} == {(Outcome.INVALID, finish)}
    assert engine.counts()["requests"] == 3


@pytest.mark.parametrize("concurrency", [1, 8])
async def test_a_request_that_outlasts_its_time_while_tokens_flow_is_an_invalid_sample(
    client_of, engine, task_of, concurrency
):
    engine.switch(fault="slow", first=1)
    async with client_of(timeout_seconds=2, hang_seconds=10, concurrency=concurrency) as client:
        samples = await ask(client, task_of())
    assert sorted((s.outcome, s.finish) for s in samples) == [
        (Outcome.CORRECT, Finish.STOP),
        (Outcome.CORRECT, Finish.STOP),
        (Outcome.INVALID, Finish.TIMEOUT),
    ]


async def test_a_request_answered_after_its_time_is_an_invalid_sample(client_of, engine, task_of):
    engine.switch(delay=1.0)
    async with client_of(timeout_seconds=0.3, hang_seconds=60) as client:
        (sample, *_) = await ask(client, task_of())
    assert (sample.outcome, sample.finish) == (Outcome.INVALID, Finish.TIMEOUT)


@pytest.mark.parametrize("concurrency", [1, 8])
@pytest.mark.parametrize("metrics", [True, False])
@pytest.mark.parametrize("timeout_seconds", [0.3, 30])
async def test_an_engine_that_hangs_is_lost_in_time_and_no_sample_is_wrong(  # noqa: PLR0917 - three ways to hang
    client_of, engine, task_of, concurrency, metrics, timeout_seconds
):
    engine.switch(fault="hangs", metrics=metrics)
    arrived, started = [], time.monotonic()
    async with client_of(timeout_seconds=timeout_seconds, hang_seconds=1, concurrency=concurrency) as client:
        with pytest.raises(EngineLost, match=r"the engine hangs: for 1 s, while .* in flight") as caught:
            await ask(client, task_of(), on_sample=arrived.append)
    assert time.monotonic() - started < 30
    assert arrived == []
    said = "/metrics, which says" if metrics else "/metrics counts no tokens"
    assert said in str(caught.value)
    assert "--hang-seconds" in str(caught.value)


async def test_an_engine_that_hangs_after_good_answers_is_lost_and_keeps_them(client_of, engine, task_of):
    arrived = []
    async with client_of(hang_seconds=3, concurrency=1) as client:
        await ask(client, task_of(), on_sample=arrived.append)
        engine.switch(fault="hangs")
        with pytest.raises(EngineLost, match="the engine hangs"):
            await ask(client, task_of(), 1, on_sample=arrived.append)
    assert [sample.outcome for sample in arrived] == [Outcome.CORRECT] * 3


async def test_a_slow_engine_whose_tokens_flow_does_not_hang(client_of, engine, task_of):
    engine.switch(fault="slow")
    async with client_of(hang_seconds=1.5) as client:
        asking = asyncio.create_task(ask(client, task_of()))
        assert await asyncio.wait([asking], timeout=4) == (set(), {asking})
        asking.cancel()


async def test_an_idle_engine_does_not_hang(client_of, engine, task_of):
    async with client_of(hang_seconds=1) as client:
        await ask(client, task_of())
        await asyncio.sleep(2)
        await ask(client, task_of(), 1)


async def test_an_engine_that_answers_nothing_at_all_not_even_metrics_is_lost(client_of, task_of):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        async with client_of(url, hang_seconds=0.4) as client:
            with pytest.raises(EngineLost, match="/metrics counts no tokens"):
                await ask_one(client, task_of())


async def test_an_error_without_a_body_in_json_is_told_by_its_status(client_of):
    async with client_of() as client:
        with pytest.raises(EngineError, match=r"/nowhere: HTTP 404\n"):
            await client.ask(Request("/nowhere", {}))


async def test_an_engine_that_is_not_there_is_an_error_within_the_retries(client_of, task_of):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    async with client_of(f"http://127.0.0.1:{port}/") as client:
        with pytest.raises(EngineError, match=rf"127\.0\.0\.1:{port}/v1/responses: connection failed"):
            await ask_one(client, task_of())


async def test_a_death_in_the_middle_of_a_block_ends_it_with_the_finished_samples_reported(
    client_of, task_of
):
    arrived = []
    with stub_engine("--dies-after", "30") as engine:
        async with client_of(engine.url) as client:
            with pytest.raises(EngineError, match="connection failed"):
                await ask(client, task_of(60), 3, on_sample=arrived.append)
    assert 0 < len(arrived) <= 30
    assert {s.outcome for s in arrived} == {Outcome.CORRECT}


async def test_cancelling_a_block_leaves_no_request_behind(client_of, engine, task_of):
    engine.switch(fault="slow")
    task = task_of(40)
    async with client_of() as client:
        asking = asyncio.create_task(ask(client, task, 3))
        await engine.until(in_flight=8)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert len(asyncio.all_tasks()) == 2, "this test and the client's own watch"
        engine.switch(fault=None)
        assert len(await ask(client, task, 4)) == 40


async def test_an_error_of_the_callback_ends_the_block(client_of, task_of):
    def full(sample):
        raise OSError("disk full")

    async with client_of(concurrency=1) as client:
        with pytest.raises(OSError, match="disk full"):
            await ask(client, task_of(), on_sample=full)


async def test_a_slot_handed_to_a_request_that_is_cancelled_just_then_is_not_lost(client_of, task_of):
    test = asyncio.current_task()

    def cancel_all(sample):
        for task in asyncio.all_tasks() - {test, asyncio.current_task()}:
            task.cancel()

    async with client_of(concurrency=1) as client:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(ask(client, task_of(), on_sample=cancel_all))
        async with asyncio.timeout(10):
            assert len(await ask(client, task_of())) == 3


async def test_a_client_is_entered_before_it_asks(client_of, task_of):
    with pytest.raises(RuntimeError, match="async with"):
        await ask_one(client_of(), task_of())
