"""What a run uploads is decided again; nothing in it is believed, shown as it is, or able to do harm."""

from __future__ import annotations

import copy
import json
import stat
import struct
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gate.github.artifact import ArtifactError, Caps, read_artifacts
from gate.github.redecide import Redecided, redecide
from gate.model.cell import Cell
from gate.model.evidence import Evidence
from gate.model.probe import Probe, ProbeFingerprint
from gate.model.record import CONFIRMATION_REPEATS, Confirmation, Failure, QuestionGroups, Restart, RunRecord
from gate.model.result import CellResult, Verdict
from gate.report.comment import Context, render
from tests.support import probes
from tests.support.base_branch import HEADS, QUESTIONS, BaseBranch, artifact, dumped, zipped

NOW = datetime(2026, 11, 24, tzinfo=UTC)


@pytest.fixture(scope="module")
def branch(tmp_path_factory: pytest.TempPathFactory) -> BaseBranch:
    return BaseBranch(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def good(branch: BaseBranch) -> list[dict[str, Any]]:
    """A record of each of the two cells, of a head that changed nothing."""
    return [dumped(branch.record(spec, seed=seed)) for seed, spec in enumerate(branch.specs)]


def decided(
    branch: BaseBranch, *artifacts: Path, pinned: bool = False, merged: bool = False, **changes: Any
) -> Redecided:
    return redecide(artifacts, branch.base(**changes), HEADS, now=NOW, pinned=pinned, merged=merged)


def of(found: Redecided, backend: str = "aiter") -> CellResult:
    (result,) = [result for result in found.report.cells if result.cell.backend == backend]
    return result


def comment(found: Redecided) -> str:
    context = Context(
        HEADS.head_sha,
        not_selected=found.not_selected,
        unknown=found.strangers,
        unreadable=found.unreadable,
    )
    return render(found.report, context).comment


def changed(record: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return copy.deepcopy(record) | changes


# What an honest run gets


def test_a_head_that_changed_nothing_passes(branch, good, tmp_path):
    found = decided(branch, artifact(tmp_path / "a.zip", *good))
    assert [result.verdict for result in found.report.cells] == [Verdict.PASS, Verdict.PASS]
    assert (found.report.commit, found.report.family_size, found.report.exit_code) == (HEADS.head_sha, 2, 0)
    assert not found.attested


def test_the_records_may_come_in_several_artifacts_or_unpacked(branch, good, tmp_path):
    first, second = (artifact(tmp_path / f"{n}.zip", record) for n, record in enumerate(good))
    folder = tmp_path / "unpacked"
    zipfile.ZipFile(second).extractall(folder)
    assert decided(branch, first, folder).report.verdict is Verdict.PASS


def test_a_worse_head_is_a_regression(branch, good, tmp_path):
    worse = branch.record(branch.specs[0], shift=-0.25)
    found = decided(branch, artifact(tmp_path / "a.zip", worse, good[1]))
    assert of(found).verdict is Verdict.REGRESSION
    assert of(found, "triton").verdict is Verdict.PASS


def test_a_cell_without_a_record_is_not_measured_and_never_absent(branch, good, tmp_path):
    found = decided(branch, artifact(tmp_path / "a.zip", good[0]))
    assert of(found, "triton").verdict is Verdict.NOT_MEASURED
    assert "no run record of this cell arrived" in of(found, "triton").reason
    assert found.report.exit_code == 4


def test_no_artifact_at_all_leaves_every_cell_not_measured(branch):
    assert {result.verdict for result in decided(branch).report.cells} == {Verdict.NOT_MEASURED}


def test_a_cell_that_the_event_does_not_select_is_listed_and_not_expected(branch, good, tmp_path):
    selective = BaseBranch(tmp_path / "selective")
    selective.write_config(when={"paths": ["csrc/**"]})
    found = decided(selective, artifact(tmp_path / "a.zip", *good))
    assert found.report.cells == ()
    assert [cell.backend for cell in found.not_selected] == ["aiter", "triton"]
    assert found.strangers == ()
    on_kernels = decided(selective, changed=("csrc/moe.cu",))
    assert len(on_kernels.report.cells) == 2


def test_a_baseline_that_the_head_took_away_is_still_the_one_that_counts(branch, good, tmp_path):
    without = changed(good[0], baseline_sha256=None, outcomes=[], tokens=[], finish=[], generated=0)
    found = decided(branch, artifact(tmp_path / "a.zip", without, good[1]))
    assert of(found).verdict is Verdict.NOT_MEASURED


def test_a_cell_that_is_new_in_the_pull_request_is_named_and_not_judged(branch, good, tmp_path):
    new = Cell(arch="gfx950", config="c", backend="new").model_dump()
    record = changed(good[0], cell=new, fingerprint=good[0]["fingerprint"] | {"cell": new})
    found = decided(branch, artifact(tmp_path / "a.zip", *good, record))
    assert found.strangers == (Cell(**new),)
    assert found.report.verdict is Verdict.PASS
    assert "**Not judged**, because the base branch does not define it" in comment(found)


def test_numbers_are_attested_where_the_gate_is_pinned_and_every_engine_was_in_a_container(
    branch, good, tmp_path
):
    assert decided(branch, artifact(tmp_path / "a.zip", *good), pinned=True).attested
    on_host = changed(good[0], provenance={"launcher": "process"})
    assert not decided(branch, artifact(tmp_path / "b.zip", on_host, good[1]), pinned=True).attested
    assert not decided(branch, pinned=True).attested


# What a forger gets


def refused(branch: BaseBranch, path: Path) -> str:
    """The reason that every cell shows; nothing of it was believed."""
    found = decided(branch, path)
    assert {result.verdict for result in found.report.cells} == {Verdict.NOT_MEASURED}
    (reason,) = {result.reason for result in found.report.cells}
    assert reason[1:] in comment(found).replace("&#42;", "*")
    return reason


def test_a_zip_bomb_is_refused_before_and_while_it_unpacks(branch, good, tmp_path):
    bomb = zipped(tmp_path / "bomb.zip", {named_of(good[0]): b"0" * 40_000_000})
    assert bomb.stat().st_size < 100_000
    assert "unpacks to more than is read" in refused(branch, bomb)
    many = zipped(tmp_path / "many.zip", {f"{n}.json": b"0" * 1_000_000 for n in range(20)})
    with pytest.raises(ArtifactError, match="unpacks to more"):
        read_artifacts([many], Caps(unpacked=10_000_000))
    twice = [zipped(tmp_path / f"{n}.zip", {f"{n}.json": b"0" * 6_000_000}) for n in range(2)]
    with pytest.raises(ArtifactError, match="unpacks to more"):
        read_artifacts(twice, Caps(unpacked=10_000_000))


def test_a_zip_that_understates_its_size_is_refused(branch, good, tmp_path):
    honest = zipped(tmp_path / "a.zip", {named_of(good[0]): b"0" * 1_000_000})
    lying = honest.read_bytes().replace(struct.pack("<L", 1_000_000), struct.pack("<L", 10))
    (tmp_path / "b.zip").write_bytes(lying)
    assert "not a zip file that can be read" in refused(branch, tmp_path / "b.zip")


@pytest.mark.parametrize(
    "name",
    ["../evil.json", "/etc/evil.json", "a/../../evil.json", "records/a.json", "..\\evil.json", ".json"],
)
def test_a_path_that_leads_elsewhere_is_refused_and_nothing_is_written(branch, tmp_path, name):
    before = set(tmp_path.rglob("*"))
    path = zipped(tmp_path / "a.zip", {name: b"{}"})
    assert "something else than run records" in refused(branch, path)
    assert set(tmp_path.rglob("*")) - before == {path}


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFIFO, stat.S_IFCHR])
def test_a_link_a_folder_or_a_device_is_refused(branch, tmp_path, mode):
    path = zipped(tmp_path / "a.zip", {"evil.json": b"/etc/passwd"}, mode=mode | 0o777)
    assert "holds a link, a folder or a device" in refused(branch, path)


