"""The engine's life against a stand-in that is a real process with a real engine's faults."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gate.errors import EngineError, UsageError
from gate.evals.client import EngineClient
from gate.evals.task import Request
from gate.serving import server as server_module
from gate.serving import warden
from gate.serving.confinement import Confinement
from gate.serving.docker import DockerContainer
from gate.serving.launch import LocalProcess
from gate.serving.processes import Remembered, Tree, remember
from gate.serving.server import Server, serve
from gate.serving.signals import cancelled_by_signals
from tests.support.waiting import PAUSE_SECONDS

STUB = Path(__file__).parents[1] / "support" / "lifecycle_stub.py"
Start = Callable[..., LocalProcess]


@pytest.fixture(autouse=True)
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where running engines are noted, apart from that of this machine's other runs."""
    folder = tmp_path / "states"
    folder.mkdir()
    monkeypatch.setattr(server_module, "state_folder", lambda: folder)
    return folder


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


@pytest.fixture
def launcher(tmp_path: Path, pids: Path) -> Start:
    def make(faults: str = "") -> LocalProcess:
        return LocalProcess(
            command=[sys.executable, "-I", "-S", str(STUB)],
            model="some/model",
            served_model="m",
            env={"STUB_FAULTS": faults, "STUB_PID_FILE": str(pids)},
        )

    return make


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., object]:
    def make(launcher: LocalProcess, *, startup: float = 60, on_line: Callable[[str], None] = lambda _: None):
        log_path = tmp_path / "logs" / "engine.log"
        return serve(launcher, log_path=log_path, startup_seconds=startup, on_line=on_line, stop_seconds=1)

    return make


def running(pids: Path) -> list[int]:
    """Of the processes the stand-in started, those that still run."""
    noted = [int(line) for line in pids.read_text().split()] if pids.exists() else []
    return [pid for pid in noted if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"]


async def answers(server: Server) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", server.port)) == 0


async def test_a_healthy_engine_serves_says_what_runs_and_leaves_nothing(launcher, run, pids, tmp_path):
    lines: list[str] = []
    async with run(launcher(), on_line=lines.append) as server:
        assert await answers(server)
        assert (await server.evidence()).facts["moe"] == "EMULATION"
        assert running(pids)
    assert running(pids) == []
    assert not await answers(server)
    assert (tmp_path / "logs" / "engine.log").read_text().splitlines() == lines


async def test_an_engine_that_exits_at_once_is_an_error_with_its_last_words(launcher, run):
    with pytest.raises(EngineError, match="exited with status 1") as caught:
        async with run(launcher("exit")):
            pytest.fail("it never became healthy")
    assert "ValueError: the checkpoint lacks a tensor" in str(caught.value)


async def test_a_command_that_cannot_be_executed_is_said(run, tmp_path):
    fake = tmp_path / "vllm"
    fake.write_text("#!/nowhere/python\n")
    fake.chmod(0o755)
    with pytest.raises(EngineError, match="cannot execute"):
        async with run(LocalProcess(command=[str(fake)], model="a/b", served_model="m")):
            pytest.fail("it never became healthy")


async def test_a_command_that_does_not_exist_is_a_usage_error(run):
    with pytest.raises(UsageError, match="not found"):
        async with run(LocalProcess(command=["no-such-engine"], model="a/b", served_model="m")):
            pytest.fail("it never started")


async def test_an_engine_that_never_gets_healthy_is_stopped_at_the_deadline(launcher, run, pids):
    started = time.monotonic()
    with pytest.raises(EngineError, match="was not healthy") as caught:
        async with run(launcher("never_healthy"), startup=2):
            pytest.fail("it never became healthy")
    assert time.monotonic() - started < 30
    assert "startup_max_wait_seconds" in str(caught.value)
    assert running(pids) == []


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        ("die_after=2", "exited with status 3"),
        ("unhealthy_after=1", "/health answers 503"),
        ("crash_line", "HIP out of memory"),
    ],
)
async def test_death_in_the_middle_is_noticed_within_seconds(launcher, run, pids, faults, message):
    async with run(launcher(faults)) as server:
        async with asyncio.timeout(40):
            error = await server.died()
        assert message in str(error)
    assert running(pids) == []


