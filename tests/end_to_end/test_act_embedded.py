"""The action with the real vLLM: this repository's own gate, healthy and with a broken kernel."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from tests.conftest import EmbeddedEngine
from tests.support.act import ActRun, checkout, job, run_act
from tests.support.waiting import PATIENCE
from tests.support.workflows import ROOT, steps

CELL = "cpu/tiny-gpt-oss-w4a8/emulation"


def sabotage(vllm: Path, wrapper: Path) -> Path:
    """A build of the engine whose kernel swaps the two nibbles of a byte: the pull request's bug."""
    wrapper.write_text(
        f"#!{vllm.resolve().parent / 'python'}\n"
        "import os, sys\n"
        "os.environ['GATE_SABOTAGE'] = 'swap_nibbles'\n"
        f"os.execv({str(vllm)!r}, [{str(vllm)!r}, *sys.argv[1:]])\n"
    )
    wrapper.chmod(0o755)
    return wrapper


@pytest.fixture(scope="module")
def act(embedded_engine: EmbeddedEngine, tmp_path_factory: pytest.TempPathFactory) -> ActRun:
    """The gate step of .github/workflows/gate.yml with this checkout's engine; then a sabotaged one."""
    temp = tmp_path_factory.mktemp("act")
    (step,) = [s for s in steps(ROOT / ".github/workflows/gate.yml") if s.get("id") == "gate"]

    def inputs(name: str, command: Path) -> dict[str, str]:
        return step["with"] | {
            "configs": "configs/tiny-gpt-oss-w4a8.yaml",
            "backends": "emulation",
            "arch": "cpu",
            "cells-in-family": "",
            "head-sha": "",
            "base-sha": "",
            "engine-command": shlex.quote(str(command)),
            "model-dir": str(embedded_engine.model),
            "dataset-path": str(embedded_engine.dataset),
            "out-dir": str(temp / "out" / name),
        }

    sabotaged = sabotage(embedded_engine.command, temp / "vllm")
    jobs = {
        "gate": job(
            {"id": "healthy", "uses": "./", "with": inputs("healthy", embedded_engine.command)},
            {"id": "sabotaged", "uses": "./", "with": inputs("sabotaged", sabotaged)},
        )
    }
    return run_act(checkout(tmp_path_factory.mktemp("repository")), jobs, temp, timeout=PATIENCE)


def test_the_healthy_engine_passes_and_leaves_reports_records_and_a_summary(act: ActRun) -> None:
    assert act.step("gate", "healthy") == "success", act.log()
    outputs = act.outputs("gate", "healthy")
    assert outputs["verdict"] == "pass"
    assert outputs["failed-cells"] == "[]"
    report = Path(outputs["report-json"])
    assert [cell["verdict"] for cell in json.loads(report.read_text())["cells"]] == ["pass"]
    assert act.summary("gate", "healthy") == Path(outputs["report-md"]).read_text()
    assert [path.name for path in (report.parent / "records").iterdir()] == [
        "cpu__tiny-gpt-oss-w4a8__emulation.json"
    ]


def test_a_broken_kernel_fails_the_job_as_a_regression_that_names_the_cell(act: ActRun) -> None:
    assert act.outputs("gate", "sabotaged")["verdict"] == "regression", act.log()
    assert json.loads(act.outputs("gate", "sabotaged")["failed-cells"]) == [CELL]
    assert act.step("gate", "sabotaged") == "failure"
    assert act.job("gate") == "failure"
    assert act.code != 0
