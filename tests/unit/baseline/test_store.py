from __future__ import annotations

import difflib
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from gate.baseline.check import run_id
from gate.baseline.store import SIZE_LIMIT, baseline_files, baseline_path, load, parse, render, save, sha256
from gate.errors import BaselineError
from gate.model.baseline import Baseline
from gate.model.canonical import canonical_json
from gate.model.cell import Cell
from tests.support.measured import CELL, baseline, fingerprint, question_ids

STORED = baseline(2, total=5)
TEXT = render(STORED)


def refusal(text: str | bytes) -> str:
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(BaselineError) as caught:
        parse(data, where="x.json")
    return str(caught.value)


def edited(**changes: Any) -> str:
    """The text of the baseline with the first run's fields replaced and its id made to fit again."""
    run = STORED.runs[0].model_copy(update=changes)
    run = run.model_copy(update={"id": run_id(STORED.fingerprint, run)})
    return render(STORED.model_copy(update={"runs": (run, *STORED.runs[1:])}))


def test_a_baseline_lies_at_arch_config_backend() -> None:
    assert baseline_path(Path("b"), CELL) == Path("b/gfx950/gpt-oss-20b/aiter.json")


def test_a_backend_with_dots_keeps_them_in_its_path() -> None:
    assert baseline_path(Path("b"), Cell(arch="a", config="c", backend="tp8.v1")).name == "tp8.v1.json"


def test_a_backend_cannot_take_the_place_of_another_one_s_probe() -> None:
    with pytest.raises(BaselineError, match=r"\.probe"):
        baseline_path(Path("b"), Cell(arch="a", config="c", backend="aiter.probe"))


def test_the_text_of_a_baseline(snapshot: SnapshotAssertion) -> None:
    assert snapshot == TEXT


def test_what_is_rendered_is_parsed_again() -> None:
    assert parse(TEXT.encode(), where="x.json") == STORED


def test_a_refresh_adds_one_line_for_the_run_and_one_for_its_acceptance() -> None:
    before, after = render(baseline(2)).splitlines(), render(baseline(3)).splitlines()
    changes = [line for line in difflib.ndiff(before, after) if line[0] in "+-"]
    assert [line[:3] for line in changes] == ["+ ,", "+ ,"]


def test_the_hash_of_a_baseline_is_that_of_its_bytes() -> None:
    assert sha256(STORED) == hashlib.sha256(TEXT.encode()).hexdigest()


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    path = baseline_path(tmp_path, CELL)
    save(path, STORED, replaces=None)
    assert load(path) == STORED
    assert path.read_bytes() == TEXT.encode()


def test_a_saved_baseline_replaces_the_one_it_was_made_from(tmp_path: Path) -> None:
    path = baseline_path(tmp_path, CELL)
    save(path, baseline(1), replaces=None)
    save(path, baseline(2), replaces=load(path))
    assert load(path) == baseline(2)
    assert [p.name for p in path.parent.iterdir()] == ["aiter.json"]


@pytest.mark.parametrize("replaces", [None, baseline(1)])
def test_a_file_that_somebody_else_wrote_meanwhile_is_left_alone(
    tmp_path: Path, replaces: Baseline | None
) -> None:
    path = baseline_path(tmp_path, CELL)
    save(path, baseline(2), replaces=None)
    with pytest.raises(BaselineError, match="it has changed since it was read"):
        save(path, baseline(3), replaces=replaces)
    assert load(path) == baseline(2)


def test_what_contradicts_itself_is_never_saved(tmp_path: Path) -> None:
    path = baseline_path(tmp_path, CELL)
    with pytest.raises(BaselineError, match="has no runs"):
        save(path, STORED.model_copy(update={"runs": ()}), replaces=None)
    assert not path.exists()


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "gfx950").touch()
    with pytest.raises(BaselineError, match=r"aiter\.json: cannot be written: (Not a directory|File exists)"):
        save(baseline_path(tmp_path, CELL), STORED, replaces=None)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match=r"aiter\.json: cannot be read: No such file"):
        load(baseline_path(tmp_path, CELL))


def test_a_file_under_another_cell_s_path_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gfx942" / "gpt-oss-20b" / "aiter.json"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    with pytest.raises(BaselineError, match="holds the baseline of gfx950/gpt-oss-20b/aiter"):
        load(path)


