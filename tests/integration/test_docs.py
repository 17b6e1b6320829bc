"""The docs' commands do what they say, and the pages become a site without a warning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.docs import HARMLESS, ROOT, Command, commands


def is_harmless(command: Command) -> bool:
    return command.words[:1] in HARMLESS or command.words[:2] in HARMLESS


@pytest.mark.parametrize("command", sorted(filter(is_harmless, set(commands()))), ids=str)
def test_every_command_that_needs_no_engine_works_as_printed(command: Command):
    done = subprocess.run(
        [sys.executable, "-m", "gate", *command.words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # The tutorial shows what a wrong log looks like: the emulation backend's config with triton's log.
    wrong_log = "emulation" in command.words and command.words[-1].endswith("-triton.log")
    assert done.returncode == (4 if wrong_log else 0), done.stderr
    assert done.stdout


def test_the_pages_build_strictly(tmp_path: Path):
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", ROOT / "docs", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stderr) == (0, "")
    for page in (
        "tutorial",
        "generated/cli",
        "generated/config",
        "generated/action",
        "generated/report",
        "generated/errors",
    ):
        assert (tmp_path / f"{page}.html").is_file()
