"""The report on a terminal: a table where there is room, lines where there is not."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from gate.model.result import CellResult, GateReport, Verdict
from gate.report import words
from gate.report.escape import printable

_ROOM_FOR_A_TABLE = 110


def print_report(report: GateReport, console: Console) -> None:
    """Print the report; colours and boxes only on a terminal (rich itself honours NO_COLOR).

    What is not a terminal gets one long line a cell, which `grep` finds by verdict or by cell.
    """
    if console.is_terminal and console.width >= _ROOM_FOR_A_TABLE:
        _print(console, _table(report))
        for cell in report.cells:
            if cell.verdict is not Verdict.PASS:
                _print_cell(console, cell, _title(cell))
    else:
        for cell in report.cells:
            line = "  ".join([_title(cell), *_figures(cell)])
            _print_cell(console, cell, line)
    face = words.face(words.worst(report))
    counts = f"; {words.counted(report.cells)}" if len(report.cells) > 1 else ""
    _print(console, Text(f"{words.headline(report)}{counts} (exit {report.exit_code})", style=face.style))


def _table(report: GateReport) -> Table:
    several = len({cell.cell.arch for cell in report.cells}) > 1
    columns = ["Verdict", "Config", "Backend", *(["Arch"] if several else [])]
    columns += ["Score (baseline)", "Points gained or lost (95 %)", "Samples", "Kernels that ran"]
    table = Table(*(Column(name, overflow="fold") for name in columns))
    for cell in report.cells:
        face = words.face(cell.verdict)
        arch = [cell.cell.arch] if several else []
        row = [cell.cell.config, cell.cell.backend, *arch, words.scores(cell), words.change(cell)]
        kernels = "\n".join(printable(f"{fact} {value}") for fact, value in words.kernels(cell))
        table.add_row(
            Text(face.word, style=face.style), *map(Text, [*row, words.samples(cell), kernels or "not known"])
        )
    return table


def _print_cell(console: Console, cell: CellResult, title: str) -> None:
    face = words.face(cell.verdict)
    _print(console, Text(title, style=face.style if cell.verdict is not Verdict.PASS else ""))
    for name, text in _lines(cell):
        _print(console, Text(f"{name}: {printable(text, 1000)}"), indent=2)


def _title(cell: CellResult) -> str:
    return f"{words.face(cell.verdict).word}: {cell.cell}"


def _figures(cell: CellResult) -> Iterator[str]:
    if cell.score is not None:
        yield f"score {words.scores(cell)}"
    if cell.difference is not None:
        known = cell.interval is not None
        difference = f"{words.change(cell)} points" if known else words.points(cell.difference, signed=True)
        yield f"difference {difference}"
    if cell.samples_budget:
        yield f"samples {words.samples(cell)}"
    if kernels := _kernels(cell):
        yield f"kernels {printable(kernels)}"


def _lines(cell: CellResult) -> Iterator[tuple[str, str]]:
    """What a cell's verdict rests on; for a pass only what must not be missed."""
    yield "why", words.reason(cell)
    always = (
        ("not proven", words.unproven(cell)),
        ("taken from its record", words.from_record(cell)),
        ("restarted", words.restarted(cell) if cell.restarts else ""),
        ("anchor", words.against_anchor(cell)),
        ("numerics", words.numerics(cell)),
    )
    yield from ((name, text) for name, text in always if text)
    if cell.verdict is Verdict.PASS:
        return
    if cell.p_value is not None:
        yield "how sure", words.certainty(cell.p_value)
    if words.measured_false_alarms(cell):
        yield "measured false-alarm rate", words.measured_false_alarms(cell)
    if words.old_rule(cell):
        yield "old rule", words.old_rule(cell)
    for check in cell.evidence_checks:
        if not check.ok:
            yield "evidence", f"{check.fact}: expected {check.expected}, found {check.found or 'nothing'}"
    for field, (here, baseline) in cell.fingerprint_differences.items():
        yield "differs", f"{field}: {here} here, {baseline} in the baseline"
    for note in cell.notes:
        yield "note", note
    if cell.verdict in words.FAILURES:
        yield "reproduce", words.reproduce(cell)
    yield "next", words.next_step(cell)


def _kernels(cell: CellResult) -> str:
    return ", ".join(f"{fact}={value}" for fact, value in words.kernels(cell))


def _print(console: Console, what: Table | Text, indent: int = 0) -> None:
    """Print without markup; a terminal wraps, a file gets whole lines of what its encoding can hold."""
    if isinstance(what, Table):
        console.print(what)
        return
    encoding = console.encoding
    text = Text(what.plain.encode(encoding, "replace").decode(encoding), style=what.style)
    if console.is_terminal:
        console.print(Padding(text, (0, 0, 0, indent), expand=False), highlight=False)
    else:
        console.print(Text(" " * indent) + text, soft_wrap=True, highlight=False)