def test_a_link_in_an_unpacked_folder_is_refused(branch, tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/evil.json").symlink_to("/etc/passwd")
    assert "holds a link, a folder or a device" in refused(branch, tmp_path / "a")


def test_a_hundred_thousand_files_are_refused_without_reading_them(branch, tmp_path):
    path = zipped(tmp_path / "a.zip", {f"{n}.json": b"" for n in range(100_000)})
    began = time.process_time()
    with pytest.raises(ArtifactError, match="more than 1,000 files"):
        read_artifacts([path])
    assert time.process_time() - began < 0.5
    assert "more than 1,000 files" in refused(branch, path)


def test_more_files_than_are_read_are_refused_in_a_folder_and_over_several_zips(branch, tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(3):
        (tmp_path / f"a/{number}.json").write_text("{}")
    with pytest.raises(ArtifactError, match="more than 2 files"):
        read_artifacts([tmp_path / "a"], Caps(files=2))
    zips = [zipped(tmp_path / f"{n}.zip", {f"{n}.json": b""}) for n in range(3)]
    with pytest.raises(ArtifactError, match="more than 2 files"):
        read_artifacts(zips, Caps(files=2))


def test_a_file_that_is_too_large_is_refused_unopened(branch, tmp_path):
    path = zipped(tmp_path / "a.zip", {"a.json": b"0"})
    with pytest.raises(ArtifactError, match="at most 10 are read"):
        read_artifacts([path], Caps(archive=10))


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", b"PK\x05\x06" + b"\0" * 4])
def test_what_is_no_zip_is_refused(branch, tmp_path, content):
    (tmp_path / "a.zip").write_bytes(content)
    assert "not a zip file that can be read" in refused(branch, tmp_path / "a.zip")


def test_a_missing_artifact_is_refused(branch, tmp_path):
    assert "cannot be read: No such file" in refused(branch, tmp_path / "a.zip")


def test_a_zip64_directory_is_refused(branch, tmp_path):
    content = zipped(tmp_path / "a.zip", {"a.json": b"{}"}).read_bytes()
    end = content.rindex(b"PK\x05\x06")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    (tmp_path / "a.zip").write_bytes(content[:end] + locator + content[end:])
    assert "more than 1,000 files" in refused(branch, tmp_path / "a.zip")


def test_an_encrypted_or_oddly_packed_file_is_refused(branch, tmp_path):
    content = bytearray(zipped(tmp_path / "a.zip", {"a.json": b"{}"}).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    assert "packed in a way that is not read" in refused(branch, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.json", "{}")
    assert "packed in a way that is not read" in refused(branch, tmp_path / "b.zip")


def test_damaged_content_is_refused(branch, good, tmp_path):
    content = bytearray(artifact(tmp_path / "a.zip", *good).read_bytes())
    for offset in range(200, 260):
        content[offset] ^= 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    assert "not a zip file that can be read" in refused(branch, tmp_path / "a.zip")


def test_the_same_name_twice_is_refused(branch, good, tmp_path):
    paths = [artifact(tmp_path / f"{n}.zip", good[0]) for n in range(2)]
    with pytest.raises(ArtifactError, match="two files of one name"):
        read_artifacts(paths)


def test_a_report_beside_the_records_is_refused_whatever_it_says(branch, good, tmp_path):
    claims = {named_of(record): json.dumps(record) for record in good}
    found = decided(branch, zipped(tmp_path / "a.zip", claims | {"report.md": "# Pass"}))
    assert found.report.verdict is Verdict.NOT_MEASURED
    ignored = decided(branch, zipped(tmp_path / "b.zip", claims | {"report.json": '{"verdict": "pass"}'}))
    assert ignored.unreadable == 1


def named_of(record: dict[str, Any]) -> str:
    return "__".join(record["cell"][part] for part in ("arch", "config", "backend")) + ".json"


def verdict_on(branch: BaseBranch, path: Path, good: list[dict[str, Any]], **changes: Any) -> CellResult:
    """The result of the first cell, whose record is good but for these changes."""
    result = of(decided(branch, artifact(path / "a.zip", changed(good[0], **changes), good[1])))
    assert result.verdict is not Verdict.PASS
    return result


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"schema": "vllm-eval-gate/run-record/2"}, "schema"),
        ({"verdict": "pass"}, "Extra inputs are not permitted"),
        ({"outcomes": "1111"}, "outcomes: Input should be a valid array"),
        ({"seconds": "61"}, "seconds"),
        ({"margin": 5}, "margin"),
        ({"max_repeats": 10**18}, "out of range"),
        ({"generated": 1}, "says that another number was generated"),
        ({"generated": 10**300}, "says that another number was generated"),
        ({"seconds": 1e300}, "out of range"),
        ({"family_size": 1}, "family_size 1, not 2"),
        ({"alpha": 0.4}, "alpha 0.4, not 0.01"),
        ({"margin": 0.9}, "margin 0.9, not 0.1"),
        ({"baseline_sha256": "0" * 64}, "baseline_sha256"),
        ({"purpose": "baseline"}, "is not a gate run"),
        ({"stream": "0" * 32}, "not asked in the order"),
        ({"stream": "0" * 32, "question_order_seed": "0" * 32}, "not those of this commit"),
        ({"evidence": {"facts": {}, "fallbacks": [], "source": "log"}}, "something else ran"),
        (
            {"evidence": {"facts": {"moe": "AITER_MXFP4_FP8"}, "fallbacks": ["<b>"], "source": "log"}},
            "fallback:withheld",
        ),
        ({"failure": {"kind": "engine", "message": "@maintainer"}}, "the engine failed; the log of the job"),
    ],
)
def test_a_record_that_is_wrong_measures_nothing_and_says_why(branch, good, tmp_path, changes, why):
    result = verdict_on(branch, tmp_path, good, **changes)
    assert result.verdict is Verdict.NOT_MEASURED
    assert why in result.reason
    assert "maintainer" not in result.reason


