"""The warden's parts that need no engine; its work as a whole is in tests/integration/test_serving.py."""

import os
import signal
import sys

import pytest

from gate.serving import warden


@pytest.mark.parametrize(
    ("status", "words", "code"),
    [(0, "exited with status 0", 0), (3 << 8, "exited with status 3", 3), (9, "was killed by signal 9", 137)],
)
def test_a_wait_status_in_words_and_as_an_exit_status(status, words, code):
    assert warden.describe(status) == words
    assert warden.exit_status(status) == code


def test_a_clean_up_that_cannot_be_executed_or_fails_or_hangs_is_said(capfd, monkeypatch):
    monkeypatch.setattr(warden, "CLEANUP_SECONDS", 0.1)
    warden.run_cleanup(["/nowhere/docker", "rm"])
    warden.run_cleanup([sys.executable, "-I", "-S", "-c", "raise SystemExit(4)"])
    warden.run_cleanup([sys.executable, "-I", "-S", "-c", "while True: pass"])
    said = capfd.readouterr().err.splitlines()
    assert said[0] == "gate: clean-up /nowhere/docker failed: FileNotFoundError"
    assert said[-1] == f"gate: clean-up {sys.executable} failed: TimeoutExpired"


def test_a_process_that_ended_meanwhile_is_no_error(monkeypatch):
    monkeypatch.setattr(warden, "descendants", lambda: {2**22 + 1})
    warden.signal_all(signal.SIGTERM)


def test_a_broken_pipe_does_not_stop_the_stopping(monkeypatch):
    def broken(descriptor: int, data: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(os, "write", broken)
    warden.say("nobody listens")
