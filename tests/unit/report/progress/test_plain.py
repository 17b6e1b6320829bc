"""Plain lines: what a log can bear, and nothing in them that is a workflow command."""

import io
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gate.report.progress.plain import PlainProgress
from gate.report.progress.protocol import Kept
from tests.support import reports
from tests.support.progressing import CELL, Clock, a_run, answer


def plain(*, github: bool = False) -> str:
    stream, clock = io.StringIO(), Clock()
    a_run(PlainProgress(stream, clock, github=github), clock)
    return stream.getvalue()


def test_plain_lines_have_time_and_cell_and_come_at_a_bounded_rate(snapshot):
    assert plain() == snapshot


def test_in_actions_a_cell_is_folded_and_its_verdict_is_not(snapshot):
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
    assert commands == [f"::group::{CELL}", "::endgroup::"]
    assert "##[" not in stream.getvalue()


@given(st.lists(st.text(), max_size=5), st.text())
def test_no_text_of_an_engine_becomes_a_workflow_command(lines: list[str], reason: str):
    stream, clock = io.StringIO(), Clock()
    progress = PlainProgress(stream, clock, github=True)
    progress.cell_started(CELL, 10)
    for line in lines:
        progress.engine_line(f"::{line}")
        progress.engine_line(f"WARNING {line}##[{line}")
    progress.engine_lost(f"::error::{reason}", 3)
    progress.cell_finished(reports.regressed().model_copy(update={"reason": f"\n::error::{reason}"}))
    progress.close()
    written = stream.getvalue()
    commands = [line for line in written.splitlines() if line.lstrip().startswith("::")]
    assert commands == [f"::group::{CELL}", "::endgroup::"]
    assert "##[" not in written


def test_an_interruption_is_told_line_by_line_below_the_group():
    stream = io.StringIO()
    progress = PlainProgress(stream, Clock(), github=True)
    progress.cell_started(CELL, 10)
    progress.stopping()
    progress.interrupted([Kept(CELL, decided=False, samples=7, journal=Path("out/j.jsonl"))])
    folded, below = stream.getvalue().split("::endgroup::\n")
    assert "interrupted: ending the engine; every answer so far is kept" in folded
    assert f"  {CELL}: 7 samples, in out/j.jsonl" in below
    assert all(line.startswith("2026-11-23T21:00:00Z ") for line in below.splitlines())


def test_a_cell_that_is_measured_again_closes_its_first_group():
    stream = io.StringIO()
    progress = PlainProgress(stream, Clock(), github=True)
    progress.cell_started(CELL, 10)
    progress.cell_started(CELL, 20)
    progress.close()
    assert [line for line in stream.getvalue().splitlines() if line.startswith("::")] == [
        *(f"::group::{CELL}", "::endgroup::"),
        *(f"::group::{CELL}", "::endgroup::"),
    ]


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
    assert stream.getvalue() == ""


def test_a_stream_that_knows_only_ascii_gets_ascii():
    raw, clock = io.BytesIO(), Clock()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    a_run(PlainProgress(stream, clock), clock)
    assert b"look at 594 samples" in raw.getvalue()


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


def test_a_cell_that_nothing_is_asked_for_has_no_budget_to_show():
    stream = io.StringIO()
    progress = PlainProgress(stream, Clock())
    progress.cell_started(CELL, 0)
    progress.cell_started(CELL, 1)
    first, second = stream.getvalue().splitlines()
    assert first.endswith(f"{CELL} started")
    assert second.endswith(f"{CELL} started, budget 1 sample")
