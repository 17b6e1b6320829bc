"""What is refused before anything is measured: contradicting options, nodes and servers unlike the others."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from gate import refresh
from gate.baseline.declared import Declaration
from gate.cells import cells_of
from gate.cli.options import Measuring, unproven
from gate.engine import EngineChoice, Found, find_out
from gate.errors import EngineError, GateError, MeasurementError, UsageError
from gate.executors.local import check_executor
from gate.executors.ray import OnRay, RayHost, connected
from gate.executors.ray_host import EngineHost, Introduction
from gate.executors.ray_place import HostedPlace
from gate.fingerprint import gate_version
from gate.model.record import RunRecord
from gate.numerics.collect import told_when_cancelled
from gate.plan import Origins
from gate.pytest_plugin import pytest_configure
from gate.request import RunRequest, select
from gate.serving.gpu import Machine
from gate.serving.launch import Launcher
from gate.serving.remote import Address, Remote, RemoteServer, ServedModel
from tests.support.measured import run_record
from tests.support.refreshing import Checkout

NOTHING = Machine((), (), (), None)
ADDRESS = Address("http://host:8000")
SERVER = Found(None, NOTHING, Remote(ADDRESS, ServedModel("m", None, None), None, None))


def refused(error: pytest.ExceptionInfo[GateError]) -> str:
    assert error.value.hint
    return error.value.message


@pytest.mark.parametrize(
    ("name", "jobs", "remote", "said"),
    [
        ("ray", 1, True, "nothing for Ray to place"),
        ("ray", 2, False, "--jobs is for this host"),
        ("sequential", 2, False, "measures several cells at once"),
        ("jobs", 1, False, "how many at once?"),
    ],
)
def test_an_executor_that_the_other_options_contradict(name: str, jobs: int, remote: bool, said: str):
    with pytest.raises(UsageError) as error:
        check_executor(name, jobs, remote=remote)
    assert said in refused(error)


@pytest.mark.parametrize(
    "options", [{"served_model": "m"}, {"conversation_date": "none"}, {"engine_log": Path("log")}]
)
def test_what_describes_a_server_needs_the_servers_address(options: dict[str, Any]):
    with pytest.raises(UsageError) as error:
        Measuring(**options).request([])
    assert "describe a server that runs already" in refused(error)


def test_a_check_that_nothing_makes_cannot_be_waived():
    with pytest.raises(UsageError) as error:
        unproven(["modle"])
    assert "'modle' is no check" in refused(error)


def test_the_arch_of_somebody_elses_server_must_be_said():
    with pytest.raises(UsageError) as error:
        SERVER.arch()
    assert "must be said" in refused(error)


@pytest.mark.parametrize("changes", [{"image": "vllm:latest"}, {"env": ("A=1",)}])
def test_a_server_that_runs_already_takes_no_image_and_no_variables(changes: dict[str, Any]):
    with pytest.raises(UsageError) as error:
        find_out(EngineChoice(address=ADDRESS, **changes))
    assert "do nothing" in refused(error)


def two_cells(folder: Path) -> Path:
    config = folder / "x.yaml"
    config.write_text("model_name: stub/model\nbackends: {a: {}, b: {}}\n")
    return config


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "one server serves one cell, and these are 2"),
        ({"backends": ("a",), "confirm_with": EngineChoice()}, "--confirm-with measures the base build"),
    ],
)
def test_one_server_serves_one_build_of_one_cell(tmp_path: Path, changes: dict[str, Any], said: str):
    request = RunRequest(
        (two_cells(tmp_path),), Origins(tmp_path, tmp_path), tmp_path, arch="sm90", **changes
    )
    with pytest.raises(UsageError) as error:
        select(request, lambda _, __: SERVER)
    assert said in refused(error)


def test_an_interrupted_collection_goes_on_only_as_it_began(tmp_path: Path):
    declared = Declaration(tmp_path / "collection.json")
    assert not declared.declare({"runs": "2", "engine": "e"})
    assert declared.declare({"engine": "e", "runs": "2"})
    with pytest.raises(UsageError) as error:
        declared.declare({"runs": "3", "engine": "e"})
    assert refused(error) == "another collection was interrupted here: runs differ"


def test_a_store_of_other_architectures_has_nothing_to_refresh_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    checkout = Checkout(tmp_path)
    config = checkout.folder / "configs/gpt-oss-20b.yaml"
    monkeypatch.setattr(refresh, "select", lambda _: (cells_of([config], arch="sm90"), None))
    monkeypatch.setattr(checkout, "records", None)
    assert "holds no baseline to refresh of the architecture sm90" in checkout.refusal()


def test_a_comparison_or_probe_that_is_cancelled_says_that_nothing_is_kept():
    async def cancelled() -> None:
        with told_when_cancelled():
            raise asyncio.CancelledError

    with pytest.raises(MeasurementError) as error:
        asyncio.run(cancelled())
    assert refused(error) == "cancelled"
    assert "none is kept" in error.value.hint


def test_pytest_over_several_processes_is_refused():
    config: Any = SimpleNamespace(getoption=lambda _: ["models.txt"], workerinput={})
    with pytest.raises(pytest.UsageError, match="leave out -n"):
        pytest_configure(config)


def test_groups_are_of_every_question():
    made = run_record(1).model_dump(mode="json", by_alias=True)
    with pytest.raises(ValueError, match="groups are given for 1 of 30 questions"):
        RunRecord.model_validate(made | {"groups": {"names": ["a"], "of": "A"}})


def test_ray_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError) as error, connected("head:6379", "gfx950"):
        pass
    assert refused(error) == "Ray is not installed"


def test_a_cluster_must_be_told_which_nodes_to_use():
    with pytest.raises(UsageError) as error, connected("head:6379", "auto"):
        pass
    assert "which nodes to use" in refused(error)


class OneAnswer:
    """A cluster whose actors answer every call with the same."""

    def __init__(self, said: object) -> None:
        self.said = said

    async def answer(self, _: object) -> object:
        return self.said

    def host(self, met: Introduction | None = None) -> RayHost:
        actor = SimpleNamespace(
            introduce=SimpleNamespace(remote=lambda: None), identity=SimpleNamespace(remote=lambda _: None)
        )
        host = RayHost(ModuleType("ray"), self, actor)  # type: ignore[arg-type]
        host.met = met
        return host


NODE = Introduction("node1", "host1", gate_version(), ())


def test_a_node_with_another_gate_is_not_used():
    host = OneAnswer(NODE._replace(version="0.0.1")).host()
    with pytest.raises(EngineError) as error:
        asyncio.run(host.meet())
    assert "host1 (node node1) has version 0.0.1 of the gate" in refused(error)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("another", "has another engine, driver or version"),
        (EngineError("vllm does not start", hint="read its log"), "vllm does not start"),
    ],
)
def test_a_node_with_another_engine_or_none_is_not_used(said: object, told: str):
    class Cluster(OneAnswer):
        async def host(self, _: object, vet: Any) -> RayHost:  # type: ignore[override]
            host = OneAnswer.host(self, NODE)
            await vet(host)
            return host

        def watched(self) -> contextlib.AbstractAsyncContextManager[None]:
            return contextlib.nullcontext()

    async def measured(_: object, place: Any) -> None:
        await place.take()

    job: Any = SimpleNamespace(name="cell", gpus=0, launchers=())
    with pytest.raises(EngineError) as error:
        asyncio.run(OnRay(Cluster(said), EngineChoice(), "engine").run([job], measured))  # type: ignore[arg-type]
    assert told in refused(error)
    assert error.value.where == "host1 (node node1)"


def test_a_server_that_runs_already_is_placed_on_no_node(tmp_path: Path):
    async def found() -> Any:
        raise AssertionError("nobody looks for a node")

    async def serve() -> None:
        place = HostedPlace(found)
        server = RemoteServer(ADDRESS)
        async with place.serve(
            server, arch="gfx950", log_path=tmp_path / "log", startup_seconds=1, on_line=print
        ):
            pass

    with pytest.raises(UsageError) as error:
        asyncio.run(serve())
    assert refused(error) == "a server that runs already needs no cluster"


def test_an_engine_that_was_stopped_before_it_answered_says_when():
    class Stopped(EngineHost):
        async def _live(self, *_: object) -> None:  # type: ignore[override]
            """Ends at once, as an engine does that was told to stop."""

    async def states() -> list[str]:
        launcher: Any = SimpleNamespace(started_from=lambda _: SimpleNamespace(spec=Launcher))
        host = Stopped("no such folder")
        before = await host.healthy()
        await host.start(launcher, "cpu", "log", 1.0)
        during = await host.healthy()
        return [str(state.message if state else None) for state in (before, during)]

    assert asyncio.run(states()) == ["stopped before it had started", "stopped while it started"]