def test_more_repeats_than_were_declared_are_refused(branch, good, tmp_path):
    rows = {name: good[0][name] * 50 for name in ("outcomes", "tokens", "finish")}
    assert "repeats, but at most" in verdict_on(branch, tmp_path, good, **rows).reason


def test_a_record_that_goes_on_after_it_was_decided_is_refused(branch, good, tmp_path):
    rows = {name: [*good[0][name], good[0][name][0]] for name in ("outcomes", "tokens", "finish")}
    rows["outcomes"][-1] = "1" * 60
    rows["finish"][-1] = "s" * 60
    rows["tokens"][-1] = [1] * 60
    result = verdict_on(branch, tmp_path, good, generated=10_000, **rows)
    assert "after a boundary was crossed" in result.reason


def test_a_verdict_that_contradicts_its_counts_is_found_from_the_counts(branch, good, tmp_path):
    worse = dumped(branch.record(branch.specs[0], shift=-0.25))
    lying = artifact(tmp_path / "a.zip", worse | {"reason": "pass"}, good[1])
    assert of(decided(branch, lying)).verdict is Verdict.NOT_MEASURED
    assert of(decided(branch, artifact(tmp_path / "a.zip", worse, good[1]))).verdict is Verdict.REGRESSION


def confirmed(branch: BaseBranch, **changes: Any) -> RunRecord:
    """A record of a regression whose confirmation says that the base build gets nothing right either."""
    repeats = ("0" * QUESTIONS,) * CONFIRMATION_REPEATS
    record = branch.record(branch.specs[0], shift=-0.25)
    values = {"stream": "ab", "outcomes": repeats, "evidence": record.evidence, "provenance": {}} | changes
    return record.model_copy(update={"confirmation": Confirmation(seconds=60.0, **values)})


