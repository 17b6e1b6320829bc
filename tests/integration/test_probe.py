"""The numerics probe from the command line to the exit code, against a stand-in engine in a process."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.project import CELL, STORED, Finished, Project, environment
from tests.support.waiting import PATIENCE

GOOD = ("--accuracy", "0.6")
PROBE = "baselines/cpu/stub/default.probe.json"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose healthy stub has a baseline and a probe."""
    project = Project(tmp_path_factory.mktemp("stored"))
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    done = probe(project)
    assert done.code == 0, done.err
    return project


@pytest.fixture
def project(tmp_path: Path, stored: Project) -> Project:
    """The same in a folder of its own."""
    one = Project(tmp_path)
    shutil.copytree(stored.folder / "baselines", tmp_path / "baselines")
    return one


def probe(project: Project, *options: str, engine: tuple[str, ...] = GOOD) -> Finished:
    command = ["baseline", "probe"]
    return project.gate(command, "--accepted-by", "tester", *options, engine=project.engine(*engine))


def run(project: Project, *engine: str) -> tuple[Finished, dict]:
    done = project.gate(["run"], engine=project.engine(*GOOD, *engine))
    (cell,) = json.loads((project.folder / "out/report.json").read_text())["cells"]
    return done, cell


def test_a_probe_is_stored_with_its_floor_and_how_exactly_the_engine_repeats_itself(stored: Project):
    path = stored.folder / PROBE
    content = json.loads(path.read_text())
    assert path.stat().st_size <= 200_000
    assert [one["name"] for one in content["healthy"]] == [
        *(f"start 1, concurrency {number}" for number in (1, 8, 16, 4)),
        *(f"start 2, concurrency {number}" for number in (32, 1, 8, 16, 4)),
    ]
    assert all(one["equal"] == one["positions"] for one in content["healthy"])
    assert content["provenance"]["accepted_by"] == "tester"
    positions = content["healthy"][0]["positions"]
    repeats = content["provenance"]["determinism"]
    assert repeats.startswith(f"start 1, concurrency 1: {positions} of {positions} positions bitwise equal")


def test_an_unchanged_engine_passes_and_the_report_says_so(project: Project):
    done, cell = run(project)
    assert done.code == 0, done.out
    assert cell["numerics"]["state"] == "unchanged"
    assert "numerics: numerics unchanged: 0.0 times the noise floor" in done.out
    assert "numerics unchanged" in (project.folder / "out/report.md").read_text()
    again = project.check(project.folder / "out/records")
    assert (again.code, "numerics unchanged" in again.out) == (0, True)


@pytest.mark.parametrize(("option", "path"), [("--drift", "prefill"), ("--decode-drift", "decode")])
def test_a_changed_kernel_beside_an_unchanged_score_passes_and_is_spelled_out(project, option, path):
    done, cell = run(project, option, "0.1")
    assert (done.code, cell["verdict"]) == (0, "pass")
    assert cell["numerics"]["state"] == "changed"
    if option == "--decode-drift":
        assert cell["numerics"]["path"] == path
    assert "score unchanged, numerics changed in" in done.out
    report = (project.folder / "out/report.md").read_text()
    assert "score unchanged, numerics changed in" in report
    assert "gate baseline probe configs/stub.yaml --backend default" in report


def test_where_the_config_declares_it_a_drift_is_a_regression(project: Project):
    project.write_config(gate={"margin": 0.1, "probe": {"on_drift": "fail"}})
    done, cell = run(project, "--drift", "0.1")
    assert (done.code, cell["verdict"]) == (1, "regression")
    assert "the config declares that this fails" in cell["reason"]
    assert project.check(project.folder / "out/records").code == 1


def test_fail_without_a_calibrated_floor_is_refused_before_an_engine_starts(project: Project):
    (project.folder / PROBE).unlink()
    project.write_config(gate={"margin": 0.1, "probe": {"on_drift": "fail"}})
    done = project.gate(["run"], engine=project.engine(*GOOD))
    assert done.code == 2
    assert "needs a noise floor from 4 healthy comparisons on this arch: no probe in" in done.err
    assert not (project.folder / "out/logs").exists()


def test_broken_numbers_stop_the_cell_before_a_question_is_asked(project: Project):
    done, cell = run(project, "--drift", "8")
    assert (done.code, cell["verdict"]) == (4, "not_measured")
    assert "which no rounding explains; the evaluation was not started" in cell["reason"]
    (record,) = (project.folder / "out/records").glob("*.json")
    content = json.loads(record.read_text())
    assert (content["generated"], content["failure"]["kind"]) == (0, "numerics")


