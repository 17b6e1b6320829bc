"""The same tests over every executor: one cell after the other, several on this host, a Ray cluster."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from gate import records
from gate.model.record import RunRecord
from tests.support.project import IMPORTED_FROM, STUB, environment, finished_with
from tests.support.ray_cluster import LocalCluster, local_cluster
from tests.support.several import CONFIGS, GOOD, Several
from tests.support.waiting import PATIENCE, lines, until

EXECUTORS = ("sequential", "jobs", "ray")
HEAD = "0123456789abcdef0123456789abcdef01234567"
HIP, CUDA = "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"
SHOWS = f"""
import os, runpy, sys
print("shown", os.environ[{HIP!r}], os.environ[{CUDA!r}], flush=True)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
NO_RAY = "raise RuntimeError('nobody asked for Ray')\n"
MISSING_RAY = "raise ImportError('not installed')\n"


@contextmanager
def own_cluster(nodes: int = 1) -> Iterator[LocalCluster]:
    """A cluster of nobody else's."""
    temp = tempfile.mkdtemp(prefix="gr", dir="/tmp")  # sockets have short paths
    with local_cluster(temp, nodes=nodes) as made:
        yield made
    shutil.rmtree(temp, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two nodes for cells on CPUs, and one that says it has four GPUs of gfx950."""
    with own_cluster(nodes=2) as made:
        made.add(cpus=1, gpus=4, resources={"gfx950": 1})
        yield made


@pytest.fixture
def project(tmp_path: Path, three_baselines: Path) -> Several:
    """A project of three cells with baselines."""
    return Several(tmp_path, three_baselines)


def options(executor: str, cluster: LocalCluster) -> list[str]:
    """Of the command line."""
    more = {"sequential": [], "jobs": ["--jobs", "3"], "ray": ["--address", cluster.address]}
    return ["--executor", executor, *more[executor], "--head-sha", HEAD]


def of(project: Several) -> dict[str, RunRecord]:
    """Its records."""
    paths = project.files("records", "json")
    return {name: records.read(path) for name, path in zip(CONFIGS, paths, strict=True)}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, three_baselines: Path) -> dict[str, RunRecord]:
    """What a sequential run of the commit finds."""
    made = Several(tmp_path_factory.mktemp("undisturbed"), three_baselines)
    done = made.gate(["run", *made.others], "--head-sha", HEAD, engine=made.engine(*GOOD))
    assert done.code == 0, done.out + done.err
    return of(made)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_an_engine_that_is_killed_is_started_again_and_every_sample_is_that_of_an_undisturbed_run(
    project: Several, cluster: LocalCluster, undisturbed: dict[str, RunRecord], executor: str
) -> None:
    stays = stays_once(project, start=3)
    with project.start("--concurrency", "4", *options(executor, cluster), engine=stays) as running:
        the_one_that_stays(project, running).kill()
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, out + err
    found = of(project)
    for name, record in found.items():
        assert record.outcomes == undisturbed[name].outcomes
        assert record.tokens == undisturbed[name].tokens
        assert record.evidence == undisturbed[name].evidence
    (_,) = [restart for record in found.values() for restart in record.restarts]
    assert all("listening on" in path.read_text() for path in project.files("logs", "log"))
    assert project.check(project.folder / "out/records", *project.others).code == 0
    assert not engines_of(project)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_signal_leaves_a_record_of_every_cell_and_no_engine(
    project: Several, cluster: LocalCluster, executor: str
) -> None:
    stays = project.staying()
    started = project.start("--concurrency", "4", *options(executor, cluster), engine=stays)
    with started as running:
        until(lambda: any(lines(journal) > 3 for journal in journals(project)), running)
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 4, out + err
    assert [record.failure and record.failure.kind for record in of(project).values()] == ["cancelled"] * 3
    assert not engines_of(project)


def journals(project: Several) -> list[Path]:
    """Of the cells that have one."""
    return sorted((project.folder / "out/journals").glob("*.jsonl"))


def engines_of(project: Several) -> list[psutil.Process]:
    """Stand-in engines that serve this project's model."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if {str(project.model), str(STUB)} <= set(process.info["cmdline"] or [])
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


def stays_once(project: Several, start: int) -> str:
    """An engine of which one start stays in the middle of its cell: what kills it cannot come too late."""
    return project.staying("--once", str(project.folder / "starts"), "--faulty-start", str(start))


def the_one_that_stays(project: Several, running: subprocess.Popen[str]) -> psutil.Process:
    """Its process, once the others' cells are measured and it has answered."""

    def alone() -> bool:
        measured = sum(path.exists() for path in project.files("records", "json"))
        answered = sum(lines(journal) > 3 for journal in journals(project))
        return (measured, answered) == (2, 3) and len(engines_of(project)) == 1

    until(alone, running)
    return engines_of(project)[0]


def test_ray_gives_each_engine_gpus_of_its_own_under_both_of_their_names(
    project: Several, cluster: LocalCluster, tmp_path: Path
) -> None:
    project.write_config(server_args="--tensor-parallel-size 2")
    shows = tmp_path / "shows.py"
    shows.write_text(SHOWS)
    python, *stub = shlex.split(project.engine(*GOOD, "--delay", "0.02"))
    engine = shlex.join([python, str(shows), *stub])
    with project.start(*options("ray", cluster), "--arch", "gfx950", engine=engine) as running:
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, out + err
    logs = [path.read_text() for path in project.files("logs", "log", "gfx950")]
    shown = [log.split("shown ")[1].split()[:2] for log in logs]
    assert all(hip == cuda for hip, cuda in shown)
    assert [hip.count(",") + 1 for hip, _ in shown] == [1, 1, 2]


def test_what_the_cluster_cannot_hold_is_refused_before_an_engine_starts(
    project: Several, cluster: LocalCluster
) -> None:
    project.write_config(server_args="--tensor-parallel-size 8")
    ray = options("ray", cluster)
    engine = project.engine(*GOOD)
    done = project.gate(["run"], *ray, "--arch", "gfx950", engine=engine)
    assert (done.code, "needs 8 GPUs of one node, and the largest gfx950 node has 4" in done.err) == (2, True)
    done = project.gate(["run"], *ray, "--arch", "sm90", engine=engine)
    assert (done.code, "no node of the Ray cluster says that it is sm90" in done.err) == (2, True)
    done = project.gate(["run"], *ray, "--arch", "auto", engine=engine)
    assert (done.code, "pass --arch" in done.err) == (2, True)
    project.write_config(env={HIP: "0"})
    done = project.gate(["run"], *ray, "--arch", "gfx950", engine=engine)
    assert (done.code, "Ray gives each cell GPUs of its own" in done.err) == (2, True)
    done = project.gate(["run"], "--executor", "ray", "--address", "127.0.0.1:1", engine=engine)
    assert (done.code, "no Ray cluster answers at '127.0.0.1:1'" in done.err) == (2, True)
    assert not (project.folder / "out/logs").exists()


def test_a_node_that_dies_is_replaced_and_every_sample_is_that_of_an_undisturbed_run(
    project: Several, cluster: LocalCluster, undisturbed: dict[str, RunRecord]
) -> None:
    stays = stays_once(project, start=1)
    with project.start("--concurrency", "4", *options("ray", cluster), engine=stays) as running:
        cluster.kill(cluster.node_of(the_one_that_stays(project, running)))
        cluster.add()
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, out + err
    found = of(project)
    assert {name: record.outcomes for name, record in found.items()} == {
        name: record.outcomes for name, record in undisturbed.items()
    }
    (lost,) = [restart for record in found.values() for restart in record.restarts]
    assert "is gone" in lost.reason
    assert not engines_of(project)


def test_a_head_that_dies_is_never_taken_for_a_regression(project: Several) -> None:
    impatient = {"RAY_gcs_rpc_server_reconnect_timeout_s": "2"}  # Ray ends its driver before we notice
    stays = project.staying()
    with own_cluster() as cluster:
        started = project.start("--concurrency", "4", *options("ray", cluster), engine=stays, env=impatient)
        with started as running:
            until(lambda: any(lines(journal) > 3 for journal in journals(project)), running)
            cluster.kill_head()
            out, err = running.communicate(timeout=PATIENCE)
        assert (running.returncode, "and without a result" in err) == (4, True), out + err
    assert any(lines(journal) > 3 for journal in journals(project))


def test_a_head_that_falls_silent_is_not_waited_for(project: Several) -> None:
    stays = project.staying()
    with own_cluster(nodes=1) as cluster:
        started = project.start("--concurrency", "4", *options("ray", cluster), engine=stays)
        with started as running:
            until(lambda: any(lines(journal) > 3 for journal in journals(project)), running)
            cluster.silence_head()
            out, err = running.communicate(timeout=PATIENCE)
    assert (running.returncode, "has not answered for 20 s" in out) == (4, True), out + err
    assert {record.failure and record.failure.kind for record in of(project).values()} == {"engine"}
    assert any(lines(journal) > 3 for journal in journals(project))


def poisoned(tmp_path: Path, ray: str) -> dict[str, str]:
    """An environment in which `import ray` finds this."""
    (tmp_path / "poison").mkdir()
    (tmp_path / "poison/ray.py").write_text(ray)
    return environment() | {"PYTHONPATH": f"{tmp_path / 'poison'}:{IMPORTED_FROM}"}


def test_nothing_but_ray_itself_imports_ray(project: Several, tmp_path: Path) -> None:
    command = [*project.arguments("run", engine=project.engine(*GOOD)), "--jobs", "2"]
    done = finished_with(command, project.folder, poisoned(tmp_path, NO_RAY))
    assert done.code == 0, done.err


def test_without_the_extra_it_says_what_to_install(project: Several, tmp_path: Path) -> None:
    command = [*project.arguments("run", engine=project.engine(*GOOD)), "--executor", "ray"]
    done = finished_with(command, project.folder, poisoned(tmp_path, MISSING_RAY))
    assert (done.code, "pip install 'vllm-eval-gate[ray]', here and on every node" in done.err) == (2, True)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_after_the_drivers_death_only_a_cell_without_a_verdict_starts_its_engine(
    project: Several, cluster: LocalCluster, undisturbed: dict[str, RunRecord], executor: str
) -> None:
    # The first engine of the second cell hangs: it has no verdict before the driver is killed.
    third, starts = project.folder / "configs/third.yaml", project.folder / "starts"
    third.write_text(f"{third.read_text()}server_args: --hangs-after 6 --once {starts}\n")
    given, engine = ("--concurrency", "4", *options(executor, cluster)), project.engine(*GOOD)
    expected = {"second"} if executor == "sequential" else {"second", "stub"}
    with project.start(*given, engine=engine) as running:
        until(lambda: set(decided_in(project)) == expected and starts.exists(), running)
        decided = decided_in(project)
        family = psutil.Process(running.pid).children(recursive=True)
        running.kill()
        running.communicate()
    assert not psutil.wait_procs(family, timeout=PATIENCE)[1]
    shutil.rmtree(project.folder / "out/logs")
    with project.start(*given, engine=engine) as running:
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, out + err
    assert {path.name.split("__")[1] for path in (project.folder / "out/logs").iterdir()} == (
        set(CONFIGS) - expected
    )
    again = decided_in(project)
    assert {name: again[name] for name in expected} == decided
    assert {name: record.outcomes for name, record in of(project).items()} == {
        name: record.outcomes for name, record in undisturbed.items()
    }
    assert out.count("taken from its record:") == len(expected)
    assert [err.count(f"cpu/{name}/default taken from the record") for name in CONFIGS] == [
        int(name in expected) for name in CONFIGS
    ]


def decided_in(project: Several) -> dict[str, bytes]:
    """Config -> the record of its cell."""
    found = (project.folder / "out/records").glob("*.json")
    return {path.name.split("__")[1]: path.read_bytes() for path in found}
