"""The terminal's report: a table with room, lines without, nothing but text for a file."""

import io

import pytest
from rich.console import Console
from rich.text import Text

from gate.model.result import AnchorLook
from gate.report.terminal import print_report
from tests.support import reports


def printed(report, *, terminal=False, width=150, environ=None, stream=None) -> str:
    stream = stream or io.StringIO()
    console = Console(
        file=stream, force_terminal=terminal, width=width, _environ=environ or {"TERM": "xterm-256color"}
    )
    print_report(report, console)
    stream.seek(0)
    return stream.read()


def test_a_wide_terminal_gets_a_table_and_what_is_wrong(snapshot):
    assert printed(reports.all_six(), terminal=True, environ={"NO_COLOR": "1"}) == snapshot


def test_a_narrow_terminal_gets_lines_that_fit(snapshot):
    text = printed(reports.all_six(), terminal=True, width=60, environ={"NO_COLOR": "1"})
    assert text == snapshot
    assert max(len(Text.from_ansi(line)) for line in text.splitlines()) <= 60


def test_a_file_gets_one_whole_line_a_cell_without_colour_or_boxes(snapshot):
    text = printed(reports.all_six(), width=40)
    assert text == snapshot
    assert "\x1b" not in text
    assert "regression: gfx950/gpt-oss-20b-rocm-mxfp4-fp8/triton  score 54.1 % (58.3 %)" in text


def test_a_pass_shows_how_far_it_is_from_the_anchor():
    look = AnchorLook(runs=("0123456789ab",), repeats=32, difference=-0.01, p_value=0.2, alpha=0.002)
    cell = reports.passed().model_copy(update={"anchor": look})
    said = printed(reports.report_of(cell))
    assert "against the anchor (run 0123456789ab): no drop is proven" in said


def test_colours_only_without_no_color():
    assert "\x1b[32mpass" in printed(reports.all_six(), terminal=True)
    plain = printed(reports.all_six(), terminal=True, environ={"NO_COLOR": "1", "TERM": "xterm-256color"})
    assert "\x1b[32m" not in plain
    assert "\x1b[31m" not in plain


def test_several_archs_get_a_column():
    both = reports.report_of(reports.passed(), reports.passed(arch="gfx942"))
    assert "Arch" in printed(both, terminal=True, width=160)
    assert "Arch" not in printed(reports.report_of(reports.passed()), terminal=True, width=160)


@pytest.mark.parametrize("terminal", [True, False])
def test_escape_sequences_markup_and_commands_from_outside_stay_text(terminal):
    cell = reports.crashed().model_copy(
        update={"reason": "\x1b]0;x\x07[bold]no[/bold]\n::error::x ##[error]y", "notes": ("[link=x]y",)}
    )
    text = printed(reports.report_of(cell), terminal=terminal, environ={"NO_COLOR": "1"})
    assert "\x1b]0" not in text
    assert "[bold]no[/bold]" in text
    assert not any(line.strip().startswith("::") for line in text.splitlines())
    assert "##[" not in text


def test_a_stream_that_knows_only_ascii_gets_ascii():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    print_report(reports.all_six(), Console(file=stream))
    assert b"difference ?4.2" in raw.getvalue()
