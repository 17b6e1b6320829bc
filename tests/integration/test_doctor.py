"""`gate doctor` on this machine, against the embedded engine."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from tests.conftest import EmbeddedEngine
from tests.support.project import ROOT, Finished, environment, finished_with


def doctor(folder: Path, *options: str) -> Finished:
    return finished_with([sys.executable, "-m", "gate", "doctor", *options], folder, environment())


def test_this_machine_is_ready_for_its_engine(tmp_path: Path, embedded_engine: EmbeddedEngine) -> None:
    command = shlex.quote(str(embedded_engine.command))
    done = doctor(
        tmp_path,
        str(ROOT / "configs/models-cpu.txt"),
        *("--engine-command", command, "--model", str(embedded_engine.model)),
        *("--dataset-path", str(embedded_engine.dataset), "--json"),
    )
    assert done.code == 0, done.out + done.err
    checks = {check["name"]: check for check in json.loads(done.out)["checks"]}
    assert {name for name, check in checks.items() if check["status"] == "fail"} == set()
    assert checks["engine"]["said"].startswith("vLLM 0.32.0")
    assert (checks["arch"]["said"], checks["data sets"]["said"]) == ("cpu", "gpqa_diamond (200 questions)")
    assert "carries its encoding" in checks["harmony"]["said"]


def test_a_machine_that_has_nothing_is_told_what_to_do(tmp_path: Path) -> None:
    done = doctor(
        tmp_path,
        str(ROOT / "configs/gpt-oss-20b-rocm-mxfp4-fp8.yaml"),
        *("--engine-command", "no-such-vllm", "--hf-home", "hf"),
    )
    assert done.code == 2
    failed = [line.split()[1] for line in done.out.splitlines() if line.startswith("fail ")]
    assert failed == ["engine", "model", "data"]
    assert "run `gate prefetch`" in done.out
    assert not list(tmp_path.iterdir())
