"""`gate power` and `gate boundaries`, as a command line asks for them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from gate.cli import main
from gate.errors import UsageError
from gate.planning import Numbers, design_of, parse_looks

REFERENCE = [
    *("--questions", "198", "--within", "0.124", "--accuracy", "0.58"),
    *("--baseline-repeats", "32", "--margin", "0.03"),
]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 0
    return capsys.readouterr().out


def test_boundaries_are_those_of_the_specification(capsys: pytest.CaptureFixture[str]):
    out = printed(
        capsys,
        *(
            "boundaries",
            "--baseline-repeats",
            "32",
            "--max-repeats",
            "16",
            "--looks",
            "1/3,2/3,1:16",
            "--json",
        ),
    )
    table = json.loads(out)
    assert [round(c, 3) for c in table["regression"][:6]] == [3.878, 3.710, 3.610, 3.286, 3.177, 3.096]
    assert [round(c, 3) for c in table["passed"][:6]] == [3.466, 3.273, 3.152, 2.789, 2.650, 2.545]
    assert (round(table["regression"][-1], 3), round(table["passed"][-1], 3)) == (2.672, 1.973)


def test_power_says_the_budget_of_the_specification(capsys: pytest.CaptureFixture[str]):
    assert json.loads(printed(capsys, "power", *REFERENCE, "--json"))["max_repeats"] == 21


def test_power_for_people_shows_a_row_a_drop_and_what_luck_does(capsys: pytest.CaptureFixture[str]):
    out = printed(capsys, "power", *REFERENCE)
    assert "budget: 21 repeats, 4,158 samples" in out
    assert [line.split()[0] for line in out.splitlines()[1:7]] == [
        "0.0%",
        "1.0%",
        "2.0%",
        "3.0%",
        "5.0%",
        "10.0%",
    ]
    assert "99% quantile" in out


def test_an_unprovable_margin_is_refused_with_what_would_do(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["power", *REFERENCE[:-3], "8", *REFERENCE[-2:]])
    assert end.value.code == 2
    assert "gate: " in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "a", "1/0", "1:b", "1,,2"])
def test_looks_that_are_none_are_named(text: str):
    with pytest.raises(UsageError, match="looks"):
        parse_looks(text, 4)


def test_a_range_without_an_end_goes_to_the_budget():
    assert parse_looks("1/2, 1:", 3) == (0.5, 1.0, 2.0, 3.0)


def test_a_file_or_numbers_but_not_both_and_not_neither(tmp_path: Path):
    for baseline, questions in ((None, None), (tmp_path / "b.json", 198)):
        with pytest.raises(UsageError):
            design_of(baseline, Numbers(questions), cells=1, alpha=0.01)


def test_a_stored_baseline_is_planned_from_its_counts(tmp_path: Path):
    from gate.baseline.store import baseline_path, save
    from tests.support.measured import CELL, baseline

    stored = baseline(1)
    path = baseline_path(tmp_path, CELL)
    save(path, stored, replaces=None)
    design, score = design_of(path, Numbers(), cells=3, alpha=0.01)
    run = stored.runs[0]
    assert (design.questions, design.cells) == (len(stored.questions), 3)
    assert design.baseline_repeats == sum(r.repeats for r in stored.runs)
    assert score == pytest.approx(
        sum(sum(r.correct) for r in stored.runs) / (design.baseline_repeats * len(run.correct))
    )


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(["power", *arguments])
    assert end.value.code == 2
    return capsys.readouterr().err


GREEDY = ("--greedy", "--questions", "1319", "--accuracy", "0.9", "--margin", "0.02")


def test_a_greedy_gate_is_planned_from_how_often_answers_flip(capsys: pytest.CaptureFixture[str]):
    table = json.loads(printed(capsys, "power", *GREEDY, "--flip-rate", "0.02", "--json"))
    assert (table["max_repeats"], table["samples"]) == (1, 1319)
    assert table["design"]["greedy"]
    assert table["design"]["within"] == 0.01
    by_drop = {row["drop"]: row for row in table["rows"]}
    assert by_drop[0.0]["regression"] < 0.02
    assert by_drop[0.02]["passed"] < 0.07
    assert by_drop[0.03]["regression"] > 0.95


def test_a_flip_rate_that_hides_the_margin_says_what_would_do(capsys: pytest.CaptureFixture[str]):
    said = refused(capsys, *GREEDY, "--flip-rate", "0.15")
    assert "15.0% of the answers flip" in said
    questions = said.split("ask ")[1].split()[0]
    enough = ("--greedy", "--questions", questions, "--accuracy", "0.9", "--margin", "0.02")
    assert json.loads(printed(capsys, "power", *enough, "--flip-rate", "0.15", "--json"))["max_repeats"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (GREEDY, "--questions --accuracy --flip-rate"),
        ((*GREEDY, "--within", "0.1"), "give --flip-rate instead"),
        ((*GREEDY[1:], "--flip-rate", "0.1"), "add --greedy"),
    ],
)
def test_a_flip_rate_belongs_to_greedy_answers(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
):
    assert words in refused(capsys, *arguments)


@pytest.fixture
def greedy_baseline(tmp_path: Path) -> Path:
    from gate.baseline.store import baseline_path, save
    from tests.support.measured import CELL, baseline, fingerprint, question_ids

    path = baseline_path(tmp_path, CELL)
    mark = fingerprint(question_ids(60), temperature=0.0)
    save(path, baseline(1, total=60, repeats=1, fingerprint=mark), replaces=None)
    return path


def test_a_stored_greedy_baseline_needs_to_know_how_often_answers_flip(greedy_baseline: Path):
    from gate.baseline.calibration import fingerprint_sha256, save_calibration
    from gate.baseline.store import load
    from tests.support.measured import calibration

    with pytest.raises(UsageError, match="one repeat shows no variance") as caught:
        design_of(greedy_baseline, Numbers(), cells=1, alpha=0.01)
    assert "gate calibrate" in str(caught.value)
    given, _ = design_of(greedy_baseline, Numbers(flip_rate=0.1), cells=1, alpha=0.01, greedy=True)
    assert (given.within, given.greedy, given.baseline_repeats) == (0.05, True, 1)
    mark = load(greedy_baseline).fingerprint
    found = calibration(flip_rate=0.04, fingerprint_sha256=fingerprint_sha256(mark))
    save_calibration(greedy_baseline, found)
    calibrated, _ = design_of(greedy_baseline, Numbers(), cells=1, alpha=0.01)
    assert calibrated.within == 0.02


def test_a_sampled_baseline_is_not_planned_as_a_greedy_one(tmp_path: Path):
    from gate.baseline.store import baseline_path, save
    from tests.support.measured import CELL, baseline

    path = baseline_path(tmp_path, CELL)
    save(path, baseline(1), replaces=None)
    for numbers, greedy in ((Numbers(), True), (Numbers(flip_rate=0.1), False)):
        with pytest.raises(UsageError, match="sampled at temperature 1"):
            design_of(path, numbers, cells=1, alpha=0.01, greedy=greedy)


def test_a_sampled_baseline_of_one_repeat_asks_for_a_second(tmp_path: Path):
    from gate.baseline.store import baseline_path, save
    from tests.support.measured import CELL, baseline

    path = baseline_path(tmp_path, CELL)
    save(path, baseline(1, repeats=1), replaces=None)
    with pytest.raises(UsageError, match="collect a second"):
        design_of(path, Numbers(), cells=1, alpha=0.01)


def test_a_plan_is_drawn_with_the_old_rule_beside_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    picture = tmp_path / "power.svg"
    printed(capsys, "power", *REFERENCE, "--plot", str(picture))
    drawn = picture.read_text()
    assert drawn.startswith("<?xml")
    for words in ("fails", "passes", "the old rule fails", "margin", "true drop in points", "198 questions"):
        assert f">{words}" in drawn
    before = picture.read_bytes()
    printed(capsys, "power", *REFERENCE, "--plot", str(picture))
    assert picture.read_bytes() == before


def test_a_picture_of_another_kind_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert "use .svg or .png" in refused(capsys, *REFERENCE, "--plot", str(tmp_path / "power.pdf"))


def test_without_the_plot_extra_the_command_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "vllm-eval-gate[plot]" in refused(capsys, *REFERENCE, "--plot", str(tmp_path / "power.svg"))


def test_baseline_percentiles_and_the_old_rule_are_in_table_and_json(
    capsys: pytest.CaptureFixture[str],
):
    table = json.loads(printed(capsys, "power", *REFERENCE, "--json"))
    assert set(table["false_alarms"]) == {"0.5", "0.9", "0.99"}
    assert table["false_alarms"]["0.5"] < table["false_alarms"]["0.9"] < table["false_alarms"]["0.99"]
    assert [row["drop"] for row in table["rows"]] == [0.0, 0.01, 0.02, 0.03, 0.05, 0.1]
    assert all({"regression", "passed", "samples", "old_rule"} <= row.keys() for row in table["rows"])
    assert table["design"]["baseline_repeats"] == 32
    shown = printed(capsys, "power", *REFERENCE)
    assert "old rule fails" in shown
    assert all(f"{quantile} quantile" in shown for quantile in ("50%", "90%", "99%"))


@pytest.mark.parametrize("every", ["1", "0"])
def test_an_all_right_or_all_wrong_baseline_is_told_that_nothing_varies(
    every: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from gate.baseline.collect import add_run
    from gate.baseline.store import baseline_path, save
    from tests.support.measured import CELL, run_record

    record = run_record(1, total=60, repeats=8)
    rows = tuple(every * 60 for _ in range(8))
    finish = tuple("s" * 60 for _ in range(8))
    path = baseline_path(tmp_path, CELL)
    stored = add_run(
        None,
        record.model_copy(update={"outcomes": rows, "finish": finish}),
        accepted_by="octocat",
        reason="first",
        date="2026-11-23",
    )
    save(path, stored, replaces=None)
    assert "nothing varies" in refused(capsys, str(path), "--margin", "0.2")