def test_a_probe_of_another_machine_is_not_compared_and_says_why(project: Project):
    path = project.folder / PROBE
    content = json.loads(path.read_text())
    content["probe"]["fingerprint"]["instruction_set"] = "abacus"
    path.write_text(json.dumps(content))
    done, cell = run(project)
    assert (done.code, cell["numerics"]["state"]) == (0, "incomparable")
    assert "abacus there" in done.out


def test_a_stored_probe_is_replaced_only_with_a_reason(project: Project):
    refused = probe(project, engine=(*GOOD, "--drift", "0.1"))
    assert refused.code == 2
    assert "there is a probe already: another one needs a reason" in refused.err
    done = probe(project, "--reason", "a faster kernel", "--starts", "1", engine=(*GOOD, "--drift", "0.1"))
    assert done.code == 0, done.err
    assert json.loads((project.folder / PROBE).read_text())["provenance"]["reason"] == "a faster kernel"
    _, cell = run(project, "--drift", "0.1")
    assert cell["numerics"]["state"] == "unchanged"


def test_an_engine_that_fell_back_gets_no_probe(project: Project, tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("INFO 11-23 21:00:00 [x.py:1] Using 'TRITON' Mxfp4 MoE backend.\n")
    command = ["baseline", "probe"]
    done = project.gate(command, "--reason", "r", engine=project.engine(*GOOD, log=log))
    assert done.code == 4
    assert f"{CELL}: the engine did not run what the config says: moe: expected EMULATION" in done.err


def test_an_interrupted_probe_says_that_nothing_is_kept_and_leaves_the_stored_one(project: Project):
    before = (project.folder / PROBE).read_bytes()
    log = project.folder / "out/logs/cpu__stub__default.log"
    words = project.arguments("baseline", "probe", engine=project.engine(*GOOD, "--hangs-after", "2"))
    with subprocess.Popen(
        [*words, "--reason", "r"],
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        said = []
        for line in run.stderr:
            said.append(line)
            if "numerics probe: asking" in line:
                run.send_signal(signal.SIGINT)
        run.wait(timeout=PATIENCE)
    assert (run.returncode, log.exists()) == (4, True), said
    assert "cancelled\n  start it again: probes are short and none is kept" in "".join(said)
    assert "Traceback" not in "".join(said)
    assert (project.folder / PROBE).read_bytes() == before


def test_another_backend_that_was_declared_healthy_is_part_of_the_floor(tmp_path: Path):
    project = Project(tmp_path)
    project.write_config(backends={"emulation": {}, "triton": {}})
    done = probe(project, "--backend", "emulation", "--healthy", "triton", "--starts", "1")
    assert done.code == 0, done.err
    content = json.loads((tmp_path / "baselines/cpu/stub/emulation.probe.json").read_text())
    assert [(one["name"], one["kind"]) for one in content["healthy"]] == [
        *((f"start 1, concurrency {number}", "rerun") for number in (1, 8, 16, 4)),
        ("backend triton, concurrency 32", "variant"),
    ]


def test_an_unknown_healthy_backend_is_refused(project: Project):
    done = probe(project, "--reason", "r", "--healthy", "tritn")
    assert done.code == 2
    assert "no config here has the cell cpu/stub/tritn" in done.err


def test_without_its_probe_a_broken_engine_is_judged_by_its_score_alone(project: Project):
    worse = project.engine("--accuracy", "0.1", "--drift", "8")
    done = project.gate(["run"], "--no-probe", engine=worse)
    (cell,) = json.loads((project.folder / "out/report.json").read_text())["cells"]
    assert (done.code, cell["verdict"], cell["numerics"]) == (1, "regression", None), done.out
    assert "numerics" not in done.out
    assert project.check(project.folder / "out/records").code == 1


def test_a_cell_whose_drift_fails_is_not_run_without_its_probe(project: Project):
    project.write_config(gate={"margin": 0.1, "probe": {"on_drift": "fail"}})
    done = project.gate(["run"], "--no-probe", engine=project.engine(*GOOD))
    assert done.code == 2
    assert "--no-probe, and the config declares that a drift of the numerics fails" in done.err
    assert not (project.folder / "out/logs").exists()