@pytest.mark.parametrize("forged", [{}, {"stream": "same as the record's"}])
def test_a_confirmation_that_nobody_attests_takes_no_regression_back(branch, good, tmp_path, forged):
    record = confirmed(branch)
    if forged:
        record = confirmed(branch, stream=record.stream)
    result = of(decided(branch, artifact(tmp_path / "a.zip", record, good[1])))
    assert result.verdict is Verdict.REGRESSION
    assert result.notes[0] == (
        "not confirmed by the base build (its repeats were reported by the contributor's own code); "
        "the drop stands as it was found"
    )
    counted = record.model_copy(update={"confirmation": None})
    alone = of(decided(branch, artifact(tmp_path / "b.zip", counted, good[1])))
    assert (alone.verdict, alone.reason) == (result.verdict, result.reason)


@pytest.mark.parametrize("trust", [{"pinned": True}, {"merged": True}])
def test_a_confirmation_counts_where_the_numbers_can_be_trusted(branch, good, tmp_path, trust):
    found = decided(branch, artifact(tmp_path / "a.zip", confirmed(branch), good[1]), **trust)
    assert of(found).verdict is Verdict.INCONCLUSIVE


def test_one_engine_on_the_host_and_no_confirmation_of_the_run_counts(branch, good, tmp_path):
    on_host = changed(good[1], provenance={"launcher": "process"})
    found = decided(branch, artifact(tmp_path / "a.zip", confirmed(branch), on_host), pinned=True)
    assert of(found).verdict is Verdict.REGRESSION


