"""`gate run --base-url`: a server that somebody else runs, and how much of it could be proven."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.project import LOG, ROOT, STORED, Finished, Project, environment, finished_with
from tests.support.stub_process import StubEngine, stub_engine

GOOD = ("--accuracy", "0.6")
INFO = ROOT / "tests/logs/vllm-0.32.0-cpu-server_info.json"
DATE = ("--conversation-date", "2026-01-01")
UNPROVEN = ("--accept-unproven", "moe", "--accept-unproven", "scheme", "--accept-unproven", "fallbacks")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baselines collected from an engine that the gate started itself."""
    project = Project(tmp_path_factory.mktemp("stored"))
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return project.folder / "baselines"


@pytest.fixture(scope="module")
def process() -> Iterator[StubEngine]:
    """A server that is not the gate's, in development mode."""
    with stub_engine(*GOOD, "--server-info", str(INFO)) as running:
        yield running


@pytest.fixture
def server(process: StubEngine) -> StubEngine:
    process.switch(reset=True)
    return process


@pytest.fixture
def measured(tmp_path: Path, stored: Path) -> Project:
    project = Project(tmp_path)
    (project.folder / "baselines").symlink_to(stored)
    return project


def run(project: Project, url: str, *options: str, key: str | None = None, arch: str = "cpu") -> Finished:
    command = [
        arg for arg in project.arguments("run", engine="unused") if arg not in {"--engine-command", "unused"}
    ]
    command[command.index("--arch") + 1] = arch
    environ = environment() | ({"GATE_API_KEY": key} if key else {})
    done = finished_with([*command, "--base-url", url, *options], project.folder, environ)
    assert "Traceback" not in done.err
    return done


def cell(project: Project) -> dict[str, Any]:
    (found,) = json.loads((project.folder / "out/report.json").read_text())["cells"]
    return found


def record(project: Project) -> dict[str, Any]:
    return json.loads((project.folder / "out/records/cpu__stub__default.json").read_text())


def test_with_its_log_everything_is_proven_and_the_engine_is_left_alone(
    measured: Project, server: StubEngine
):
    done = run(measured, f"{server.url}/v1/", *DATE, "--engine-log", str(LOG))
    assert done.code == 0, done.out + done.err
    assert cell(measured)["evidence"]["source"] == "log+server_info"
    assert all(check["ok"] and not check["accepted"] for check in cell(measured)["evidence_checks"])
    assert server.process.poll() is None


def test_what_only_a_log_can_prove_is_not_measured_without_one(measured: Project, server: StubEngine):
    measured.write_config(expect={"moe": "EMULATION", "tp": 1})
    done = run(measured, server.url, *DATE)
    assert done.code == 4
    assert cell(measured)["verdict"] == "not_measured"
    assert "nothing proves" in cell(measured)["reason"]
    assert "moe: expected EMULATION, found nothing" in cell(measured)["reason"]
    assert "fallbacks: expected none, found nothing" in cell(measured)["reason"]
    assert "--engine-log" in cell(measured)["next_step"]
    assert "--accept-unproven moe --accept-unproven fallbacks" in cell(measured)["next_step"]
    assert server.counts()["requests"] == 0


def test_going_without_proof_is_asked_for_and_shown(measured: Project, server: StubEngine):
    done = run(measured, server.url, *DATE, *UNPROVEN)
    assert done.code == 0, done.out + done.err
    assert "not proven: moe, scheme, fallbacks (nothing confirms it, and that was accepted)" in done.out
    assert "arch, model (as declared for a server that somebody else runs)" in done.out
    assert "**Not proven:** moe, scheme, fallbacks" in (measured.folder / "out/report.md").read_text()


def test_a_record_cannot_accept_for_itself_what_nothing_proves(measured: Project, server: StubEngine):
    assert run(measured, server.url, *DATE, *UNPROVEN).code == 0
    records = measured.folder / "out/records"
    assert measured.check(records).code == 4
    assert measured.check(records, *UNPROVEN).code == 0
    measured.write_config(accept_unproven=["moe", "scheme", "fallbacks"])
    assert measured.check(records).code == 0


def test_what_the_server_contradicts_cannot_be_accepted(measured: Project, server: StubEngine):
    measured.write_config(expect={"tp": 2})
    done = run(measured, server.url, *DATE, *UNPROVEN, "--accept-unproven", "tp")
    assert done.code == 4
    assert "tp: expected 2, found 1" in cell(measured)["reason"]


def test_without_server_info_the_version_alone_is_known(measured: Project):
    with stub_engine(*GOOD) as plain:
        assert run(measured, plain.url, *DATE, *UNPROVEN).code == 0
        host = plain.url.removeprefix("http://")
    assert record(measured)["evidence"]["facts"] == {"engine_version": "0.32.0"}
    assert record(measured)["provenance"]["server"] == host
    assert record(measured)["provenance"]["declared"] == "arch, model, conversation_date"