async def test_a_closed_port_of_a_living_process_counts_as_death(launcher, run):
    async with run(launcher("refuse_after=1")) as server:
        async with asyncio.timeout(40):
            assert "refuses connections" in str(await server.died())


async def test_a_worker_that_is_killed_is_noticed_though_health_still_answers(launcher, run, pids):
    async with run(launcher("worker")) as server:
        async with asyncio.timeout(40):
            while len(running(pids)) < 2 or not server._tree.workers():
                await asyncio.sleep(0.05)
        os.kill(running(pids)[1], signal.SIGKILL)
        async with asyncio.timeout(40):
            error = await server.died()
        assert "VLLM::EngineCore" in str(error)
    assert running(pids) == []


async def test_an_engine_that_ignores_sigterm_is_killed(launcher, run, pids):
    async with run(launcher("deaf")):
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 8
    assert running(pids) == []


async def test_a_child_that_left_the_session_is_ended_too(launcher, run, pids):
    async with run(launcher("child")):
        assert len(running(pids)) == 2
    assert running(pids) == []


async def test_an_exception_in_the_block_stops_the_engine_and_passes(launcher, run, pids):
    with pytest.raises(RuntimeError, match="mine"):
        async with run(launcher("child")):
            raise RuntimeError("mine")
    assert running(pids) == []


@pytest.mark.parametrize("faults", ["child", "never_healthy child"])
async def test_cancellation_stops_the_engine_before_and_after_it_is_healthy(launcher, run, pids, faults):
    healthy = asyncio.Event()

    async def measure() -> None:
        async with run(launcher(faults)):
            healthy.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(measure())
    async with asyncio.timeout(40):
        while len(running(pids)) < 2 or not (healthy.is_set() or "never" in faults):
            await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running(pids) == []


async def test_a_second_cancellation_does_not_tear_the_stopping(launcher, run, pids):
    healthy = asyncio.Event()

    async def measure() -> None:
        async with run(launcher("deaf")):
            healthy.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(measure())
    async with asyncio.timeout(40):
        await healthy.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
    assert not task.done()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert running(pids) == []


async def test_sigterm_and_a_second_signal_leave_nothing(launcher, run, pids):
    async def measure() -> list[signal.Signals]:
        with cancelled_by_signals() as received:
            try:
                async with run(launcher("deaf child")):
                    os.kill(os.getpid(), signal.SIGINT)
                    asyncio.get_running_loop().call_later(0.3, os.kill, os.getpid(), signal.SIGTERM)
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                assert asyncio.current_task().cancelling() == 1
                return received
        return []

    before = signal.getsignal(signal.SIGTERM)
    assert await asyncio.create_task(measure()) == [signal.SIGINT, signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) == before
    assert running(pids) == []


async def test_a_stolen_port_is_tried_again_on_another_one(launcher, run, tmp_path):
    lines: list[str] = []
    async with run(launcher(f"port_taken_once={tmp_path / 'once'}"), on_line=lines.append) as server:
        assert await answers(server)
    assert any("trying another one" in line for line in lines)


async def test_a_stranger_that_answers_on_our_port_is_not_taken_for_the_engine(
    launcher, run, pids, monkeypatch
):
    async def say_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    stranger = await asyncio.start_server(say_ok, "127.0.0.1", 0)
    taken = stranger.sockets[0].getsockname()[1]
    monkeypatch.setattr(server_module, "free_port", lambda: taken)
    async with stranger:
        with pytest.raises(EngineError, match="Address already in use"):
            async with run(launcher("slow=1")):
                pytest.fail("the stranger is not our engine")
    assert running(pids) == []


async def test_a_line_split_in_the_middle_of_a_write_is_one_line(launcher, run):
    async with run(launcher("split_line")) as server:
        assert (await server.evidence()).facts["moe"] == "EMULATION"


async def test_a_big_log_is_read_without_holding_it(launcher, run, tmp_path):
    before = psutil.Process().memory_info().rss
    async with run(launcher("big_log=80"), startup=60):
        assert psutil.Process().memory_info().rss - before < 30e6
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "logs").iterdir()}
    assert sorted(sizes) == ["engine.log", "engine.log.tail", "engine.log.tail.1"]
    assert max(sizes.values()) <= 32 * 1024 * 1024


