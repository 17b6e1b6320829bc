"""`gate run` at a terminal: a real process on a pseudo-terminal, with the stub engine."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from gate import records
from gate.baseline import store
from gate.baseline.collect import add_run
from gate.model.cell import Cell
from tests.support.project import STORED, Project, environment, finished
from tests.support.terminal import CTRL_C, Terminal
from tests.support.waiting import lines

GOOD = ("--accuracy", "0.6")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])[0-9;]*m")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project of two cells, the second never measured by these tests alone."""
    made = Project(tmp_path_factory.mktemp("terminal"))
    (made.folder / "configs/second.yaml").write_text(made.config.read_text())
    made.write_config()
    done = made.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    record = records.read(made.folder / "out/run-1/records/cpu__stub__default.json")
    cell = Cell(arch="cpu", config="second", backend="default")
    same = record.model_copy(
        update={"cell": cell, "fingerprint": record.fingerprint.model_copy(update={"cell": cell})}
    )
    second = add_run(None, same, accepted_by="tester", reason="first", date="2026-11-24")
    store.save(store.baseline_path(made.folder / "baselines", cell), second, replaces=None)
    return made


def command(project: Project, out: Path, *options: str, engine: Sequence[str] = GOOD) -> list[str]:
    """`gate run` of both cells into a folder of its own."""
    words = project.arguments("run", "configs/second.yaml", engine=project.engine(*engine))
    return [*words, "--out", str(out), *options]


def environ(**more: str) -> dict[str, str]:
    """An environment in which nobody has said anything about colour or width."""
    return {k: v for k, v in environment().items() if k not in ("NO_COLOR", "COLUMNS")} | more


def test_a_terminal_shows_each_cell_from_the_engines_start_to_its_verdict(project: Project, tmp_path: Path):
    with Terminal(command(project, tmp_path), project.folder, environ()) as terminal:
        terminal.read_until("What happens")
        code = terminal.wait()
    drawn = terminal.text
    assert code == 0, drawn
    for said in (
        r"cpu/stub/default\s+waits",  # while the first is measured
        r"cpu/second/default\s+\d+ s\s+(the engine starts|listening on \d+)",  # its log's last line
        r"\d+/[\d,]+ samples, [\d.]+/s, at most .* left, score so far",
        r"look at \d+ samples: difference .*; to fail: .*; to pass: ",
        r"cpu/second/default\s+\d+ s\s+pass: ",
        r"cpu/stub/default\s+\d+ s\s+pass: ",
    ):
        assert re.search(said, drawn), said
    assert COLOUR.search(terminal.raw)
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l")
    # The table stays, whole, and the report comes below it.
    assert drawn.rindex("What happens") < drawn.rindex("Kernels that ran")


def test_ctrl_c_says_what_was_kept_and_the_same_command_goes_on_from_there_without_colour(
    project: Project, tmp_path: Path
):
    journal = tmp_path / "journals/cpu__second__default.jsonl"
    engine = (*GOOD, "--hangs-after", "20", "--until", str(project.go_on))
    stays = command(project, tmp_path, "--concurrency", "4", engine=engine)
    with Terminal(stays, project.folder, environ()) as terminal:
        while lines(journal) < 10:
            terminal.read_until("What happens")
        family = psutil.Process(terminal.process.pid).children(recursive=True)
        terminal.type(CTRL_C)
        code = terminal.wait()
    assert code == 4
    assert not [process for process in family if process.is_running()]
    kept = journal.read_text().count("\n") - 1  # below its key
    said = terminal.text
    heard = said.index("interrupted: ending the engine; every answer so far is kept")
    assert said.index("interrupted; what is kept:") > heard
    assert f"cpu/second/default: {kept} samples, in {journal}" in said.replace("\n", "")
    assert "cpu/stub/default: nothing, no sample was complete" in said
    assert "Run the same command again to go on" in said
    project.go_on.touch()
    with Terminal(stays, project.folder, environ(NO_COLOR="1")) as again:
        assert again.wait() == 0, again.text
    assert "\x1b[?25l" in again.raw  # redrawn in place, but
    assert not COLOUR.search(again.raw)
    record = json.loads((tmp_path / "records/cpu__second__default.json").read_text())
    assert record["generated"] >= kept
    assert not journal.exists()


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_quiet_and_json_draw_no_table_and_leave_the_result(project: Project, tmp_path: Path, option: str):
    with Terminal(command(project, tmp_path, option), project.folder, environ()) as terminal:
        assert terminal.wait() == 0
    assert "What happens" not in terminal.text
    assert "Kernels that ran" in terminal.text if option == "--quiet" else json.loads(terminal.text)["cells"]


def test_in_actions_each_cell_is_a_group_of_its_own_and_every_line_has_its_time(
    project: Project, tmp_path: Path
):
    evil = project.folder / "evil.log"
    evil.write_text(
        (Path(__file__).parents[1] / "logs/stand-in.log").read_text() + "::error::gotcha\n##[error]gotcha\n"
    )
    words = project.arguments("run", "configs/second.yaml", engine=project.engine(*GOOD, log=evil))
    run = [*words, "--out", str(tmp_path)]
    with Terminal(run, project.folder, environ(GITHUB_ACTIONS="true", CI="true")) as terminal:
        assert terminal.wait() == 0, terminal.text
    progress = terminal.text.split("::endgroup::\n")
    assert len(progress) == 3
    lines = [line for line in terminal.text.splitlines() if "gotcha" in line]
    assert lines
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ engine \| ", line) for line in lines)
    assert "##[" not in terminal.text
    assert [line for line in terminal.text.splitlines() if line.startswith("::")] == [
        "::group::cpu/second/default",
        "::endgroup::",
        "::group::cpu/stub/default",
        "::endgroup::",
    ]
    assert re.match(r"\S+Z cpu/second/default pass: ", progress[1])


def test_a_log_that_is_no_terminal_has_lines_that_grep_finds(project: Project, tmp_path: Path):
    done = finished(command(project, tmp_path), project.folder)
    assert done.code == 0
    found = [line for line in done.err.splitlines() if re.search(r"Z cpu/stub/default pass: ", line)]
    assert len(found) == 1
    assert "\x1b" not in done.err + done.out
    assert sys.executable not in done.err