def test_another_question_list_is_incomparable(branch, good, tmp_path):
    from gate.model.canonical import sha256_of

    questions = sorted([*good[0]["questions"][1:], "0" * 12])
    mark = good[0]["fingerprint"] | {"questions_sha256": sha256_of(questions)}
    result = verdict_on(branch, tmp_path, good, questions=questions, fingerprint=mark)
    assert result.verdict is Verdict.INCOMPARABLE
    assert "1 of them not in the baseline" in result.fingerprint_differences["questions"][0]


def test_a_question_list_that_is_not_the_one_it_says_is_refused(branch, good, tmp_path):
    questions = sorted([*good[0]["questions"][1:], "0" * 12])
    result = verdict_on(branch, tmp_path, good, questions=questions)
    assert "contradicts itself" in result.reason


def test_a_record_in_another_cells_file_is_refused(branch, good, tmp_path):
    swapped = {named_of(good[0]): json.dumps(good[1]), named_of(good[1]): json.dumps(good[0])}
    found = decided(branch, zipped(tmp_path / "a.zip", swapped))
    assert {"named for another cell" in result.reason for result in found.report.cells} == {True}
    elsewhere = zipped(tmp_path / "b.zip", {"other.json": json.dumps(good[0])})
    assert "named for another cell" in of(decided(branch, elsewhere)).reason


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 10_000, '{"a": NaN}', "\ufeff{}", "\xff"])
def test_json_that_is_made_to_hurt_its_reader_is_refused(branch, good, tmp_path, text):
    found = decided(
        branch, zipped(tmp_path / "a.zip", {named_of(good[0]): text.encode("latin-1", "replace")})
    )
    assert "its run record was refused" in of(found).reason


def test_an_unreadable_file_is_counted(branch, good, tmp_path):
    found = decided(branch, zipped(tmp_path / "a.zip", {"x.json": "{}", "y.json": "<img>"}))
    assert found.unreadable == 2
    assert "**Not read:** 2 files of what the run uploaded hold no run record." in comment(found)


# What a string gets

HOSTILE = (
    "canary ![i](https://e.example/p) <img src=x> @maintainer #1 </details> `x` | \n# Pass ::error:: \u202e"
)


