from __future__ import annotations

import fcntl
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.errors import RecordError
from gate.model.canonical import canonical_json
from gate.model.cell import Cell
from gate.model.record import Failure, RunRecord
from gate.model.sample import Finish, Outcome, Sample
from gate.objects import Files
from gate.records import SIZE_LIMIT, matrices, parse, place_of, read, read_all, record_path, write
from tests.support.measured import CELL, fingerprint, question_ids, run_record

RECORD = run_record(1, total=5)
TEXT = canonical_json(RECORD.model_dump(mode="json", by_alias=True)) + "\n"


def sample(question: str, repeat: int, outcome: str = "1", tokens: int = 7, finish: str = "s") -> Sample:
    return Sample(question, repeat, Outcome(outcome), tokens, Finish(finish))


def refusal(**changes: Any) -> str:
    content = json.loads(TEXT) | changes
    with pytest.raises(RecordError) as caught:
        parse(json.dumps(content).encode(), where="x.json")
    return str(caught.value)


def of_cell(backend: str) -> RunRecord:
    cell = Cell(arch="gfx950", config="c", backend=backend)
    return run_record(1, cell=cell, fingerprint=fingerprint(question_ids(30), cell=cell))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = record_path(tmp_path, CELL)
    write(path, RECORD)
    assert path.name == "gfx950__gpt-oss-20b__aiter.json"
    assert path.read_text() == TEXT
    assert read(path) == RECORD


def test_a_failed_record_is_read_again(tmp_path: Path) -> None:
    failed = run_record(
        1,
        outcomes=(),
        tokens=(),
        finish=(),
        failure=Failure(kind="engine", message="died"),
        threshold=0.568,
        baseline_sha256="a" * 64,
    )
    write(tmp_path / "x.json", failed)
    assert read(tmp_path / "x.json") == failed


def test_a_record_with_a_part_not_asked_is_read_again() -> None:
    partly = run_record(
        1, total=5, outcomes=("10x..",), tokens=((3, 4, 5, 0, 0),), finish=("sst..",), look_at=(2, 3)
    )
    assert parse(canonical_json(partly.model_dump(mode="json", by_alias=True)).encode(), where="x") == partly


def test_a_record_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecordError, match=r"file/x\.json: cannot be written"):
        write(tmp_path / "file" / "x.json", RECORD)


def test_a_record_that_another_process_is_writing_is_left_to_it(tmp_path: Path) -> None:
    with (tmp_path / ".x.json.tmp").open("wb") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with pytest.raises(RecordError, match="another process is writing it"):
            write(tmp_path / "x.json", RECORD)


def test_a_missing_record_says_so(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"x\.json: cannot be read"):
        read(tmp_path / "x.json")


def test_a_huge_record_is_refused_by_its_size(tmp_path: Path) -> None:
    with (tmp_path / "x.json").open("wb") as file:
        file.truncate(SIZE_LIMIT + 1)
    with pytest.raises(RecordError, match="32,000,001 bytes"):
        read(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schema": "vllm-eval-gate/run-record/2"}, "x.json: schema: Input should be"),
        ({"verdict": "pass"}, "verdict: Extra inputs are not permitted"),
        ({"family_size": "1"}, "family_size: Input should be a valid integer"),
        ({"family_size": True}, "family_size: Input should be a valid integer"),
        ({"outcomes": ["1?0x1"] * 4}, "outcomes.0: String should match pattern"),
        ({"outcomes": ["1"] * 4}, "a repeat has 1 entries, but there are 5 questions"),
        ({"outcomes": ["10011"] * 3}, "outcomes, tokens and finish must have one entry a repeat"),
        ({"max_repeats": 3}, "4 repeats, but at most 3 were declared"),
        ({"questions": sorted(question_ids(5), reverse=True)}, "questions must be unique and ascending"),
        ({"questions": sorted([*question_ids(4), "f" * 12])}, "do not hash to fingerprint.questions_sha256"),
        ({"cell": {"arch": "a", "config": "b", "backend": "c"}}, "cell is a/b/c, but the fingerprint's is"),
        ({"look_at": [2, 2]}, "look_at must ascend"),
        ({"look_at": [0]}, "look_at must ascend"),
        ({"outcomes": ["....."] * 4}, "disagree in repeat 0, question 0"),
        ({"tokens": [[1, 1, 1, 1, 1], [1, 1, -1, 1, 1], [1] * 5, [1] * 5]}, "in repeat 1, question 2"),
        ({"seconds": float("nan")}, "NaN is not a JSON number"),
        ({"seconds": 1e999}, "Infinity is not a JSON number"),
        ({"cell": {"arch": "../x", "config": "b", "backend": "c"}}, "cell.arch: String should match pattern"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused_naming_the_field(
    changes: dict[str, Any], said: str
) -> None:
    assert said in refusal(**changes)


def test_an_error_never_repeats_what_a_hostile_record_says() -> None:
    said = refusal(**{"\x1b[31m::error::boo": 1, "family_size": "the text of a question"})
    assert "the text" not in said
    assert "??31m??" in refusal(**{"\x1b[31m::error::boo": 1})


def test_a_graded_sample_has_a_finish_reason() -> None:
    said = refusal(finish=["sss.s"] * 4, tokens=[[0] * 5] * 4)
    assert "disagree in repeat 0, question 3" in said


def test_not_asked_samples_have_no_tokens() -> None:
    said = refusal(outcomes=["1.011"] * 4, finish=["s.sss"] * 4, tokens=[[1, 9, 1, 1, 1]] * 4)
    assert "disagree in repeat 0, question 1" in said


def test_records_of_a_folder_come_ordered_by_name(tmp_path: Path) -> None:
    for backend in ("triton", "aiter"):
        write(record_path(tmp_path, of_cell(backend).cell), of_cell(backend))
    assert [r.cell.backend for r in read_all(tmp_path)] == ["aiter", "triton"]


def test_one_file_is_read_as_a_folder_of_one(tmp_path: Path) -> None:
    write(tmp_path / "x.json", RECORD)
    assert read_all(tmp_path / "x.json") == (RECORD,)


def test_two_records_of_one_cell_are_refused_naming_both(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        write(tmp_path / name, RECORD)
    with pytest.raises(RecordError, match=r"b\.json: is of the cell .*/aiter, and so is a\.json"):
        read_all(tmp_path)


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="holds no run records"):
        read_all(tmp_path)


def test_a_folder_of_very_many_files_is_refused(tmp_path: Path) -> None:
    for number in range(1001):
        (tmp_path / f"{number}.json").touch()
    with pytest.raises(RecordError, match="holds 1,001 files; at most 1,000 are read"):
        read_all(tmp_path)


class Passing(Files):
    """A store from which everything that is listed has gone."""

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        return {}


def test_a_stored_record_that_goes_while_it_is_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "records/a.json", RECORD)
    with pytest.raises(
        RecordError, match=r"file://.*/records/a\.json: was removed while the records were read"
    ):
        read_all(Passing(tmp_path))


def test_a_stored_record_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "records/a.json", RECORD)
    monkeypatch.setattr("gate.records.SIZE_LIMIT", 100)
    with pytest.raises(RecordError, match=r"file://.*/a\.json: [\d,]+ bytes, but at most 100 are read"):
        read_all(place_of(tmp_path.as_uri()))


