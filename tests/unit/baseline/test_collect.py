from __future__ import annotations

from typing import Any

import pytest

from gate.baseline.collect import add_run, run_of
from gate.errors import BaselineError
from gate.model.cell import Cell
from gate.model.record import Failure
from tests.support.measured import baseline, fingerprint, question_ids, run_record

ACCEPTED = {"accepted_by": "octocat", "reason": "first collection", "date": "2026-11-23"}


def record_of(*outcomes: str, **changes: Any) -> Any:
    total = len(outcomes[0])
    fields: dict[str, Any] = {
        "outcomes": outcomes,
        "tokens": tuple((10,) * total for _ in outcomes),
        "finish": tuple("".join("l" if c == "x" else "s" for c in row) for row in outcomes),
    }
    return run_record(1, total=total, repeats=len(outcomes), **(fields | changes))


def test_a_run_keeps_counts_per_question_and_no_single_answer() -> None:
    run = run_of(record_of("110", "1x0", "10x", "100"))
    assert (run.repeats, run.correct, run.invalid) == (4, (4, 1, 0), {1: 1, 2: 1})


def test_a_run_keeps_the_mean_tokens_of_a_question_rounded_half_up() -> None:
    run = run_of(record_of("110", "100", tokens=((10, 3, 7), (11, 3, 8))))
    assert run.tokens == (11, 3, 8)


def test_a_run_counts_finish_reasons_by_name() -> None:
    assert run_of(record_of("11", "10", finish=("sl", "st"))).finish == {"length": 1, "stop": 2, "timeout": 1}


def test_a_run_says_which_kernels_ran() -> None:
    assert run_of(record_of("11")).provenance["ran.moe"] == "AITER_MXFP4_FP8"


def test_the_id_of_a_run_is_a_hash_of_what_was_measured() -> None:
    first, again, other = run_of(record_of("110")), run_of(record_of("110")), run_of(record_of("111"))
    assert first.id == again.id
    assert first.id != other.id


def test_the_id_of_a_run_depends_on_the_fingerprint() -> None:
    colder = fingerprint(question_ids(3), temperature=0.5)
    assert run_of(record_of("110")).id != run_of(record_of("110", fingerprint=colder)).id


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"purpose": "gate"}, "a sequential test decided when it stopped"),
        ({"failure": Failure(kind="engine", message="died")}, "the run failed (engine): died"),
        ({"max_repeats": 3}, "2 of the 3 declared repeats"),
        ({"outcomes": ("110", "1.0")}, "declared samples missing: 1"),
        ({"finish": ("sss", "s.s")}, "declared samples missing: 1"),
        (
            {"fingerprint": fingerprint(question_ids(3), cell=Cell(arch="a", config="b", backend="c"))},
            "its fingerprint is of a/b/c",
        ),
        ({"fingerprint": fingerprint(question_ids(4))}, "do not hash"),
        ({"tokens": ((1, 1, 1), (1, -9, 1))}, "negative"),
    ],
)
def test_only_complete_runs_of_fixed_size_become_runs(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(BaselineError) as caught:
        run_of(record_of("110", "100", **changes))
    assert said in str(caught.value)


def test_a_run_without_questions_is_refused() -> None:
    with pytest.raises(BaselineError, match="asked no questions"):
        run_of(run_record(1, total=0))


def test_the_first_run_starts_the_baseline_and_its_history() -> None:
    record = run_record(1)
    grown = add_run(None, record, **ACCEPTED)
    assert grown.runs == (run_of(record),)
    assert [a.run for a in grown.history] == [grown.runs[0].id]
    assert (grown.fingerprint, grown.questions) == (record.fingerprint, record.questions)


def test_a_second_run_is_appended() -> None:
    one = add_run(None, run_record(1), **ACCEPTED)
    two = add_run(one, run_record(2), **ACCEPTED)
    assert two.runs[:1] == one.runs
    assert len(two.runs) == len(two.history) == 2


def test_a_run_with_another_fingerprint_is_refused_naming_the_fields() -> None:
    colder = fingerprint(question_ids(30), temperature=0.5, max_tokens=100)
    with pytest.raises(BaselineError) as caught:
        add_run(baseline(1), run_record(7, fingerprint=colder), **ACCEPTED)
    assert "temperature: 1.0 in the baseline, 0.5 here" in str(caught.value)
    assert "max_tokens: 4096 in the baseline, 100 here" in str(caught.value)


def test_a_run_with_the_stream_of_a_stored_run_is_refused() -> None:
    stored = baseline(1)
    with pytest.raises(BaselineError, match=r"the new run is refused: .*the same seeds give"):
        add_run(stored, run_record(7, stream=stored.runs[0].stream), **ACCEPTED)


def test_a_copy_under_another_stream_is_refused() -> None:
    with pytest.raises(BaselineError, match=r"the new run is refused: .*a copy is not a second"):
        add_run(baseline(1), run_record(0, stream="f" * 32), **ACCEPTED)


def test_a_run_that_measures_something_else_is_refused_with_the_p_value() -> None:
    with pytest.raises(BaselineError, match=r"p = .*, and they pool only above 0\.01"):
        add_run(baseline(1, repeats=8), run_record(7, repeats=8, accuracy=0.3), **ACCEPTED)


@pytest.mark.parametrize("field", ["accepted_by", "reason"])
def test_nobody_accepts_without_name_and_reason(field: str) -> None:
    with pytest.raises(BaselineError, match="who accepted it, and why"):
        add_run(None, run_record(1), **(ACCEPTED | {field: " "}))


def test_a_date_is_year_month_day() -> None:
    with pytest.raises(BaselineError, match="YYYY-MM-DD"):
        add_run(None, run_record(1), **(ACCEPTED | {"date": "23/11/2026"}))


def test_copies_of_greedy_answers_are_no_samples() -> None:
    greedy = fingerprint(question_ids(30), temperature=0.0)
    with pytest.raises(BaselineError, match="runs of 1 repeat, not 4"):
        run_of(run_record(1, fingerprint=greedy))
    assert run_of(run_record(1, repeats=1, fingerprint=greedy)).repeats == 1


def test_two_greedy_answers_of_one_run_are_a_copy_too() -> None:
    with pytest.raises(BaselineError, match="runs of 1 repeat, not 2"):
        run_of(run_record(1, repeats=2, fingerprint=fingerprint(question_ids(30), temperature=0.0)))
