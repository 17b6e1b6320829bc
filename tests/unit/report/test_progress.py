"""Progress: plain lines a log can bear, a live block on a terminal, never a look of its own."""

import io
import re

import pytest
from rich.console import Console

from gate.model import Finish, Outcome, Sample
from gate.report.progress import LiveProgress, PlainProgress, SilentProgress, Tally, progress_for
from tests.support import reports

START = 1_795_467_600.0  # 2026-11-23T21:00:00Z
CELL = reports.regressed().cell
LOOK = reports.regressed().looks[3]


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self) -> float:
        return self.now


def answer(number: int, outcome: Outcome = Outcome.CORRECT) -> Sample:
    return Sample(f"{number:012x}", 0, outcome, 20, Finish.STOP)


def a_run(progress, clock):
    """One cell: the engine starts for 40 s, then 300 samples at 5 a second, one look, a verdict."""
    progress.cell_started(CELL, 4158)
    for number in range(3):
        clock.now += 10
        progress.engine_line(f"(EngineCore pid=7) loading shard {number}\n")
    clock.now += 10
    progress.engine_ready(40.0)
    for number in range(300):
        clock.now += 0.2
        progress.sample(answer(number, (Outcome.CORRECT, Outcome.WRONG, Outcome.INVALID)[number % 3]))
    progress.engine_line("INFO: 127.0.0.1 - POST /v1/responses 200 OK")
    progress.look(LOOK)
    progress.cell_finished(reports.regressed())
    progress.close()


def plain(*, github: bool = False) -> str:
    stream, clock = io.StringIO(), Clock()
    a_run(PlainProgress(stream, clock, github=github), clock)
    return stream.getvalue()


def test_plain_lines_have_time_and_cell_and_come_at_a_bounded_rate(snapshot):
    assert plain() == snapshot


def test_in_actions_the_engines_log_is_folded(snapshot):
    assert plain(github=True) == snapshot


def test_workflow_commands_in_the_engines_log_do_nothing():
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, clock, github=True)
    progress.cell_started(CELL, 10)
    for line in (
        "::error::x",
        "  ::add-mask::x",
        "a\r::set-output name=x::y",
        "##[error]x",
        "::endgroup::",
    ):
        progress.engine_line(line)
    progress.close()
    commands = [line for line in re.split(r"[\r\n]", stream.getvalue()) if line.strip().startswith("::")]
    assert commands == [f"::group::engine log of {CELL}", "::endgroup::"]
    assert "##[" not in stream.getvalue()


def test_a_flood_of_engine_lines_is_cut_and_counted():
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, clock)
    progress.cell_started(CELL, 10)
    for number in range(1000):
        progress.engine_line(f"line {number}")
    clock.now += 11
    progress.engine_line("after the flood")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1 + 200 + 1 + 1
    assert "800 lines left out" in lines[-2]
    assert lines[-1].endswith("after the flood")


def test_once_the_engine_is_ready_only_warnings_and_errors_pass():
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, clock)
    progress.cell_started(CELL, 10)
    progress.engine_ready(3)
    progress.engine_line("INFO POST /v1/responses 200")
    progress.engine_line("WARNING falling back")
    assert "POST" not in stream.getvalue()
    assert "engine | WARNING falling back" in stream.getvalue()


def test_an_interruption_closes_the_group():
    stream = io.StringIO()
    progress = PlainProgress(stream, Clock(), github=True)
    progress.cell_started(CELL, 10)
    progress.close()
    progress.close()
    assert stream.getvalue().count("::endgroup::") == 1


def test_a_sample_outside_a_cell_is_ignored():
    stream = io.StringIO()
    PlainProgress(stream, Clock()).sample(answer(1))
    LiveProgress(Console(file=stream), Clock()).sample(answer(1))
    assert stream.getvalue() == ""


def test_a_stream_that_knows_only_ascii_gets_ascii():
    raw, clock = io.BytesIO(), Clock()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    a_run(PlainProgress(stream, clock), clock)
    assert b"look at 594 samples" in raw.getvalue()