def test_a_place_is_a_path_unless_it_is_a_url(tmp_path: Path) -> None:
    write(tmp_path / "records/a.json", RECORD)
    (tmp_path / "records/notes.txt").touch()
    assert place_of("out/records") == Path("out/records")
    assert read_all(place_of(tmp_path.as_uri())) == (RECORD,)


def test_samples_in_any_order_become_rows_by_repeat() -> None:
    samples = [sample("b", 1, "x", 9, "l"), sample("a", 0, "0", 3), sample("b", 0), sample("a", 1)]
    assert matrices(("a", "b"), samples) == (("01", "1x"), ((3, 7), (7, 9)), ("ss", "sl"))


def test_what_was_not_asked_is_a_dot_without_tokens() -> None:
    assert matrices(("a", "b"), [sample("b", 0)]) == ((".1",), ((0, 7),), (".s",))


def test_declared_repeats_are_there_even_when_empty() -> None:
    assert matrices(("a",), [sample("a", 0)], repeats=2) == (("1", "."), ((7,), (0,)), ("s", "."))


def test_no_samples_make_no_rows() -> None:
    assert matrices(("a", "b"), []) == ((), (), ())


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        ([sample("a", 0), sample("a", 0)], "question a, repeat 0: a sample is there twice"),
        ([sample("c", 0)], "question c, repeat 0: a sample was not asked for"),
        ([sample("a", 2)], "question a, repeat 2: a sample was not asked for"),
        ([sample("a", -1)], "question a, repeat -1: a sample was not asked for"),
    ],
)
def test_samples_that_do_not_belong_are_refused(samples: list[Sample], said: str) -> None:
    with pytest.raises(RecordError, match=said):
        matrices(("a", "b"), samples, repeats=2)


@given(st.permutations([(q, r) for q in "abc" for r in range(3)]), st.integers(0, 9))
def test_the_order_of_samples_does_not_matter(order: list[tuple[str, int]], asked: int) -> None:
    wanted = {("a", 0): "1", ("b", 0): "0", ("c", 1): "x"}
    samples = [sample(q, r, wanted.get((q, r), "0"), tokens=r) for q, r in order[:asked]]
    assert matrices("abc", samples, 3) == matrices("abc", sorted(samples), 3)


@given(at=st.integers(0, len(TEXT)), cut=st.integers(0, 40), put=st.binary(max_size=12))
def test_a_mutated_record_is_a_sound_record_or_refused(at: int, cut: int, put: bytes) -> None:
    data = TEXT.encode()[:at] + put + TEXT.encode()[at + cut :]
    try:
        found = parse(data, where="x.json")
    except RecordError:
        return
    again = canonical_json(found.model_dump(mode="json", by_alias=True)).encode()
    assert parse(again, where="x.json") == found
