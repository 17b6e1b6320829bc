"""`kill -9` of the real engine's own processes: two random moments here, twenty in `make soak`."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import kill_loop
from tests.conftest import EmbeddedEngine


def test_killing_the_engine_falsifies_no_sample_and_leaves_nothing(
    embedded_engine: EmbeddedEngine, root: Path, tmp_path: Path
):
    command = [sys.executable, "-m", "benchmarks.kill_loop", "--rounds", "2", "--seed", "2"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path)], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 faults" in done.stdout


def test_a_reference_that_was_not_measured_is_neither_kept_nor_compared_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cancelled = kill_loop.Round((), (), (), 1.0, 4, "not_measured", 0, (), {}, ())
    monkeypatch.setattr(kill_loop, "play", lambda *_: cancelled)
    with pytest.raises(SystemExit, match="was not measured"):
        kill_loop.reference_in(tmp_path)
    assert not list(tmp_path.iterdir())
