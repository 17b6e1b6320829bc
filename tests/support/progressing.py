"""One cell as a progress display is told of it, on a clock of the test's own."""

from __future__ import annotations

from gate.model.sample import Finish, Outcome, Sample
from gate.report.progress import Progress
from tests.support import reports

START = 1_795_467_600.0  # 2026-11-23T21:00:00Z
CELL = reports.regressed().cell
OTHER = CELL.model_copy(update={"backend": "emulation"})
LOOK = reports.regressed().looks[3]


class Clock:
    """Seconds since 1970 that pass when the test says so."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def answer(number: int, outcome: Outcome = Outcome.CORRECT) -> Sample:
    """A graded sample."""
    return Sample(f"{number:012x}", 0, outcome, 20, Finish.STOP)


def a_run(progress: Progress, clock: Clock) -> None:
    """One cell: the engine starts for 40 s, a probe, 300 samples at 5 a second, one look, a verdict."""
    progress.planned([CELL, OTHER])
    progress.cell_started(CELL, 4158)
    for number in range(3):
        clock.now += 10
        progress.engine_line(f"(EngineCore pid=7) loading shard {number}\n")
    clock.now += 10
    progress.engine_ready(40.0)
    progress.probe_started(32)
    for number in range(300):
        clock.now += 0.2
        progress.sample(answer(number, (Outcome.CORRECT, Outcome.WRONG, Outcome.INVALID)[number % 3]))
    progress.engine_line("INFO: 127.0.0.1 - POST /v1/responses 200 OK")
    progress.look(LOOK)
    progress.cell_finished(reports.regressed())
    progress.close()
