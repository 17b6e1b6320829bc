"""Who is told: a person at a terminal, a log, or nobody."""

import io

import pytest
from rich.console import Console

from gate.report.progress import SilentProgress, progress_for
from gate.report.progress.live import LiveProgress
from gate.report.progress.plain import PlainProgress
from tests.support.progressing import CELL, Clock, a_run


@pytest.mark.parametrize(
    ("environ", "terminal", "term", "kind"),
    [
        ({}, True, "xterm", LiveProgress),
        ({}, True, "dumb", PlainProgress),
        ({}, False, "xterm", PlainProgress),
        ({"CI": "true"}, True, "xterm", PlainProgress),
        ({"GITHUB_ACTIONS": "true"}, True, "xterm", PlainProgress),
    ],
)
def test_live_only_on_a_terminal_that_can_and_outside_ci(environ, terminal, term, kind):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, _environ={"TERM": term})
    assert type(progress_for(environ, console, stream, Clock())) is kind


def test_without_a_stream_it_goes_to_standard_error(capsys):
    progress_for({"CI": "1"}).cell_started(CELL, 5)
    assert "budget 5 samples" in capsys.readouterr().err


def test_silence(capsys):
    silent = SilentProgress()
    a_run(silent, Clock())
    silent.stopping()
    silent.interrupted([])
    assert silent.apart() is silent
    assert capsys.readouterr() == ("", "")