def test_a_huge_file_is_refused_by_its_size(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    with pytest.raises(BaselineError, match=f"100,000,000 bytes, but at most {SIZE_LIMIT:,} are read"):
        load(path)


def test_the_baselines_of_a_store_are_listed_without_probes_and_calibrations(tmp_path: Path) -> None:
    folder = tmp_path / "gfx950" / "config"
    folder.mkdir(parents=True)
    for name in (
        "b.json",
        "a.json",
        "a.probe.json",
        "a.calibration.json",
        ".a.json.tmp",
        ".c.json",
        "README.md",
    ):
        (folder / name).touch()
    assert [p.name for p in baseline_files(tmp_path)] == ["a.json", "b.json"]


def test_a_truncated_file_says_so_with_the_line() -> None:
    assert refusal(TEXT[: TEXT.index('"runs"') + 40]).startswith(
        "x.json:10: ends in the middle: it is truncated"
    )


def test_a_file_truncated_inside_a_string_says_so() -> None:
    assert "it is truncated" in refusal(TEXT[: TEXT.index("octocat") + 3])


def test_an_empty_file_is_truncated() -> None:
    assert "x.json:1: ends in the middle" in refusal("")


def test_a_merge_conflict_says_so_with_the_line() -> None:
    ours, theirs = render(baseline(2)).splitlines(), render(baseline(3)).splitlines()
    lines = [*ours[:3], "<<<<<<< HEAD", ours[3], "=======", theirs[3], ">>>>>>> refresh", *ours[4:]]
    assert refusal("\n".join(lines)).startswith("x.json:4: holds the markers of a merge conflict")


def test_crlf_says_so() -> None:
    said = refusal(TEXT.replace("\n", "\r\n"))
    assert said.startswith("x.json:1: has CRLF line ends")
    assert "eol=lf" in said


def test_unsorted_keys_are_a_hand_edit() -> None:
    lines = TEXT.splitlines(keepends=True)
    lines[1], lines[2] = lines[2], lines[1]
    assert refusal("".join(lines)).startswith("x.json:2: is not written as the gate writes it")


@pytest.mark.parametrize(
    "text",
    [
        TEXT + "\n",
        TEXT.rstrip("\n"),
        TEXT.replace('"top_k":0', '"top_k": 0'),
        TEXT.replace('"temperature":1.0', '"temperature":1'),
        json.dumps(json.loads(TEXT), indent=2, sort_keys=True),
    ],
    ids=["extra newline", "no last newline", "space", "1 for 1.0", "reformatted"],
)
def test_any_other_spelling_of_the_same_content_is_a_hand_edit(text: str) -> None:
    assert "it was edited by hand" in refusal(text)


def test_a_newer_schema_names_the_gate_that_wrote_it() -> None:
    text = TEXT.replace("baseline/1", "baseline/3")
    for version in ("0.10.2", "0.9.0"):
        text = text.replace('"gate_version":"0.1.0"', f'"gate_version":"{version}"', 1)
    said = refusal(text)
    assert "has the schema vllm-eval-gate/baseline/3" in said
    assert "install vllm-eval-gate >= 0.10.2" in said


@pytest.mark.parametrize(
    "runs", ["[]", "7", "[7]", '[{"provenance":7}]', '[{"provenance":{"gate_version":"x"}}]']
)
def test_a_newer_schema_that_names_no_gate_asks_for_a_newer_one(runs: str) -> None:
    assert "install a newer gate" in refusal(f'{{"schema":"vllm-eval-gate/baseline/12","runs":{runs}}}')


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{}",
        '{"schema":7}',
        '{"schema":"vllm-eval-gate/run-record/1"}',
        '{"schema":"vllm-eval-gate/baseline/0"}',
    ],
)
def test_something_else_is_not_a_baseline(text: str) -> None:
    assert "is not a baseline" in refusal(text)


def test_a_field_of_the_wrong_type_is_named() -> None:
    assert "runs.0.repeats: Input should be a valid integer" in refusal(
        TEXT.replace('"repeats":4', '"repeats":"many"', 1)
    )


def test_an_unknown_key_is_named() -> None:
    assert "threshold: Extra inputs are not permitted" in refusal(
        TEXT.replace('"schema"', '"threshold":1,\n"schema"')
    )


def test_a_key_given_twice_is_refused() -> None:
    assert "the key 'anchor' is given twice" in refusal(TEXT.replace("{\n", '{\n"anchor":null,\n', 1))


def test_an_edited_count_no_longer_fits_the_run_s_id() -> None:
    start = TEXT.index('"correct":[') + len('"correct":[')
    changed = "1" if TEXT[start] != "1" else "2"
    assert "runs[0]: its content does not hash to its id" in refusal(
        TEXT[:start] + changed + TEXT[start + 1 :]
    )