def test_rate_forgets_what_is_older_than_a_minute():
    clock = Clock()
    tally = Tally(CELL, 1000, clock)
    for number in range(100):
        tally.add(answer(number))
    clock.now += 100
    for number in range(50):
        clock.now += 1
        tally.add(answer(number))
    assert str(tally) == "150/1,000 samples, 1.0/s, at most 13 min 53 s left, score so far 100.0 %"


def test_nothing_is_claimed_before_the_first_sample():
    assert str(Tally(CELL, 1000, Clock())) == "0/1,000 samples"


def live() -> tuple[LiveProgress, Console, Clock]:
    clock = Clock()
    console = Console(
        file=io.StringIO(), force_terminal=True, width=100, _environ={"NO_COLOR": "1", "TERM": "xterm"}
    )
    return LiveProgress(console, clock), console, clock


def shown(progress: LiveProgress) -> str:
    page = Console(file=io.StringIO(), width=100, force_terminal=False)
    page.print(progress.render())
    return page.file.getvalue()


def test_live_shows_the_logs_last_line_while_the_engine_starts():
    progress, _, clock = live()
    progress.cell_started(CELL, 4158)
    progress.engine_line("loading \x1b[31mshard 1")
    progress.engine_line("\n")
    clock.now += 12
    page = shown(progress)
    progress.close()
    assert page.splitlines()[0].rstrip() == f"{CELL}  12 s"
    assert "loading [31mshard 1" in page


def test_live_shows_samples_rate_rest_score_and_the_latest_look(snapshot):
    progress, _, clock = live()
    progress.cell_started(CELL, 4158)
    progress.engine_ready(40)
    assert "engine ready after 40 s" in shown(progress)
    for number in range(60):
        clock.now += 1
        progress.sample(answer(number))
    progress.engine_line("POST /v1/responses")
    assert "look at" not in shown(progress)
    progress.look(LOOK)
    page = shown(progress)
    progress.close()
    assert page == snapshot


def test_live_leaves_one_line_with_the_verdict_and_the_cursor_shown():
    progress, console, clock = live()
    a_run(progress, clock)
    text = console.file.getvalue()
    last = text[text.rindex("regression") :].replace("\x1b[0m", "")
    assert " ".join(last.split()).endswith(f"{CELL}: A drop is proven: 4.2 points below the baseline.")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert shown(progress) == ""


def test_silence():
    clock = Clock()
    a_run(SilentProgress(), clock)


@pytest.mark.parametrize(
    ("environ", "terminal", "kind"),
    [
        ({}, True, LiveProgress),
        ({}, False, PlainProgress),
        ({"CI": "true"}, True, PlainProgress),
        ({"GITHUB_ACTIONS": "true"}, True, PlainProgress),
    ],
)
def test_live_only_on_a_terminal_outside_ci(environ, terminal, kind):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal)
    assert type(progress_for(environ, console, stream, Clock())) is kind


def test_without_a_stream_it_goes_to_standard_error(capsys):
    progress_for({"CI": "1"}).cell_started(CELL, 5)
    assert "budget 5 samples" in capsys.readouterr().err


def test_cells_measured_at_once_are_told_apart_line_by_line():
    stream, clock = io.StringIO(), Clock()
    hub = PlainProgress(stream, clock, github=True)
    first, second = hub.apart(), hub.apart()
    other = CELL.model_copy(update={"backend": "triton"})
    for progress, cell in ((first, CELL), (second, other)):
        progress.cell_started(cell, 100)
        progress.engine_line("INFO loading shard 1")
    second.engine_line("WARNING falling back")
    first.engine_line("ERROR no kernel")
    said = [line.split(" ", 1)[1] for line in stream.getvalue().splitlines()]
    assert said == [
        f"{CELL} started, budget 100 samples",
        f"{other} started, budget 100 samples",
        f"{other} engine | WARNING falling back",
        f"{CELL} engine | ERROR no kernel",
    ]


def test_silence_and_a_live_terminal_have_lines_apart_too():
    silent = SilentProgress()
    assert silent.apart() is silent
    console, clock = Console(file=io.StringIO(), force_terminal=True), Clock()
    apart = LiveProgress(console, clock).apart()
    apart.cell_started(CELL, 100)
    assert f"{CELL} started" in console.file.getvalue()
