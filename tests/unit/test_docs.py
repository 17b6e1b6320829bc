"""The docs say nothing that the command line does not know."""

from __future__ import annotations

import importlib
import os
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from gate.cli import app
from gate.config import json_schema
from tests.support.docs import ROOT, RUN_BY, Command, commands, lines, pages

COMMANDS = sorted(set(commands()))
READERS_OWN = {"configs/imported.yaml"}
"""Files of the reader's, which the page tells to write."""


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_every_gate_command_in_the_docs_parses(command: Command):
    level, words = get_command(app), list(command.words)
    while hasattr(level, "commands"):
        level = level.commands[words.pop(0)]
    level.make_context("gate", words)


def test_every_command_in_the_docs_is_run_by_a_test_that_exists():
    every = list(lines())
    assert [line for line in every if line.run_by is None] == []
    for file, _, test in {str(line.run_by).partition("::") for line in every}:
        assert f"def {test}(" in (ROOT / file).read_text(), test
    used = {(line.page, start) for line in every for page, start in RUN_BY if line.text.find(start) >= 0}
    assert set(RUN_BY) - used == set()


def test_make_test_is_what_ci_runs():
    assert "run: make test\n" in (ROOT / ".github/workflows/ci.yml").read_text()
    assert (ROOT / ".ci").is_dir()


def commands_of(target: str) -> str:
    """What make would run for a target."""
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS")}
    command = ["make", "--dry-run", "--directory", str(ROOT), target]
    done = subprocess.run(command, env=clean, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_demo_shows_the_score_of_a_broken_kernel_and_one_what_the_probe_of_this_machine_does_to_it():
    score, probe = commands_of("demo-regression"), commands_of("demo-probe")
    assert ("--no-probe" in score, "--probe configs/" in score) == (True, False)
    assert ("--no-probe" in probe, "--probe configs/tiny-gpt-oss-w4a8.yaml" in probe) == (False, True)
    assert all("GATE_SABOTAGE=swap_nibbles" in said for said in (score, probe))


def test_every_config_path_that_the_docs_name_exists():
    named = {word for c in COMMANDS for word in c.words if word.startswith("configs/")}
    assert named
    assert [path for path in sorted(named - READERS_OWN) if not (ROOT / path).exists()] == []


def test_the_guides_mention_every_key_of_a_config():
    guide = "".join(page.read_text(encoding="utf-8") for page in pages())
    schema = json_schema()
    sections = [schema, *(s for s in schema["$defs"].values() if "properties" in s)]
    keys = sorted({key for section in sections for key in section["properties"]})
    assert [key for key in keys if key not in guide] == []


def test_everything_in_the_reference_pages_says_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    importlib.import_module("reference").write_reference(tmp_path)
    assert {page.name for page in tmp_path.iterdir()} == {
        "cli.md",
        "config.md",
        "action.md",
        "report.md",
        "errors.md",
    }


def test_every_page_is_in_the_table_of_contents():
    listed = (ROOT / "docs/index.md").read_text().split()
    written = [
        page.relative_to(ROOT / "docs").with_suffix("")
        for page in pages()
        if page.is_relative_to(ROOT / "docs")
    ]
    assert [str(page) for page in written if str(page) not in listed] == ["index"]
