"""A process of its own for what may be ended by others: only what it answers counts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from gate.apart import apart
from gate.errors import EngineError, UsageError
from gate.objects import objects_at
from tests.support.project import environment
from tests.support.waiting import PATIENCE

SLEEPS = """
from gate.apart import apart
apart(exec, "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
"""


def test_it_answers_what_the_function_returns_or_raises() -> None:
    assert apart(os.getpgrp) not in {os.getpgrp(), os.getpid()}
    assert apart(print) is None
    with pytest.raises(UsageError, match="gopher: is no kind of store") as raised:
        apart(objects_at, "gopher://a/b")
    assert raised.value.hint == "give file://FOLDER or s3://BUCKET/PREFIX"


@pytest.mark.parametrize("status", [0, 1])
def test_a_process_that_ends_without_an_answer_measured_nothing_whatever_its_status(status: int) -> None:
    with pytest.raises(EngineError, match=f"ended with exit status {status} and without a result") as raised:
        apart(os._exit, status)
    assert raised.value.exit_code == 4


def test_a_killed_process_is_told_from_one_that_ends_itself() -> None:
    with pytest.raises(EngineError, match="was ended by SIGKILL and without a result"):
        apart(signal.raise_signal, signal.SIGKILL)


def test_a_bug_shows_its_traceback_and_has_no_result(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EngineError, match="ended with exit status 1 and without a result"):
        apart(int, "no number")
    assert "ValueError: invalid literal" in capfd.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_passed_on(number: signal.Signals) -> None:
    with sleeping() as running:
        assert driver_of(running).is_running()
        running.send_signal(number)
        _, err = running.communicate(timeout=PATIENCE)
    assert f"stopped by {number.name} before there was a result" in err
    assert "KeyboardInterrupt" not in err


def test_it_ends_with_the_process_that_waits_for_it() -> None:
    with sleeping() as running:
        driver = driver_of(running)
        running.kill()
    driver.wait(timeout=PATIENCE)


def sleeping() -> subprocess.Popen[str]:
    """A process that waits for a function that sleeps."""
    command = [sys.executable, "-c", SLEEPS]
    return subprocess.Popen(
        command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def driver_of(running: subprocess.Popen[str]) -> psutil.Process:
    """The other process, once the function runs there."""
    assert running.stdout
    return psutil.Process(int(running.stdout.readline()))
