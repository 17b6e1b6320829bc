"""`gate simulate`: the made-up world is what was asked for, and its gates are the production ones."""

from __future__ import annotations

import json

import pytest

from gate.cli import main
from gate.stats.scenarios import Change, Difficulty, Scenario
from gate.stats.sequential import Terms
from gate.stats.simulate import simulate

QUICK = ("--baseline-repeats", "8", "--margin", "0.05", "--replicates", "300")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["simulate", *arguments])
    assert end.value.code == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["simulate", *arguments])
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("difficulty", list(Difficulty))
@pytest.mark.parametrize("change", list(Change))
def test_every_change_and_difficulty_can_be_asked_for(
    change: Change, difficulty: Difficulty, capsys: pytest.CaptureFixture[str]
):
    drop = () if change in {Change.NONE, Change.CHANCE} else ("--drop", "0.02")
    arguments = ("--change", change, "--difficulty", difficulty, *drop, "--replicates", "2", "--json")
    asked = json.loads(printed(capsys, *QUICK, *arguments))["request"]["scenario"]
    assert (asked["change"], asked["difficulty"]) == (change, difficulty)


def test_the_gates_are_those_of_the_production_code(capsys: pytest.CaptureFixture[str]):
    said = json.loads(
        printed(capsys, *QUICK, "--change", "uniform", "--drop", "0.05", "--seed", "3", "--json")
    )
    terms = Terms(0.05, 0.0, 0.01, 0.05, said["max_repeats"])
    found = simulate(Scenario(change=Change.UNIFORM, drop=0.05), 8, terms, replicates=300, seed=3)
    assert (said["regression"], said["passed"]) == (found.failed, found.passed)
    assert said["samples"] == found.mean_samples
    assert said["regression"] + said["passed"] + said["inconclusive"] == pytest.approx(1)
    assert said["true_difference"] == pytest.approx(-0.05, abs=1e-6)
    assert said["request"]["scenario"]["drop"] == 0.05


def test_the_budget_is_that_of_the_margin_unless_given(capsys: pytest.CaptureFixture[str]):
    default = json.loads(printed(capsys, *QUICK, "--json"))
    given = json.loads(printed(capsys, *QUICK, "--max-repeats", "3", "--json"))
    assert (default["max_repeats"], given["max_repeats"]) == (11, 3)
    assert given["budget"] == 3 * 198


def test_more_cells_make_each_one_more_careful(capsys: pytest.CaptureFixture[str]):
    drop = ("--change", "uniform", "--drop", "0.04", "--max-repeats", "8", "--json")
    alone, many = (
        json.loads(printed(capsys, *QUICK, *drop, "--cells", str(cells)))["regression"] for cells in (1, 50)
    )
    assert many < alone - 0.1


def test_an_anchor_takes_its_part_of_alpha_and_adds_its_own_alarms(capsys: pytest.CaptureFixture[str]):
    drop = ("--change", "uniform", "--drop", "0.04", "--json")
    free = json.loads(printed(capsys, *QUICK, *drop))
    pinned = json.loads(printed(capsys, *QUICK, *drop, "--anchor-repeats", "128"))
    assert pinned["max_repeats"] > free["max_repeats"]
    assert pinned["regression"] > free["regression"]


def test_greedy_worlds_take_one_answer_a_question(capsys: pytest.CaptureFixture[str]):
    greedy = ("--greedy", "--flip-rate", "0.02", "--questions", "1319", "--accuracy", "0.9")
    said = json.loads(printed(capsys, *greedy, "--margin", "0.02", "--replicates", "200", "--json"))
    assert (said["max_repeats"], said["budget"], said["request"]["baseline_repeats"]) == (1, 1319, 1)
    assert said["passed"] > 0.95


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--greedy",), "give --flip-rate"),
        (("--greedy", "--flip-rate", "0.1", "--within", "0.1"), "and no W"),
        (("--flip-rate", "0.1"), "add --greedy"),
    ],
)
def test_a_flip_rate_belongs_to_greedy_answers(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
):
    assert words in refused(capsys, *arguments)


def test_people_get_shares_samples_and_what_was_run(capsys: pytest.CaptureFixture[str]):
    out = printed(capsys, *QUICK, "--change", "chance")
    assert [line.split()[0] for line in out.splitlines()[:4]] == [
        "of",
        "regression",
        "passed",
        "inconclusive",
    ]
    assert "100.00%" in out.splitlines()[1]
    assert "300 gates, seed 0" in out


@pytest.mark.parametrize("change", ["uniform", "truncation", "broken", "improvement"])
def test_a_change_without_a_size_asks_for_one(change: str, capsys: pytest.CaptureFixture[str]):
    assert "add --drop" in refused(capsys, *QUICK, "--change", change)


def test_a_size_without_a_change_asks_which(capsys: pytest.CaptureFixture[str]):
    assert "say which with --change" in refused(capsys, *QUICK, "--drop", "0.03")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--margin", "0.03"), "cannot be ruled out with this baseline"),
        (("--margin", "0"), "the margin is 0"),
        (("--margin", "1", "--max-repeats", "2"), "the margin is 1"),
        (("--alpha", "0"), "error level is 0"),
        (("--alpha", "1", "--max-repeats", "2"), "error level is 1"),
        (("--alpha-pass", "1.5", "--max-repeats", "2"), "error level is 1.5"),
        (("--tolerated-loss", "-0.1"), "tolerated loss is -0.1"),
        (("--within", "0.3", "--max-repeats", "2"), "W = 0.3"),
        (("--change", "uniform", "--drop", "0.9"), "not possible"),
        (("--questions", "0"), "questions"),
        (("--cells", "0"), "cells"),
        (("--replicates", "0"), "replicates"),
    ],
)
def test_worlds_and_gates_that_cannot_be_are_refused(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
):
    assert words in refused(capsys, *QUICK, *arguments)
