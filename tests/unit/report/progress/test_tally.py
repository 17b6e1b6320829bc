"""What is said of one cell's samples, and of what an interrupted run leaves."""

from pathlib import Path

from gate.report.progress.protocol import Kept
from gate.report.progress.tally import Tally, kept_words
from tests.support.progressing import CELL, OTHER, Clock, answer


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


def test_an_interruption_names_what_is_kept_of_each_cell_and_how_to_go_on():
    third = CELL.model_copy(update={"backend": "aiter"})
    said = list(
        kept_words(
            [
                Kept(CELL, decided=True, samples=900, journal=None),
                Kept(OTHER, decided=False, samples=1312, journal=Path("out/journals/x.jsonl")),
                Kept(third, decided=False, samples=0, journal=None),
            ]
        )
    )
    assert said == [
        "interrupted; what is kept:",
        f"  {CELL}: its verdict, in the report",
        f"  {OTHER}: 1,312 samples, in out/journals/x.jsonl",
        f"  {third}: nothing, no sample was complete",
        "Run the same command again to go on: what a journal holds is not asked again.",
        "It measures decided cells anew: to keep their verdicts, name the others and another --out.",
    ]


def test_where_nothing_was_answered_nothing_is_promised():
    said = list(kept_words([Kept(CELL, decided=False, samples=0, journal=None)]))
    assert said[-1] == "Run the same command again: nothing is lost but the time."


def test_a_decided_cell_whose_journal_stays_is_not_said_to_be_measured_anew():
    said = list(kept_words([Kept(CELL, decided=True, samples=9, journal=Path("x@abc.jsonl"))]))
    assert not any("anew" in line for line in said)