async def test_a_listener_that_fails_ends_the_measurement_and_is_not_hidden(launcher, run, pids):
    def fail(line: str) -> None:
        raise ValueError("no terminal")

    with pytest.raises(ValueError, match="no terminal"):
        async with run(launcher(), on_line=fail):
            pytest.fail("it must not be used")
    assert running(pids) == []


async def test_a_sigterm_to_the_warden_stops_the_engine_and_is_noticed(launcher, run, pids):
    async with run(launcher("child")) as server:
        os.kill(server.pid, signal.SIGTERM)
        async with asyncio.timeout(40):
            await server.died()
    assert running(pids) == []


async def test_a_warden_that_hangs_is_killed_and_its_engine_ended(launcher, run, pids, monkeypatch):
    monkeypatch.setattr(warden, "KILL_SECONDS", 0.1)
    monkeypatch.setattr(warden, "CLEANUP_SECONDS", 0.1)
    monkeypatch.setattr(server_module, "DRAIN_SECONDS", 0.5)
    async with run(launcher("child")) as server:
        os.kill(server.pid, signal.SIGSTOP)
    assert running(pids) == []


async def test_what_survives_even_sigkill_is_said(launcher, run, monkeypatch):
    lines: list[str] = []
    end = Tree.end

    def pretend(tree: Tree) -> tuple[Remembered, ...]:
        end(tree)
        return (Remembered(7, 0.0, "VLLM::Worker"),)

    monkeypatch.setattr(Tree, "end", pretend)
    async with run(launcher(), on_line=lines.append) as server:
        pass
    assert lines[-1] == "gate: process 7 (VLLM::Worker) survived SIGKILL"
    assert [left.pid for left in server.survivors] == [7]


async def test_a_watcher_that_fails_ends_the_measurement_and_is_not_hidden(launcher, run, pids, monkeypatch):
    def fail(tree: Tree) -> tuple[Remembered, ...]:
        raise OSError("no /proc")

    async def measure() -> None:
        async with run(launcher()) as server:
            monkeypatch.setattr(Tree, "lost_workers", fail)
            async with asyncio.timeout(40):
                await server._suspicion
            monkeypatch.undo()
            assert "can no longer be watched" in str(await server.died())

    with pytest.raises(OSError, match="no /proc"):
        await measure()
    assert running(pids) == []


async def test_a_full_disk_is_said_and_the_engine_goes_on(launcher):
    lines: list[str] = []
    full = serve(
        launcher(), log_path=Path("/dev/full"), startup_seconds=60, on_line=lines.append, stop_seconds=1
    )
    async with full as server:
        assert (await server.evidence()).facts["moe"] == "EMULATION"
    assert len([line for line in lines if "No space left on device" in line]) == 1


async def test_a_log_that_cannot_be_made_and_processes_that_cannot_be_noted_are_said(
    launcher, tmp_path, states
):
    lines: list[str] = []
    (tmp_path / "logs").write_text("in the way")
    shown = serve(launcher(), log_path=tmp_path / "logs/engine.log", startup_seconds=60, on_line=lines.append)
    states.rmdir()
    async with shown as server:
        assert (await server.evidence()).facts["moe"] == "EMULATION"
        async with asyncio.timeout(40):
            while not any("are not noted on disk: [Errno 2]" in line for line in lines):
                await asyncio.sleep(0.05)
    assert len([line for line in lines if "log is not written: [Errno 17] File exists" in line]) == 1
    assert len([line for line in lines if "are not noted on disk" in line]) == 1


async def test_orphans_of_a_killed_run_are_ended_before_the_next_start(launcher, run, states):
    lines: list[str] = []
    with subprocess.Popen(["/bin/sleep", "600"], start_new_session=True) as orphan:
        known = remember(orphan.pid)
        state = {"owner": [2**22 + 1, 0.0, "gate"], "processes": [known._replace(name="VLLM::Worker")]}
        (states / "engine-1.json").write_text(json.dumps(state))
        async with run(launcher(), on_line=lines.append):
            assert not psutil.pid_exists(orphan.pid)
    assert lines[0] == f"gate: ended VLLM::Worker (pid {orphan.pid}), left over from a killed run"
    assert list(states.iterdir()) == []


