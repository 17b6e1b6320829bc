"""The table on a terminal: every cell from the start, what happens now, and a cursor given back."""

import io
from pathlib import Path

from rich.console import Console

from gate.report.progress.live import LiveProgress
from gate.report.progress.protocol import Kept
from tests.support import reports
from tests.support.progressing import CELL, LOOK, OTHER, Clock, a_run, answer


def live(height: int = 40, width: int = 120) -> tuple[LiveProgress, Console, Clock]:
    clock = Clock()
    console = Console(
        file=io.StringIO(),
        force_terminal=True,
        width=width,
        height=height,
        _environ={"NO_COLOR": "1", "TERM": "xterm"},
    )
    return LiveProgress(console, clock), console, clock


def shown(progress: LiveProgress) -> str:
    page = Console(file=io.StringIO(), width=progress.board.console.width, force_terminal=False)
    page.print(progress.board.render())
    return "\n".join(line.rstrip() for line in page.file.getvalue().splitlines())


def test_the_logs_last_line_is_shown_while_the_engine_starts_and_other_cells_wait(snapshot):
    progress, _, clock = live()
    progress.planned([CELL, OTHER])
    progress.cell_started(CELL, 4158)
    progress.engine_line("loading \x1b[31mshard 1 " + "of a very long name " * 9)
    progress.engine_line("\n")
    clock.now += 12
    page = shown(progress)
    progress.close()
    assert page == snapshot


def test_samples_rate_rest_score_and_the_latest_look_are_shown(snapshot):
    progress, _, clock = live()
    progress.cell_started(CELL, 120)
    progress.engine_ready(40)
    assert "engine ready after 40 s" in shown(progress)
    progress.probe_started(32)
    assert "numerics probe: asking 32 prompts" in shown(progress)
    for number in range(60):
        clock.now += 1
        progress.sample(answer(number))
    progress.engine_line("POST /v1/responses")
    assert "look at" not in shown(progress)
    progress.look(LOOK)
    page = shown(progress)
    progress.close()
    assert page == snapshot


def test_a_narrow_terminal_has_the_cell_on_a_line_of_its_own(snapshot):
    progress, _, clock = live(width=80)
    progress.planned([CELL, OTHER])
    progress.cell_started(CELL, 120)
    clock.now += 70
    progress.sample(answer(1))
    progress.look(LOOK)
    page = shown(progress)
    progress.close()
    assert page == snapshot


def test_the_verdict_takes_the_place_of_the_samples_and_stays_with_the_cursor_given_back(snapshot):
    progress, console, clock = live()
    a_run(progress, clock)
    text = console.file.getvalue()
    assert text.rindex("A drop is proven") < text.rindex("\x1b[?25h")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert shown(progress) == snapshot
    clock.now += 1000
    assert shown(progress) == snapshot  # its time no longer runs


def test_an_engine_that_is_started_again_says_so_before_and_after_the_first_sample():
    progress, _, _ = live()
    progress.cell_started(CELL, 10)
    progress.engine_lost("it died", 0)
    assert "engine lost, 0 samples kept, starting it again: it died" in shown(progress)
    progress.sample(answer(1))
    progress.engine_lost("it \x1bhung", 1)
    assert "engine lost, 1 sample kept, starting it again: it hung" in shown(progress)
    progress.close()


def test_cells_measured_at_once_share_the_table():
    progress, _, clock = live()
    progress.planned([CELL, OTHER])
    first, second = progress.apart(), progress.apart()
    first.cell_started(CELL, 100)
    second.cell_started(OTHER, 100)
    first.engine_line("loading shard 1")
    second.sample(answer(1))
    clock.now += 3
    page = shown(progress)
    progress.close()
    assert page.count("3 s") == 2
    assert "loading shard 1" in page
    assert "1/100 samples" in page


def test_more_cells_than_the_terminal_has_lines_for_are_counted_and_all_stay_in_the_end():
    progress, _, _ = live(height=12)
    cells = [CELL.model_copy(update={"config": f"c{number}"}) for number in range(9)]
    progress.planned(cells)
    for cell in cells[:3]:
        progress.cell_started(cell, 10)
        progress.cell_finished(reports.passed().model_copy(update={"cell": cell}))
    progress.cell_started(cells[3], 10)
    page = shown(progress)
    assert str(cells[3]) in page
    assert "and 7 more: 2 pass, 5 waiting" in page
    progress.close()
    assert all(str(cell) in shown(progress) for cell in cells)


def test_ctrl_c_says_at_once_that_it_was_heard_and_then_what_is_kept():
    progress, console, _ = live()
    progress.cell_started(CELL, 10)
    progress.stopping()
    assert "interrupted: ending the engine" in console.file.getvalue()
    progress.interrupted([Kept(CELL, decided=False, samples=7, journal=Path("out/j.jsonl"))])
    assert f"{CELL}: 7 samples, in out/j.jsonl" in console.file.getvalue()
    progress.close()


def test_what_happens_outside_a_cell_is_ignored():
    progress, console, _ = live()
    progress.sample(answer(1))
    progress.engine_line("late")
    progress.engine_ready(1)
    progress.engine_lost("gone", 0)
    progress.probe_started(3)
    progress.look(LOOK)
    progress.close()
    assert console.file.getvalue() == ""


def test_a_cell_that_is_taken_from_its_record_says_so_beside_its_verdict():
    progress, _, _ = live()
    progress.cell_taken()  # of no cell
    progress.cell_started(CELL, 10)
    progress.cell_taken()
    progress.cell_finished(reports.regressed())
    said = " ".join(shown(progress).split())
    progress.close()
    assert "taken from the record of an earlier run: no engine is started for it" in said