def strings(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every string in a JSON value, and of every key of a mapping that may have any key."""
    if isinstance(value, str):
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings(item, (*path, key))
        yield (*path, ANY_KEY)
    elif isinstance(value, list):
        for index, item in enumerate(value[:1]):
            yield from strings(item, (*path, index))


ANY_KEY = object()


def full(record: dict[str, Any]) -> dict[str, Any]:
    """The record with everything in it that it may hold beside a verdict."""
    confirmation = {
        "stream": "ab",
        "outcomes": [],
        "evidence": record["evidence"],
        "provenance": {"commit": "1"},
        "seconds": 1.0,
        "failure": {"kind": "engine", "message": "x"},
        "sequence": "5" * 64,
    }
    restarts = [{"samples": 3, "seconds": 1.5, "reason": "lost"}]
    probe = probes.probe().model_dump(mode="json")
    groups = {"names": ["Physics"], "of": "A" * len(record["questions"])}
    more = {"probe": probe, "groups": groups, "sequence": "4" * 64}
    return changed(record, restarts=restarts, anchor=["run-1"], confirmation=confirmation, **more)


def test_a_new_field_of_a_record_or_of_what_it_holds_is_thought_of_here():
    """Whoever adds one decides in `received.neutral` what becomes of its strings, and in `full` above."""
    inner = (Confirmation, Evidence, Failure, Probe, ProbeFingerprint, QuestionGroups, Restart)
    assert {model.__name__: set(model.model_fields) for model in inner} == {
        "Confirmation": {
            *("stream", "outcomes", "evidence", "provenance", "seconds", "failure", "sequence"),
        },
        "Evidence": {"facts", "fallbacks", "source"},
        "Failure": {"kind", "message", "hint"},
        "Probe": {"fingerprint", "prefill", "decode", "seconds"},
        "ProbeFingerprint": {
            *("cell", "model", "model_revision", "prompts", "prompts_sha256", "instruction_set")
        },
        "QuestionGroups": {"names", "of"},
        "Restart": {"samples", "seconds", "reason"},
    }
    numbers = {"family_size", "alpha", "alpha_pass", "margin", "tolerated_loss", "baseline_repeats"}
    numbers |= {"max_repeats", "look_at", "tokens", "generated", "seconds", "gpus", "threshold"}
    patterns = {"schema_", "purpose", "cell", "baseline_sha256", "questions", "outcomes", "finish"}
    patterns |= {"groups", "sequence"}
    texts = {"anchor", "question_order_seed", "stream", "fingerprint", "provenance", "evidence"}
    texts |= {"failure", "restarts", "confirmation", "probe"}
    assert set(RunRecord.model_fields) == numbers | patterns | texts


def poisoned(record: dict[str, Any], path: tuple[Any, ...], text: str) -> dict[str, Any]:
    """The record with this text at a path."""
    result = copy.deepcopy(record)
    place: Any = result
    for part in path[:-1]:
        place = place[part]
    place[text if path[-1] is ANY_KEY else path[-1]] = text
    return result


def harmless(text: str) -> bool:
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    marks = ("canary", "<img", "<a ", "@maintainer", "https://", "e.example", "\u202e")
    return not any(mark in html for mark in marks)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_string_of_a_record_reaches_the_comment(branch, good, tmp_path, data):
    base = full(good[0])
    if data.draw(st.booleans(), label="with a failure"):
        base["failure"] = {"kind": "engine", "message": "x"}
        base["evidence"] = base["evidence"] | {"fallbacks": ["emulation"]}
    path = data.draw(st.sampled_from(sorted(strings(base), key=str)))
    text = data.draw(st.text(max_size=20)) + HOSTILE
    record = poisoned(base, path, text)
    name = named_of(good[0])
    found = decided(
        branch, zipped(tmp_path / "a.zip", {name: json.dumps(record), named_of(good[1]): json.dumps(good[1])})
    )
    assert harmless(comment(found))
    assert of(found, "triton").verdict is Verdict.PASS


def test_every_string_of_a_record_is_tried_once(branch, good, tmp_path):
    """The same without chance: each place, one after the other."""
    record = full(good[0])
    for path in strings(record):
        poisonous = poisoned(record, path, HOSTILE)
        found = decided(branch, zipped(tmp_path / "a.zip", {named_of(good[0]): json.dumps(poisonous)}))
        assert harmless(comment(found)), path


def test_what_a_record_says_of_its_origin_is_dropped_where_it_could_say_something(branch, good, tmp_path):
    for said, kept in (("v0.20.1", ("v0.20.1",)), ("v0.20.1 <b>", ())):
        record = changed(good[0], provenance={"declared": said})
        assert of(decided(branch, artifact(tmp_path / "a.zip", record, good[1]))).declared == kept


def test_a_strangers_name_that_could_say_something_is_withheld(branch, good, tmp_path):
    long = Cell(arch="gfx950", config="c" * 100, backend="b").model_dump()
    record = changed(good[0], cell=long, fingerprint=good[0]["fingerprint"] | {"cell": long})
    found = decided(branch, artifact(tmp_path / "a.zip", *good, record))
    assert found.strangers == (Cell(arch="gfx950", config="withheld", backend="b"),)


def test_a_setting_that_had_no_effect_is_still_found_out(tmp_path):
    branch = BaseBranch(tmp_path / "base")
    branch.write_config(env={"VLLM_ROCM_USE_AITER": "1"})
    facts = {"moe": "AITER_MXFP4_FP8", "ignored_environment": "OTHER|VLLM_ROCM_USE_AITER"}
    record = dumped(branch.record(branch.specs[0]))
    record["evidence"] = {"facts": facts, "fallbacks": [], "source": "log"}
    found = decided(branch, artifact(tmp_path / "a.zip", record))
    assert "environment:VLLM_ROCM_USE_AITER" in of(found).reason
