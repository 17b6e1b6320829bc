"""The drill's bench on a stand-in engine: how it is served, asked and broken."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gate.engine import EngineChoice
from gate.numerics.bench import Bench
from gate.numerics.drill import _do
from gate.numerics.exercises import PLAIN_CACHE, SMALL_BATCHES, Exercise, Notebook, Server
from gate.plan import Origins
from gate.request import RunRequest
from tests.support import probes
from tests.support.project import Project
from tests.support.stub_process import StubEngine

SHOWS = """
import runpy, sys
print("shown", *sys.argv[3:], flush=True)
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
GIVEN = "--kv-cache-dtype fp8 --max-num-seqs 64"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write_config(backends={"emulation": {}}, server_args=GIVEN)
    return project


def bench(project: Project, minutes: float = 1.5) -> Bench:
    """A bench whose engine prints its command line first."""
    shows = project.folder / "shows.py"
    shows.write_text(SHOWS)
    python, *stub = shlex.split(project.engine("--accuracy", "0.6", "--delay", "0.01"))
    engine = EngineChoice(shlex.join([python, str(shows), *stub]))
    origins = Origins(
        project.folder / "baselines",
        project.folder / ".cache",
        model=str(project.model),
        dataset_path=project.dataset,
    )
    request = RunRequest((project.config,), origins, project.folder / "out", arch="cpu", engine=engine)
    return Bench(request, minutes, lambda _: None)


@pytest.mark.parametrize(
    ("server", "served"),
    [
        (Server(), GIVEN),
        (SMALL_BATCHES, "--kv-cache-dtype fp8 --max-num-seqs 8"),
        (PLAIN_CACHE, "--max-num-seqs 64"),
    ],
)
async def test_an_engine_is_served_with_the_servers_own_options_and_without_prefix_caching(
    project: Project, server: Server, served: str
):
    made = bench(project)
    async with made.serve(server.backend, without=server.without, more=server.more):
        pass
    (shown,) = [
        line
        for line in made.outputs.log(made.specs["emulation"].cell).read_text().splitlines()
        if line.startswith("shown ")
    ]
    assert f" {served} --no-enable-prefix-caching " in shown
    assert shown.count("--max-num-seqs") == 1


@pytest.mark.parametrize(("minutes", "limit"), [(1.5, 1.5), (0, None)])
async def test_an_exercise_is_measured_in_its_own_manner(
    project: Project, minutes: float, limit: float | None
):
    made = bench(project, minutes)
    notebook = Notebook(project.folder / "drill.jsonl", probes.fingerprint(), "vLLM 1")
    one = Exercise("concurrency 1", "rerun", sabotage="swap_nibbles", concurrency=1)
    async with made.serve("emulation") as (plan, engine):
        await _do(made, plan, engine, one, notebook)
        asked = StubEngine(None, engine.base_url).counts()
    assert asked["most_in_flight"] == 1
    assert made.switch.read_text() == "swap_nibbles"
    assert plan.spec.gate.max_minutes == limit
    assert notebook.pending([one]) == ()
