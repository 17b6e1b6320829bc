"""What a command imports before it works: every run of it waits for that."""

import subprocess
import sys

import pytest

SLOW = ("scipy.stats", "matplotlib", "ruptures", "ray", "fsspec", "github")


@pytest.mark.parametrize("module", ["gate.cli", "gate.run", "gate.collect", "gate.check", "gate.merge"])
def test_a_command_that_measures_or_decides_does_not_wait_for_what_it_does_not_use(module):
    code = f"import sys, {module}; print([name for name in {SLOW} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