def test_an_edited_fingerprint_no_longer_fits_the_runs_ids() -> None:
    assert "does not hash to its id" in refusal(TEXT.replace('"max_tokens":4096', '"max_tokens":9999'))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"correct": (0, 1, 2, 3, 5)}, "correct[4] is not between 0 and the 4 repeats"),
        ({"correct": (0, 1, -2, 3, 4)}, "correct[2] is not between 0"),
        ({"correct": (0, 1, 2, 3)}, "correct has 4 entries, but there are 5 questions"),
        ({"tokens": (1, 2, 3, 4, 5, 6)}, "tokens has 6 entries, but there are 5 questions"),
        ({"tokens": (1, 2, 3, 4, -5)}, "tokens holds a number that is not between 0 and"),
        ({"invalid": {5: 1}}, "invalid names question 5, but there are 5 questions"),
        (
            {"correct": (4, 0, 0, 0, 0), "invalid": {0: 1}},
            "invalid[0] is not between 1 and the 0 not correct",
        ),
        ({"invalid": {0: 0}}, "invalid[0] is not between 1 and"),
        ({"finish": {"stop": 19}}, "finish does not count 5 x 4 samples"),
        ({"finish": {"stop": 21, "length": -1}}, "finish does not count"),
        ({"finish": {}}, "finish does not count"),
        ({"finish": {"tired": 20}}, "finish names 'tired'"),
        ({"repeats": 10**30}, "repeats is over"),
        ({"provenance": {"driver": "6" * 20_001}}, "its stream or provenance is longer than"),
        ({"stream": "f" * 101}, "its stream or provenance is longer than"),
        ({"stream": STORED.runs[1].stream}, "runs[1]: it has the stream of run"),
        (
            {"correct": STORED.runs[1].correct, "invalid": STORED.runs[1].invalid},
            "a copy is not a second sample",
        ),
    ],
)
def test_counts_that_cannot_be_are_refused_with_their_place(changes: dict[str, Any], said: str) -> None:
    assert said in refusal(edited(**changes))


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ((0, 1, 1, 3, 4), "is there twice"),
        ((1, 0, 2, 3, 4), "not ascending"),
        ((0, 1, 2, 3), "they do not hash to the fingerprint's questions_sha256"),
        ((), "has no questions"),
    ],
)
def test_questions_are_unique_ascending_and_those_of_the_fingerprint(
    order: tuple[int, ...], said: str
) -> None:
    questions = question_ids(5)
    chosen = tuple(questions[i] for i in order)
    assert said in refusal(render(STORED.model_copy(update={"questions": chosen})))


@pytest.mark.parametrize(
    "anchor", [("0" * 12,), (STORED.runs[1].id, STORED.runs[0].id), (STORED.runs[0].id,) * 2]
)
def test_an_anchor_names_runs_of_the_file_in_their_order(anchor: tuple[str, ...]) -> None:
    assert "anchor: does not name runs" in refusal(render(STORED.model_copy(update={"anchor": anchor})))


@pytest.mark.parametrize("epoch", ["0" * 12, STORED.runs[0].id])
def test_an_epoch_begins_with_a_run_behind_the_first(epoch: str) -> None:
    assert "epoch: names no run" in refusal(render(STORED.model_copy(update={"epoch": epoch})))


def test_what_neither_counts_nor_is_pinned_has_no_place() -> None:
    assert "neither counts nor is pinned" in refusal(
        render(STORED.model_copy(update={"epoch": STORED.runs[1].id}))
    )


def test_a_baseline_that_says_nothing_new_keeps_the_first_schema() -> None:
    pinned = STORED.model_copy(update={"anchor": (STORED.runs[0].id,)})
    for stored in (STORED, pinned):
        assert '"schema":"vllm-eval-gate/baseline/1"' in render(stored)
        assert parse(render(stored).encode(), where="x.json") == stored


def test_epochs_and_pinned_pools_take_the_second_schema_and_change_no_other_line() -> None:
    ids = tuple(run.id for run in STORED.runs)
    for changes in ({"anchor": ids}, {"epoch": ids[1], "anchor": ids[:1]}):
        stored = STORED.model_copy(update=changes)
        text = render(stored)
        assert parse(text.encode(), where="x.json") == stored
        changed = {
            line.split(":")[0][2:]
            for line in difflib.ndiff(TEXT.splitlines(), text.splitlines())
            if line[0] in "+-"
        }
        assert changed <= {'"anchor"', '"epoch"', '"schema"'}


def test_the_second_schema_where_the_first_would_do_is_a_hand_edit() -> None:
    text = TEXT.replace("baseline/1", "baseline/2").replace('"anchor":null', '"anchor":[]')
    assert "is not written as the gate writes it" in refusal(text)


def test_runs_of_another_cell_do_not_fit_into_this_one() -> None:
    moved = STORED.model_copy(
        update={"fingerprint": fingerprint(STORED.questions, cell=Cell(arch="sm90", config="x", backend="y"))}
    )
    assert "does not hash to its id" in refusal(render(moved))


@given(at=st.integers(0, len(TEXT)), cut=st.integers(0, 60), put=st.binary(max_size=12))
def test_a_mutated_baseline_loads_as_it_is_written_or_is_refused(at: int, cut: int, put: bytes) -> None:
    data = TEXT.encode()[:at] + put + TEXT.encode()[at + cut :]
    try:
        found = parse(data, where="x.json")
    except BaselineError:
        return
    assert render(found).encode() == data
    assert (found.fingerprint, found.questions) == (STORED.fingerprint, STORED.questions)
    assert all(run in STORED.runs for run in found.runs)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(field=st.sampled_from(sorted(STORED.runs[0].model_dump())), value=JSON_VALUES)
def test_a_run_with_any_other_value_in_a_field_is_refused(field: str, value: Any) -> None:
    run = json.loads(TEXT)["runs"][0]
    other = canonical_json(run | {field: value})
    assume(other != canonical_json(run))
    assert refusal(TEXT.replace(canonical_json(run), other))
