"""What the gate asks of Ray, and what it makes of what a node says; a real cluster is in `integration/`."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gate.engine import EngineChoice
from gate.errors import EngineError, HostLost, RecordError, UsageError
from gate.evals.asking import Manner
from gate.executors import ray as over_ray
from gate.executors import ray_host
from gate.executors.ray import A_SHARE, HEAD_SECONDS, Cluster, OnRay, RayHost
from gate.executors.ray_host import EngineHost, Introduction, News
from gate.executors.ray_place import HostedClient, HostedEngine, HostedPlace
from gate.fingerprint import gate_version
from gate.model.sample import Finish, Outcome, Sample
from gate.sequence import Block
from tests.support.waiting import PATIENCE

TASK: Any = object()
BLOCK = Block(number=0, repeat=0, questions=("q1", "q2"), samples_after=2)
GONE = HostLost("host1 is gone", hint="go on elsewhere")
MANNER = Manner(concurrency=1, timeout_seconds=1.0, hang_seconds=1.0)


class RayError(Exception):
    """The cluster failed."""


class RayTaskError(RayError):
    """What was called on a node raised."""


def node(gpus: int = 0, *, alive: bool = True, **resources: float) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"CPU": 1.0, "GPU": float(gpus), **resources}}


class Ray:
    """Ray with these nodes: a function runs here, an actor answers `said` to everything."""

    exceptions = SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError)

    def __init__(self, *nodes: dict[str, Any], **said: Any) -> None:
        self._nodes, self._said = nodes, {"introduce": NODE} | said
        self.options: dict[str, Any] = {}
        self.made: list[tuple[Any, ...]] = []
        self.asked: list[str] = []
        self.killed: list[object] = []
        self._folder = Path.cwd()

    def nodes(self) -> list[dict[str, Any]]:
        """See Ray."""
        return list(self._nodes)

    def get(self, answer: Any) -> Any:
        """See Ray."""
        return answer

    def remote(self, what: Any) -> Any:
        """See Ray."""

        def options(**given: Any) -> Any:
            self.options = given
            return SimpleNamespace(remote=make if isinstance(what, type) else call)

        def call(*arguments: Any) -> Any:
            os.chdir(self._folder)  # that of the node's own processes
            return what(*arguments)

        def make(*arguments: Any) -> Any:
            self.made.append(arguments)
            return SimpleNamespace(
                **{name: SimpleNamespace(remote=self._answers(name)) for name in self._said}
            )

        return SimpleNamespace(options=options)

    def _answers(self, name: str) -> Callable[..., Any]:
        def answer(*_: Any) -> Any:
            self.asked.append(name)
            found: Future[Any] = Future()
            said = self._said[name]
            if isinstance(said, RayError):
                found.set_exception(said)
            else:
                found.set_result(said)
            return SimpleNamespace(future=lambda: found)

        return answer

    def kill(self, actor: object) -> None:
        """See Ray."""
        self.killed.append(actor)


NODE = Introduction("node1", "host1", gate_version(), ())
MIXED = (node(4, gfx950=1), node(8, gfx942=1), node(8, alive=False, gfx950=1))


def cluster(ray: Any, arch: str = "gfx950") -> Cluster:
    return Cluster(ray, arch)


def job(gpus: int = 1, *launchers: Any) -> Any:
    return SimpleNamespace(name="cell", gpus=gpus, launchers=launchers)


def host_of(ray: Any, where: Cluster, actor: object) -> RayHost:
    return RayHost(ray, where, actor)


async def waved_through(_: RayHost) -> None:
    """Every node may be used."""


@pytest.mark.parametrize("gpus", [5, 8])
def test_a_cell_is_refused_that_only_a_dead_node_or_another_arch_could_hold(gpus: int) -> None:
    with pytest.raises(UsageError, match="the largest gfx950 node has 4"):
        cluster(Ray(*MIXED)).check([job(4), job(gpus)])
    cluster(Ray(*MIXED)).check([job(4)])


@pytest.mark.parametrize("nodes", [(), (node(8, gfx942=1),), (node(8, alive=False, gfx950=1),)])
def test_nothing_is_asked_of_a_cluster_without_a_living_node_of_the_arch(nodes: Any) -> None:
    with pytest.raises(UsageError, match="no node of the Ray cluster says that it is gfx950"):
        cluster(Ray(*nodes)).there(lambda: pytest.fail("asked"))


def test_a_function_runs_on_a_node_of_the_arch_in_the_folder_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = Ray(*MIXED)
    monkeypatch.chdir(tmp_path)
    assert cluster(ray).there(Path.cwd) == tmp_path
    assert (ray.options["num_cpus"], ray.options["resources"]) == (0, {"gfx950": A_SHARE})


def test_what_a_function_refuses_on_a_node_is_raised_here() -> None:
    def refuses() -> None:
        raise EngineError("no engine there", hint="install it")

    with pytest.raises(EngineError, match="no engine there"):
        cluster(Ray(*MIXED)).there(refuses)


def test_nodes_that_are_lost_before_they_answer_are_told_and_a_bug_on_one_is_a_bug() -> None:
    def fails(error: Exception) -> None:
        raise error

    with pytest.raises(EngineError, match=r"no node .* stayed long enough to answer \(RayError\)"):
        cluster(Ray(*MIXED)).there(fails, RayError("worker crashed"))
    with pytest.raises(RayTaskError, match="KeyError"):
        cluster(Ray(*MIXED)).there(fails, RayTaskError("KeyError"))


def test_every_engine_is_checked_on_a_node_with_the_nodes_own_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[str] = []

    class Engine:
        """Notes whose environment it was checked with."""

        def __init__(self, outer: dict[str, str]) -> None:
            self.outer = outer

        def started_from(self, outer: dict[str, str]) -> Engine:
            return Engine(outer)

        def check(self) -> None:
            checked.append(self.outer["OF_THE_NODE"])

    monkeypatch.setenv("OF_THE_NODE", "yes")
    mine: dict[str, str] = {}
    cluster(Ray(*MIXED)).check([job(1, Engine(mine), Engine(mine)), job(1, Engine(mine))])
    assert checked == ["yes"] * 3


@pytest.mark.parametrize(("gpus", "cpus"), [(0, 1), (1, 0), (4, 0)])
async def test_a_cell_takes_its_gpus_on_a_node_of_its_arch_or_one_cpu(gpus: int, cpus: int) -> None:
    ray = Ray(*MIXED)
    await cluster(ray).host(job(gpus), waved_through)
    assert ray.options == {"num_cpus": cpus, "num_gpus": gpus, "resources": {"gfx950": A_SHARE}}
    assert ray.made == [(str(Path.cwd()),)]
    assert not ray.killed


async def test_a_node_that_must_not_be_used_is_given_back() -> None:
    async def refuse(host: RayHost) -> None:
        raise EngineError(f"{host.name} is not used", hint="another")

    ray = Ray(*MIXED)
    with pytest.raises(EngineError, match=r"host1 \(node node1\) is not used"):
        await cluster(ray).host(job(), refuse)
    assert len(ray.killed) == 1


async def test_a_node_is_asked_once_which_engine_it_has() -> None:
    ray = Ray(*MIXED, identity="engine")
    executor = OnRay(cluster(ray), EngineChoice(), "engine")

    async def measure(_: Any, place: Any) -> None:
        await place.take()

    for _ in range(2):
        await executor.run([job()], measure)
    assert ray.asked == ["introduce", "identity", "introduce"]


async def test_a_machine_that_goes_away_is_lost_and_a_bug_on_it_is_a_bug() -> None:
    ray = Ray(*MIXED, evidence=RayError("ActorDied"), news=RayTaskError("KeyError"))
    host = await cluster(ray).host(job(), waved_through)
    with pytest.raises(HostLost, match=r"host1 \(node node1\) is gone \(RayError\)"):
        await host.call("evidence")
    with pytest.raises(RayTaskError, match="KeyError"):
        await host.call("news")


class Head(Ray):
    """The head of a cluster, which answers when it is told to, and a clock that goes when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._knocks, self._answers_due = threading.Semaphore(0), threading.Semaphore(0)

    def nodes(self) -> list[Any]:
        """See Ray."""
        self.who_asks = threading.current_thread()
        self._knocks.release()
        self._answers_due.acquire()
        return []

    async def is_asked(self) -> None:
        """Return once it is asked; what it answered before has arrived by then."""
        await asyncio.to_thread(self._knocks.acquire)

    def is_asked_again(self) -> bool:
        """Whether it is, meanwhile."""
        return self._knocks.acquire(timeout=0.01)

    def answer(self) -> None:
        """Answer what it is asked."""
        self._answers_due.release()


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Head:
    made = Head()
    clock = SimpleNamespace(monotonic=lambda: made.now, sleep=lambda _: None)
    monkeypatch.setattr(over_ray, "time", clock)
    monkeypatch.setattr(over_ray, "WATCH_SECONDS", 0)
    return made