DOCKER = """#!/bin/sh
# Records how it was called; `run` serves with the stand-in in the foreground, as a Docker client does: the
# socket that the engine is told lies in a folder that the container shares with the machine.
echo "$@" >> @RECORD@
[ "$1" = run ] || exit 0
for part in "$@"; do
  case "$part" in type=bind,source=*,target=/gate) folder=${part#type=bind,source=};; esac
done
folder=${folder%,target=/gate}
export STUB_FAULTS=deaf STUB_PID_FILE=@PIDS@
exec @PYTHON@ -I -S @STUB@ serve /model --uds "$folder/s"
"""


async def test_a_container_is_run_served_and_removed_by_name_though_its_client_is_deaf(
    run, tmp_path, pids, states
):
    docker, record = tmp_path / "docker", tmp_path / "record"
    given = {"RECORD": record, "PIDS": pids, "PYTHON": sys.executable, "STUB": STUB}
    script = DOCKER
    for name, value in given.items():
        script = script.replace(f"@{name}@", str(value))
    docker.write_text(script)
    docker.chmod(0o755)
    launcher = DockerContainer(
        image="rocm/vllm@sha256:0",
        name="gate-1",
        model="org/name",
        served_model="m",
        confinement=Confinement([str(docker)], user="1000:1000"),
    )
    async with run(launcher) as server:
        folder = server.socket.parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert (await server.evidence()).facts["moe"] == "EMULATION"
        async with EngineClient(
            server.base_url, socket=server.socket, concurrency=1, timeout_seconds=5
        ) as client:
            with pytest.raises(EngineError, match="HTTP 501"):  # an answer of the stand-in, which has no POST
                await client.ask(Request("/v1/completions", {}))
        while not (noted := list(states.glob("*.json"))):
            await asyncio.sleep(PAUSE_SECONDS)
        # What the next start does if this process and the warden are both killed.
        besides = json.loads(noted[0].read_text())
        assert besides["cleanup"] == [[str(docker), "rm", "--force", "gate-1"]]
        assert besides["folders"] == [str(folder)]
        assert record.read_text().startswith("run --rm --init --pull never --name gate-1 --network none ")
    assert record.read_text().splitlines()[1:] == ["rm --force gate-1"]
    assert running(pids) == []
    assert not folder.exists()


async def test_a_clean_up_that_fails_is_said_in_the_log(run, tmp_path, pids):
    lines: list[str] = []
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 125\n")
    docker.chmod(0o755)
    launcher = DockerContainer(
        image="x",
        name="gate-1",
        model="org/name",
        served_model="m",
        confinement=Confinement([str(docker)], user="1000:1000"),
    )
    with pytest.raises(EngineError, match="exited with status 125"):
        async with run(launcher, on_line=lines.append):
            pytest.fail("it never became healthy")
    assert f"gate: clean-up {docker} exited with status 125" in lines


async def test_a_killed_warden_is_noticed_and_its_engine_ended(launcher, run, pids):
    async with run(launcher("child")) as server:
        os.kill(server.pid, signal.SIGKILL)
        async with asyncio.timeout(40):
            assert "warden ended with status -9" in str(await server.died())
    assert running(pids) == []


KILLED_GATE = """
import asyncio, os, sys
from pathlib import Path
from gate.serving.launch import LocalProcess
from gate.serving.server import serve

async def main():
    launcher = LocalProcess([sys.executable, "-I", "-S", sys.argv[1]], "some/model", "m",
                            env={"STUB_FAULTS": "deaf child", "STUB_PID_FILE": sys.argv[2]})
    async with serve(launcher, log_path=Path(sys.argv[3]), startup_seconds=60, on_line=lambda _: None,
                     stop_seconds=1):
        print("healthy", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_kill_9_of_gate_itself_leaves_nothing(pids, tmp_path):
    arguments = (str(STUB), str(pids), str(tmp_path / "engine.log"))
    gate = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED_GATE, *arguments),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    async with asyncio.timeout(20):
        assert await gate.stdout.readline() == b"healthy\n"
    assert len(running(pids)) == 2
    gate.kill()
    await gate.wait()
    async with asyncio.timeout(15):
        while running(pids):
            await asyncio.sleep(0.05)
