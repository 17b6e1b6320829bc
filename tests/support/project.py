"""A user's repository in miniature: one config, its question set, its model folder, and the stub engine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.support.checkout import commit, repository
from tests.support.questions import write_questions

ROOT = Path(__file__).resolve().parents[2]
STUB = ROOT / "tests/support/engine_stub.py"
LOG = ROOT / "tests/logs/stand-in.log"
IMPORTED_FROM = f"{ROOT / 'tests/support/same_streams'}{os.pathsep}{ROOT}"
"""PYTHONPATH of what a test starts: this checkout, and streams that are the same whenever the test runs."""
CELL = "cpu/stub/default"
STARTED: Counter[str] = Counter()
STORED = ("--accuracy", "0.54")
"""The stub behind a stored baseline: a little worse than the healthy one of the tests (.6).

A gate with alpha .01 is right to fail one run in a hundred of an engine that has not changed: 10 of 600
simulated runs did not pass, and none of 1,000 against this baseline. Which samples a test draws is fixed
(`environment`), and changes with its name and the number of processes it started before.
"""


class Finished(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


class Project:
    """A folder with configs/stub.yaml and what `gate` needs to measure it."""

    def __init__(self, folder: Path, questions: int = 24) -> None:
        self.folder = folder
        self.config = folder / "configs/stub.yaml"
        self.dataset = write_questions(folder / "questions.csv", questions)
        self.model = folder / "model"
        self.model.mkdir()
        (self.model / "config.json").write_text("{}")
        (self.model / "model.safetensors").write_bytes(b"weights")
        self.config.parent.mkdir()
        (folder / ".gitignore").write_text("out\n")
        repository(folder)
        self.write_config()

    def write_config(self, **changes: Any) -> None:
        """configs/stub.yaml with these keys changed, committed: baselines come from clean checkouts only."""
        settings: dict[str, Any] = {
            "model_name": "stub/model",
            "metric_threshold": 0.6,
            "task": {"name": "gpqa_diamond", "endpoint": "chat"},
            "gate": {"margin": 0.1},
            "expect": {"moe": "EMULATION", "scheme": "w_mxfp4_a_fp8"},
        }
        self.config.write_text(yaml.safe_dump(settings | changes))
        commit(self.folder)

    def engine(self, *options: str, log: Path = LOG) -> str:
        """The --engine-command of a stub with these options."""
        return shlex.join([sys.executable, str(STUB), "--log", str(log), *options])

    @property
    def go_on(self) -> Path:
        """The file for which an engine that stays waits."""
        return self.folder / "go-on"

    def staying(self, *options: str) -> str:
        """An engine that stays in the middle of its cell until `go_on` exists: nothing comes too late."""
        return self.engine("--accuracy", "0.6", "--hangs-after", "20", "--until", str(self.go_on), *options)

    def arguments(self, *command: str, engine: str) -> list[str]:
        """A whole `gate` command line."""
        return [
            *(sys.executable, "-m", "gate", *command, str(self.config)),
            *("--engine-command", engine, "--model", str(self.model)),
            *("--dataset-path", str(self.dataset), "--arch", "cpu"),
            *("--baselines", str(self.folder / "baselines"), "--out", str(self.folder / "out")),
        ]

    def gate(self, command: Sequence[str], *options: str, engine: str) -> Finished:
        """Run `gate COMMAND configs/stub.yaml ... OPTIONS` to its end."""
        return finished([*self.arguments(*command, engine=engine), *options], self.folder)

    def check(self, records: Path, *options: str) -> Finished:
        """Run `gate check` over stored records."""
        command = [sys.executable, "-m", "gate", "check", str(records), str(self.config), "--arch", "cpu"]
        return finished([*command, "--baselines", str(self.folder / "baselines"), *options], self.folder)

    def collect(self, *engine_options: str, repeats: int = 16) -> Finished:
        """Store a baseline made by a stub with these options."""
        return self.gate(
            ["baseline", "collect"],
            *("--repeats", str(repeats), "--reason", "first", "--accepted-by", "tester"),
            engine=self.engine(*engine_options),
        )

    @property
    def baseline(self) -> Path:
        """The cell's baseline file."""
        return self.folder / "baselines/cpu/stub/default.json"


def finished(command: Sequence[str], folder: Path, timeout: float = 120) -> Finished:
    """Run a command with this checkout importable, and wait for its end."""
    return finished_with(command, folder, environment(), timeout)


def finished_with(
    command: Sequence[str], folder: Path, environ: Mapping[str, str], timeout: float = 120
) -> Finished:
    """Run a command in exactly this environment, and wait for its end."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def environment() -> dict[str, str]:
    """What `gate` needs to run from this checkout; nothing of the CI it may run in."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")
    found = {
        name: value
        for name, value in os.environ.items()
        # Coverage follows the processes that a test starts by variables of its own.
        if name in kept or name.startswith("COV")
    }
    streams = {"PYTHONPATH": IMPORTED_FROM, "STREAMS_OF": next_process()}
    return found | streams | {"NO_COLOR": "1", "COLUMNS": "200"}


def next_process() -> str:
    """The test that runs, and which of its processes comes next."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "no test")
    STARTED[test] += 1
    return f"{test} {STARTED[test]}"