async def looks() -> None:
    """Let who watches look at the clock."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_head_that_answers_now_and_then_is_never_given_up_and_then_left_alone(head: Head) -> None:
    watched = cluster(head)
    async with watched.watched():
        await head.is_asked()
        for _ in range(4):
            head.now += HEAD_SECONDS - 1
            await looks()
            assert not watched.gone
            head.answer()
            await head.is_asked()
    head.answer()
    while head.who_asks.is_alive():
        assert not head.is_asked_again(), "though nobody watches"


async def test_what_is_asked_of_a_silent_head_fails_and_is_asked_no_more(head: Head) -> None:
    watched = cluster(head)
    actor, never = object(), SimpleNamespace(future=Future)
    async with watched.watched():
        asking = asyncio.create_task(watched.answer(never))
        await head.is_asked()
        head.now = HEAD_SECONDS
        with pytest.raises(EngineError, match="has not answered for 20 s"):
            await asking
        assert watched.gone
        with pytest.raises(EngineError, match="has not answered for 20 s"):
            await watched.host(job(), waved_through)
        host_of(head, watched, actor).end()
    head.answer()
    assert head.killed == []
    assert HEAD_SECONDS == 20


def test_a_machine_of_a_head_that_answers_is_ended() -> None:
    ray, actor = Ray(*MIXED), object()
    host_of(ray, cluster(ray), actor).end()
    assert ray.killed == [actor]


class Idle(EngineHost):
    """A host without an engine, which notes whether it was hurried."""

    hurried = False

    async def _live(self, *_: object) -> None:
        try:
            await self._stopping.wait()
        except asyncio.CancelledError:
            self.hurried = True
            raise


@pytest.mark.parametrize("hurried", [True, False])
async def test_only_a_hurried_end_cancels_the_engines_own(hurried: bool) -> None:
    host: Any = Idle("no such folder")
    await host.start(SimpleNamespace(started_from=lambda outer: outer), "cpu", "log", 1.0)
    await asyncio.sleep(0)
    await host.stop(hurried=hurried)
    assert host.hurried is hurried
    assert (await host.news()).over


async def test_news_that_nobody_waits_for_wait_for_more_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_host, "LINGER_SECONDS", PATIENCE)
    host: Any = EngineHost("no such folder")
    for number in range(2):
        host._line("one")
        told = asyncio.create_task(host.news())
        await looks()
        host._line("two")
        await looks()
        assert not told.done()
        host._news.ended[number] = None
        host._tell()
        assert await told == News(lines=["one", "two"], ended={number: None})


class Machine:
    """An `EngineHost` that says what the test says; an exception in the place of news is raised."""

    name = "host1 (node node1)"

    def __init__(self, **said: Any) -> None:
        self.called: list[tuple[Any, ...]] = []
        self.news: asyncio.Queue[News | Exception] = asyncio.Queue()
        self.ends = 0
        self._said = said
        self._something = asyncio.Event()

    async def call(self, method: str, *arguments: Any, **named: Any) -> Any:
        """See `Host`."""
        self.called.append((method, *arguments, *named.values()))
        self._something.set()
        said = await self.news.get() if method == "news" else self._said.get(method)
        if method == "stop" and said is None:
            self.news.put_nowait(News(over=True))
        if isinstance(said, Exception) and method not in ("healthy", "fetch"):
            raise said
        return said

    def end(self) -> None:
        """See `Host`."""
        self.ends += 1

    def of(self, method: str) -> list[list[Any]]:
        """What this method was called with."""
        return [arguments for name, *arguments in self.called if name == method]

    async def until(self, method: str) -> None:
        """Wait until it was called."""
        while not self.of(method):
            self._something.clear()
            await self._something.wait()


def sample(question: str) -> Sample:
    return Sample(question, 0, Outcome.CORRECT, 7, Finish.STOP)


EVERY = (sample("q1"), sample("q2"))


class Run:
    """An engine on a machine, what was told of it, and the samples that the journal took."""

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine = machine
        self.lines: list[str] = []
        self.taken: list[str] = []
        self.log = folder / "logs/engine.log"
        self.place: HostedPlace[Machine] = HostedPlace(self._find)
        self.found = 0

    async def _find(self) -> Machine:
        self.found += 1
        return self.machine

    def serve(self, launcher: Any = None) -> Any:
        """The engine."""
        there = launcher or SimpleNamespace(started_from=lambda outer: ("launcher", outer))
        return self.place.serve(
            there, arch="cpu", log_path=self.log, startup_seconds=1.0, on_line=self.lines.append
        )

    def ask(self, engine: HostedEngine, *, already: Any = None, on_sample: Any = None) -> asyncio.Task[Any]:
        """Ask for a block."""
        client = HostedClient(engine)
        return asyncio.create_task(
            client.ask_block(TASK, BLOCK, "s", already=already or {}, on_sample=on_sample or self.take)
        )

    def take(self, one: Sample) -> None:
        """The journal."""
        self.taken.append(one.question)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(Machine(), tmp_path)


async def test_samples_and_lines_arrive_once_and_a_block_in_its_own_order(run: Run) -> None:
    async with run.serve() as engine:
        asking = run.ask(engine)
        await run.machine.until("ask")
        run.machine.news.put_nowait(News(lines=["one"], samples={0: [sample("q2")]}))
        run.machine.news.put_nowait(News(lines=["two"], samples={0: [sample("q1")]}, ended={0: None}))
        assert await asking == (sample("q1"), sample("q2"))
    assert run.taken == ["q2", "q1"]
    assert run.log.read_text() == "one\ntwo\n"
    assert run.lines == ["gate: the engine starts on host1 (node node1)", "one", "two"]


async def test_samples_of_the_journal_are_not_asked_again(run: Run) -> None:
    known = {("q1", 0): sample("q1")}
    async with run.serve() as engine:
        asking = run.ask(engine, already=known)
        await run.machine.until("ask")
        run.machine.news.put_nowait(News(samples={0: [sample("q2")]}, ended={0: None}))
        assert await asking == (sample("q1"), sample("q2"))
        assert await run.ask(engine, already=known | {("q2", 0): sample("q2")}) == await asking
    assert run.machine.of("ask") == [[0, BLOCK._replace(questions=("q2",)), "s"]]


async def test_the_questions_are_sent_once(run: Run) -> None:
    async with run.serve() as engine, run.place.client(engine, MANNER) as client:
        both = [
            asyncio.create_task(client.ask_block(TASK, BLOCK, "s", already={}, on_sample=run.take))
            for _ in range(2)
        ]
        while len(run.machine.of("ask")) < 2:
            await asyncio.sleep(0)
        run.machine.news.put_nowait(News(samples={0: list(EVERY), 1: list(EVERY)}, ended={0: None, 1: None}))
        await asyncio.gather(*both)
    assert (run.machine.of("connect"), run.machine.of("learn")) == ([[MANNER]], [[TASK]])


async def test_what_failed_there_is_raised_here(run: Run) -> None:
    async with run.serve() as engine:
        asking = run.ask(engine)
        await run.machine.until("ask")
        run.machine.news.put_nowait(News(ended={0: EngineError("refused", hint="read its log")}))
        with pytest.raises(EngineError, match="refused"):
            await asking


async def test_a_block_that_nobody_waits_for_is_cancelled_there_and_what_still_comes_is_dropped(
    run: Run,
) -> None:
    async with run.serve() as engine:
        asking = run.ask(engine)
        await run.machine.until("ask")
        asking.cancel()
        await asyncio.wait([asking])
        run.machine.news.put_nowait(News(samples={0: [sample("q1")]}, ended={0: None}, lines=["late"]))
    assert run.machine.of("cancel") == [[0]]
    assert (run.taken, run.lines[1:]) == ([], ["late"])


async def test_a_journal_that_refuses_a_sample_ends_its_block_and_no_other(run: Run) -> None:
    def refuse(_: Sample) -> None:
        raise RecordError("another run has this journal", hint="wait for it")

    async with run.serve() as engine:
        refused, other = run.ask(engine, on_sample=refuse), run.ask(engine)
        while len(run.machine.of("ask")) < 2:
            await asyncio.sleep(0)
        run.machine.news.put_nowait(News(samples={0: list(EVERY), 1: list(EVERY)}, ended={0: None, 1: None}))
        with pytest.raises(RecordError, match="another run has this journal"):
            await refused
        assert await other == EVERY
    assert run.machine.of("cancel") == [[0]]


async def test_a_machine_that_is_lost_ends_every_block_and_is_not_asked_again(run: Run) -> None:
    async with run.serve() as engine:
        asking = run.ask(engine)
        await run.machine.until("ask")
        run.machine.news.put_nowait(GONE)
        with pytest.raises(HostLost):
            await asking
        assert await engine.died() is GONE
        with pytest.raises(HostLost):
            await run.ask(engine)


async def test_an_engine_that_dies_is_told_with_its_last_words(run: Run) -> None:
    died = EngineError("killed by signal 9", hint="read its log")
    async with run.serve() as engine:
        run.machine.news.put_nowait(News(lines=["bye"], died=died))
        assert await engine.died() is died
    assert run.lines[1:] == ["bye"]


async def test_a_bug_on_a_machine_is_raised_when_its_engine_was_stopped(run: Run) -> None:
    run.machine._said["stop"] = "and its last news is:"
    with pytest.raises(ZeroDivisionError):
        async with run.serve():
            run.machine.news.put_nowait(News(bug=ZeroDivisionError(), over=True))


async def test_an_engine_that_does_not_start_is_raised_and_stopped(run: Run) -> None:
    run.machine._said["healthy"] = EngineError("no such model", hint="read its log")
    with pytest.raises(EngineError, match="no such model"):
        async with run.serve():
            pytest.fail("it serves")
    assert run.machine.of("stop") == [[False]]


async def test_a_cancelled_cell_stops_its_engine_in_a_hurry(run: Run) -> None:
    async def stays() -> None:
        async with run.serve():
            up.set()
            await asyncio.Event().wait()

    up = asyncio.Event()
    serving = asyncio.create_task(stays())
    await up.wait()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert run.machine.of("stop") == [[True]]


async def test_a_cell_keeps_its_machine_until_that_is_lost(run: Run) -> None:
    for _ in range(2):
        async with run.serve():
            pass
    assert (run.found, run.machine.ends) == (1, 0)
    run.machine._said["stop"] = GONE
    async with run.serve():
        pass
    assert (run.found, run.machine.ends) == (1, 1)
    run.machine = Machine()
    async with run.serve():
        pass
    assert (run.found, run.machine.of("start")) == (2, [[("launcher", {}), "cpu", "engine.log", 1.0]])


async def test_an_error_of_a_request_is_raised_here(run: Run) -> None:
    run.machine._said["fetch"] = EngineError("no usable answer", hint="read its log")
    async with run.serve() as engine:
        with pytest.raises(EngineError, match="no usable answer"):
            await HostedClient(engine).fetch(TASK, lambda reply: reply)
