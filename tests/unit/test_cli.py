"""The command line's edges: exit codes that mean what design.md says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gate import cells
from gate.cli import main


def exit_code(*arguments: str) -> object:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code


@pytest.mark.parametrize("arguments", [["run"], ["run", "--no-such-option", "x"], ["no-such-command"]])
def test_a_command_line_that_makes_no_sense_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    assert exit_code(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_help_exits_0(capsys: pytest.CaptureFixture[str]):
    assert exit_code("--help") == 0
    assert "baseline" in capsys.readouterr().out


def test_version_exits_0_and_names_the_gate(capsys: pytest.CaptureFixture[str]):
    assert exit_code("--version") == 0
    assert capsys.readouterr().out.startswith("vllm-eval-gate ")


def test_an_interrupted_command_does_not_look_like_a_regression(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "cells_of", interrupted)
    assert exit_code("plan", "configs/models-cpu.txt") == 130
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("command", [["config", "schema"], ["--help"]])
def test_a_reader_that_has_gone_does_not_look_like_a_regression(command: list[str]):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as nobody_reads:
        done = subprocess.run([sys.executable, "-m", "gate", *command], stdout=nobody_reads, check=False)
    assert done.returncode == 4


def test_a_config_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]):
    assert exit_code("config", "check", "configs/no-such.yaml") == 2
    assert "no-such.yaml" in capsys.readouterr().err


def test_a_bug_does_not_look_like_a_regression(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(cells, "cells_of", lambda *_, **__: 1 / 0)
    assert exit_code("plan", "configs/models-cpu.txt") == 4
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_plan_refuses_a_format_that_it_does_not_know(capsys: pytest.CaptureFixture[str]):
    assert exit_code("plan", "configs/models-cpu.txt", "--format", "nonsense") == 2


def test_attest_shows_what_ran_beside_what_was_expected(capsys: pytest.CaptureFixture[str]):
    log = str(Path(__file__).parents[1] / "logs/vllm-0.32.0-cpu-emulation.log")
    config = str(Path(__file__).parents[2] / "configs/tiny-gpt-oss-w4a8.yaml")
    assert exit_code("attest", "--config", config, "--backend", "triton", "--log", log) == 4
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    assert rows["moe"] == ["EMULATION", "TRITON", "MISMATCH"]
    assert rows["scheme"] == ["w_mxfp4_a_fp8", "w_mxfp4_a_fp8", "ok"]