def test_the_date_the_model_is_told_must_be_declared_and_is_compared(measured: Project, server: StubEngine):
    silent = run(measured, server.url, *UNPROVEN)
    assert (silent.code, "--conversation-date" in silent.err) == (2, True)
    wrong = run(measured, server.url, *UNPROVEN, "--conversation-date", "2025-05-05")
    assert (wrong.code, "the server tells its model the date 2026-01-01" in wrong.err) == (2, True)
    nonsense = run(measured, server.url, *UNPROVEN, "--conversation-date", "yesterday")
    assert (nonsense.code, "neither YYYY-MM-DD nor none" in nonsense.err) == (2, True)
    with stub_engine(*GOOD) as plain:
        other = run(measured, plain.url, *UNPROVEN, "--conversation-date", "none")
    assert other.code == 4
    assert set(cell(measured)["fingerprint_differences"]) == {"conversation_date"}


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gpu-7:8000", "--base-url is not http://"),
        ("ftp://gpu-7", "--base-url is not http://"),
        ("http://me:hunter2@gpu-7:8000", "holds credentials"),
        ("http://gpu-7:8000/?key=hunter2", "holds credentials"),
    ],
)
def test_an_address_that_cannot_be_asked_or_would_leak_is_refused(measured: Project, url: str, said: str):
    done = run(measured, url, *DATE)
    assert (done.code, said in done.err, "hunter2" in done.out + done.err) == (2, True, False)


def test_a_key_comes_from_the_environment_and_is_written_nowhere(measured: Project):
    with stub_engine(*GOOD, "--api-key", "hunter2") as locked:
        refused = run(measured, locked.url, *DATE, *UNPROVEN)
        assert (refused.code, "GATE_API_KEY" in refused.err) == (4, True)
        done = run(measured, locked.url, *DATE, *UNPROVEN, key="hunter2")
    assert done.code == 0, done.err
    written = [path for path in (measured.folder / "out").rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if b"hunter2" in path.read_bytes()]
    assert "hunter2" not in done.out + done.err


def test_a_server_that_is_not_there_or_is_no_vllm_is_told(measured: Project, server: StubEngine):
    gone = run(measured, "http://127.0.0.1:9", *DATE)
    assert (gone.code, "127.0.0.1:9: /v1/models cannot be asked: Connection refused" in gone.err) == (4, True)
    other = run(measured, f"{server.url}/nowhere", *DATE)
    assert (other.code, "/v1/models answers HTTP 404" in other.err) == (4, True)


def test_arch_backend_model_and_length_must_be_what_is_measured(measured: Project, server: StubEngine):
    nowhere = run(measured, server.url, *DATE, arch="auto")
    assert (nowhere.code, "--arch" in nowhere.err) == (2, True)
    unknown = run(measured, server.url, *DATE, "--served-model", "another")
    assert (unknown.code, "the server serves stub" in unknown.err) == (2, True)
    server.switch(root="somebody/else")
    other = run(measured, server.url, *DATE)
    assert (other.code, "the server serves somebody/else" in other.err) == (2, True)
    server.switch(root="/models/anything", length=512)
    measured.write_config(server_args="--max-model-len 1024")
    shorter = run(measured, server.url, *DATE)
    assert (shorter.code, "--max-model-len is 512, the config's 1024" in shorter.err) == (2, True)
    measured.write_config(backends={"a": {}, "b": {}})
    several = run(measured, server.url, *DATE)
    assert (several.code, "one server serves one cell" in several.err) == (2, True)


def test_what_would_have_no_effect_is_refused(measured: Project, server: StubEngine):
    variable = run(measured, server.url, *DATE, "--engine-env", "A=b")
    assert (variable.code, "--engine-env" in variable.err) == (2, True)
    confirmed = run(measured, server.url, *DATE, "--confirm-with", "vllm")
    assert (confirmed.code, "--confirm-with" in confirmed.err) == (2, True)
    alone = measured.gate(["run"], *DATE, engine=measured.engine(*GOOD))
    assert (alone.code, "--base-url" in alone.err) == (2, True)
    misspelt = measured.gate(["run"], "--accept-unproven", "meo", engine=measured.engine(*GOOD))
    assert (misspelt.code, "Did you mean 'moe'?" in misspelt.err) == (2, True)


def test_a_server_that_dies_is_not_measured_and_its_samples_are_kept(measured: Project):
    with stub_engine(*GOOD, "--dies-after", "30") as dying:
        done = run(measured, dying.url, *DATE, *UNPROVEN)
    assert done.code == 4
    assert cell(measured)["verdict"] == "not_measured"
    assert record(measured)["restarts"] == []
    journal = measured.folder / "out/journals/cpu__stub__default.jsonl"
    assert journal.read_text().count("\n") > 2


def test_another_build_behind_the_same_url_is_not_measured(measured: Project, server: StubEngine):
    server.switch(delay=0.02)
    command = [*UNPROVEN, *DATE, "--concurrency", "4"]

    def replace_the_build() -> None:
        while server.counts()["requests"] < 10:
            time.sleep(0.05)
        server.switch(version="0.33.0", info={"vllm_config.parallel_config.tensor_parallel_size": 2})

    replacing = threading.Thread(target=replace_the_build)
    replacing.start()
    done = run(measured, server.url, *command)
    replacing.join()
    assert done.code == 4, done.out
    assert "engine_version: 0.32.0, then 0.33.0; tp: 1, then 2" in cell(measured)["reason"]
