"""The far end of a Ray cluster without Ray: a real engine, its client, and the news of both."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gate.errors import EngineError, EngineLost
from gate.evals.asking import Manner
from gate.evals.load import load_task
from gate.evals.task import Task
from gate.executors.ray_host import EngineHost, News
from gate.sequence import Block, blocks
from gate.serving import server as server_module
from gate.serving.launch import LocalProcess
from gate.settings import Sampling, TaskSettings
from tests.support.project import STUB
from tests.support.questions import write_questions
from tests.support.waiting import PATIENCE

STREAM = "5" * 32
MANNER = Manner(concurrency=2, timeout_seconds=PATIENCE, hang_seconds=PATIENCE)
SHOWS = """
import os, runpy, sys
print("shown", os.environ.get("VLLM_OF_THE_NODE"), os.getcwd(), flush=True)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(autouse=True)
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running engines are noted apart from those of this machine's other runs."""
    folder = tmp_path / "states"
    folder.mkdir()
    monkeypatch.setattr(server_module, "state_folder", lambda: folder)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineHost:
    """A node's process, which began in another folder than the run."""
    monkeypatch.chdir("/")
    return EngineHost(str(tmp_path))


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return load_task(
        TaskSettings(name="gpqa_diamond"),
        Sampling(max_tokens=64),
        reasoning_effort="low",
        served_model="stub",
        dataset_path=write_questions(tmp_path / "questions.csv", 12),
        cache_dir=tmp_path / "cache",
    )


def launcher(tmp_path: Path, *options: str) -> LocalProcess:
    """The stand-in engine as this machine would start it, whose environment is not the node's."""
    shows = tmp_path / "shows.py"
    shows.write_text(SHOWS)
    command = [sys.executable, str(shows), str(STUB)]
    return LocalProcess(command, "stub", "stub", server_args=options, outer={})


@asynccontextmanager
async def asked(host: EngineHost, task: Task, start: LocalProcess) -> AsyncIterator[list[Block]]:
    """An engine that is up, with a client; its task's blocks."""
    await host.start(start, "cpu", "engine.log", PATIENCE)
    try:
        assert await host.healthy() is None
        await host.connect(MANNER)
        await host.learn(task)
        yield list(blocks(task.questions, "seed", 3))
    finally:
        await host.stop(hurried=False)


async def news_until(host: EngineHost, enough: Callable[[News], bool]) -> News:
    """Everything told until it is enough, as one; every news holds something."""
    told = News()
    while not enough(told):
        news = await host.news()
        assert news != News()
        told.lines += news.lines
        told.ended |= news.ended
        told.died, told.bug, told.over = told.died or news.died, told.bug or news.bug, news.over
        for number, samples in news.samples.items():
            told.samples.setdefault(number, []).extend(samples)
    return told


async def test_an_engine_is_started_asked_and_stopped_with_news_of_everything_once(
    host: EngineHost, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_OF_THE_NODE", "yes")
    async with asked(host, task, launcher(tmp_path)) as every:
        await host.ask(7, every[3], STREAM)
        told = await news_until(host, lambda news: bool(news.ended))
    assert told.ended == {7: None}
    assert sorted(sample.question for sample in told.samples[7]) == sorted(every[3].questions)
    last = await news_until(host, lambda news: news.over)
    assert (last.samples, last.ended, last.died, last.bug) == ({}, {}, None, None)
    assert f"shown yes {tmp_path}" in told.lines + last.lines


async def test_a_block_that_is_cancelled_is_asked_no_further(
    host: EngineHost, task: Task, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    stays = launcher(tmp_path, "--hangs-after", "3", "--until", str(go_on))
    async with asked(host, task, stays) as every:
        await host.ask(0, every[3], STREAM)
        told = await news_until(host, lambda news: len(news.samples.get(0, [])) == 3)
        await host.cancel(0)
        go_on.touch()
        await host.ask(1, every[4], STREAM)
        told = await news_until(host, lambda news: 1 in news.ended)
        assert (set(told.samples), told.ended) == ({1}, {1: None})


async def test_what_is_asked_when_the_engine_is_stopped_has_not_failed(
    host: EngineHost, task: Task, tmp_path: Path
) -> None:
    async with asked(host, task, launcher(tmp_path, "--hangs-after", "3")) as every:
        await host.ask(0, every[3], STREAM)
        await news_until(host, lambda news: len(news.samples.get(0, [])) == 3)
    assert (await news_until(host, lambda news: news.over)).ended == {}


async def test_an_engine_that_dies_and_the_block_that_it_took_along_are_told(
    host: EngineHost, task: Task, tmp_path: Path
) -> None:
    async with asked(host, task, launcher(tmp_path, "--dies-after", "3")) as every:
        await host.ask(0, every[3], STREAM)
        told = await news_until(host, lambda news: bool(news.died and news.ended))
    assert isinstance(told.died, EngineLost)
    assert isinstance(told.ended[0], EngineError)


async def test_an_engine_that_does_not_start_says_why(host: EngineHost, tmp_path: Path) -> None:
    await host.start(launcher(tmp_path, "--exit", "3"), "cpu", "engine.log", PATIENCE)
    assert "status 3" in str(await host.healthy())
    await host.stop(hurried=False)
    assert (await news_until(host, lambda news: news.over)).bug is None


async def test_a_bug_is_among_the_last_news(host: EngineHost, tmp_path: Path) -> None:
    await host.start(launcher(tmp_path), "cpu", "no file has this name\0", PATIENCE)
    with pytest.raises(ValueError, match="null"):
        await host.healthy()
    await host.stop(hurried=False)
    assert isinstance((await news_until(host, lambda news: news.over)).bug, ValueError)


def test_relative_paths_mean_the_same_where_the_folder_exists(host: EngineHost, tmp_path: Path) -> None:
    assert Path.cwd() == tmp_path
    EngineHost("/no such folder")
    assert Path.cwd() == tmp_path
