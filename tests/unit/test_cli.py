"""The command line's edges: exit codes that mean what design.md says."""

from __future__ import annotations

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


def test_an_interrupted_command_does_not_look_like_a_regression(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "cells_of", interrupted)
    assert exit_code("plan", "configs/models-cpu.txt") == 130
    assert "Traceback" not in capsys.readouterr().err


def test_a_config_that_is_missing_is_named(capsys: pytest.CaptureFixture[str]):
    assert exit_code("config", "check", "configs/no-such.yaml") == 2
    assert "no-such.yaml" in capsys.readouterr().err
