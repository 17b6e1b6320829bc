"""A rerun of a commit: what was decided stands by its record, and what does not belong to it is measured."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gate.baseline import store
from tests.support.project import LOG, Finished, Project
from tests.support.several import Several
from tests.support.waiting import lines, until

GOOD, WORSE = ("--accuracy", "0.6"), ("--accuracy", "0.3")
COMMIT = ("--head-sha", "a" * 40)
NAME = "cpu__stub__default"
BASE_AS_STORED = ("--accuracy", "0.9")
Record = dict[str, Any]


@pytest.fixture
def project(tmp_path: Path, three_baselines: Path) -> Several:
    """A project with those."""
    return Several(tmp_path, three_baselines)


def record_of(project: Project) -> Path:
    return project.folder / f"out/records/{NAME}.json"


def journal_of(project: Project) -> Path:
    (journal,) = (project.folder / "out/journals").glob(f"{NAME}@*.jsonl")
    return journal


def logs_of(project: Project) -> list[str]:
    """Of engines that were started since this was asked last."""
    folder = project.folder / "out/logs"
    found = sorted(path.name.split("__")[1] for path in folder.glob("*.log"))
    shutil.rmtree(folder, ignore_errors=True)
    return found


def run(project: Project, *engine: str, more: tuple[str, ...] = ()) -> Finished:
    """`gate run` of the commit."""
    return project.gate(["run"], *COMMIT, *more, engine=project.engine(*engine))


def result(project: Project) -> dict[str, Any]:
    (cell,) = json.loads((project.folder / "out/report.json").read_text())["cells"]
    return cell


@pytest.mark.parametrize(("engine", "code"), [(GOOD, 0), (WORSE, 1)])
def test_what_was_decided_is_taken_from_its_record_and_the_reports_say_so(
    project: Several, engine: tuple[str, ...], code: int
) -> None:
    done = run(project, *engine)
    assert (done.code, result(project)["from_record"]) == (code, None), done.out + done.err
    assert "taken from" not in done.out + done.err
    first, kept = result(project), record_of(project).read_bytes()
    assert logs_of(project) == ["stub"]
    again = run(project, *engine)
    date = json.loads(kept)["provenance"]["date"]
    assert result(project) == first | {"from_record": date}
    assert (again.code, record_of(project).read_bytes() == kept, logs_of(project)) == (code, True, [])
    assert "taken from the record of an earlier run: no engine is started for it" in again.err
    said = f"measured by an earlier run of the same commit ({date}), decided again from its counts now"
    assert f"taken from its record: {said}" in again.out
    assert "**Taken from its record:**" in (project.folder / "out/report.md").read_text()
    assert f"taken from its record: {said}" in (project.folder / "out/report.junit.xml").read_text()
    assert project.check(record_of(project)).code == code


def changed(project: Project, **changes: Any) -> None:
    """Write something else into the record."""
    record = json.loads(record_of(project).read_text())
    record_of(project).write_text(json.dumps(record | changes))


def without_evidence(project: Project) -> None:
    changed(project, evidence={"facts": {}, "fallbacks": [], "source": "log"})


def of_another_sequence(project: Project) -> None:
    changed(project, sequence="0" * 64)


def one_answer_more(project: Project) -> None:
    """The first wrong answer is a right one."""
    first, *rest = json.loads(record_of(project).read_text())["outcomes"]
    assert "0" in first
    changed(project, outcomes=[first.replace("0", "1", 1), *rest])


def without_journal(project: Project) -> None:
    journal_of(project).unlink()


def begun_anew(project: Project) -> None:
    """A journal that was removed, and begun again by a run that was killed after its first sample."""
    header, first, *_ = journal_of(project).read_text().splitlines(keepends=True)
    journal_of(project).write_text(header + first)


@pytest.mark.parametrize(
    "spoil",
    [without_evidence, of_another_sequence, one_answer_more, without_journal, begun_anew],
)
def test_a_record_that_is_not_this_sequences_own_is_measured(
    project: Several, spoil: Callable[[Project], None]
) -> None:
    assert run(project, *GOOD).code == 0
    kept = json.loads(record_of(project).read_text())
    assert logs_of(project) == ["stub"]
    spoil(project)
    again = run(project, *GOOD)
    assert (again.code, logs_of(project)) == (0, ["stub"]), again.out + again.err
    found = json.loads(record_of(project).read_text())
    same = ("stream", "sequence", "outcomes", "tokens", "evidence", "failure")
    assert {name: found[name] for name in same} == {name: kept[name] for name in same}
    assert result(project)["from_record"] is None
    assert "taken from" not in again.out + again.err


def test_the_record_of_another_engine_with_the_same_answers_never_stands_for_this_one(
    project: Several, tmp_path: Path
) -> None:
    assert run(project, *GOOD).code == 0
    green = record_of(project).read_bytes()
    journal_of(project).unlink()
    other = tmp_path / "other.log"
    other.write_text(LOG.read_text().replace("EMULATION", "TRITON"))
    shutil.copy(LOG, tmp_path / "now.log")
    wrong = project.engine(*GOOD, log=tmp_path / "now.log")
    assert project.gate(["run"], *COMMIT, engine=wrong).code == 0
    # Its journal is whole and holds the same answers; its record got lost, and it runs other kernels now.
    record_of(project).write_bytes(green)
    shutil.copy(other, tmp_path / "now.log")
    done = project.gate(["run"], *COMMIT, engine=wrong)
    assert (done.code, result(project)["verdict"]) == (4, "not_measured"), done.out
    assert "moe" in result(project)["reason"]


def test_what_the_config_expects_now_is_held_against_what_ran_then(project: Several) -> None:
    assert run(project, *GOOD).code == 0
    logs_of(project)
    project.write_config(expect={"moe": "TRITON"})
    done = run(project, *GOOD)
    assert (done.code, logs_of(project)) == (4, ["stub"]), done.out
    assert "moe: expected TRITON, found EMULATION" in result(project)["reason"]


def test_another_baseline_is_another_sequence(project: Several) -> None:
    assert run(project, *GOOD).code == 0
    kept = record_of(project).read_bytes()
    before = store.load(project.baseline)
    (entry,) = before.history
    after = before.model_copy(update={"history": (entry.model_copy(update={"reason": "told better"}),)})
    store.save(project.baseline, after, replaces=before)
    logs_of(project)
    done = run(project, *GOOD)
    assert (done.code, "another sequence: baseline_sha256 differ" in done.err) == (4, True), done.err
    assert (record_of(project).read_bytes() == kept, logs_of(project)) == (True, [])


def test_records_that_stand_outlive_the_death_of_the_rerun(project: Several) -> None:
    third = "configs/third.yaml"
    at_second_start = f"--hangs-after 6 --once {project.folder / 'starts'} --faulty-start 2"
    text = (project.folder / third).read_text()
    (project.folder / third).write_text(f"{text}server_args: {at_second_start}\n")
    engine, more = project.engine(*GOOD), ("--concurrency", "4")
    first = project.gate(["run", *project.others], *COMMIT, *more, engine=engine)
    assert first.code == 0, first.out + first.err
    kept = {path.name: path.read_bytes() for path in project.files("records", "json")}
    assert logs_of(project) == ["second", "stub", "third"]
    (journal,) = (project.folder / "out/journals").glob("cpu__third__default@*.jsonl")
    journal.unlink()
    with project.start(*COMMIT, *more, engine=engine) as running:
        until(lambda: lines(journal) > 3, running)
        running.send_signal(signal.SIGKILL)
        running.communicate()
    assert logs_of(project) == ["third"]
    left = {path.name: path.read_bytes() for path in (project.folder / "out/records").iterdir()}
    assert left == {name: data for name, data in kept.items() if "third" not in name}
    last = project.gate(["run", *project.others], *COMMIT, *more, engine=engine)
    assert (last.code, logs_of(project)) == (0, ["third"]), last.out + last.err
    assert last.err.count("taken from the record") == last.out.count("taken from its record:") == 2


def test_a_confirmed_regression_stands_and_another_base_build_is_asked_alone(project: Several) -> None:
    base = project.engine(*BASE_AS_STORED)
    confirmed = ("--confirm-with", base)
    base_logs = project.folder / "out/confirmation/logs"
    assert run(project, *WORSE, more=confirmed).code == 1
    kept = record_of(project).read_bytes()
    shutil.rmtree(base_logs)
    assert logs_of(project) == ["stub"]
    assert run(project, *WORSE, more=confirmed).code == 1
    assert (record_of(project).read_bytes() == kept, logs_of(project), base_logs.exists()) == (
        True,
        [],
        False,
    )
    failed = json.loads(kept)["confirmation"] | {"outcomes": [], "failure": json_failure()}
    for spoiled in (None, failed, json.loads(kept)["confirmation"] | {"sequence": "0" * 64}):
        changed(project, confirmation=spoiled)
        done = run(project, *WORSE, more=confirmed)
        assert (done.code, logs_of(project), base_logs.exists()) == (1, [], True), done.out + done.err
        shutil.rmtree(base_logs)
        found, first = json.loads(record_of(project).read_text()), json.loads(kept)
        assert found["confirmation"]["outcomes"] == first["confirmation"]["outcomes"]
        assert {**found, "confirmation": None} == {**first, "confirmation": None}
        assert result(project)["from_record"] == first["provenance"]["date"]


def json_failure() -> dict[str, Any]:
    return {"kind": "cancelled", "message": "cancelled", "hint": None}


def test_a_pass_is_never_confirmed(project: Several) -> None:
    confirmed = ("--confirm-with", project.engine("--exit", "3"))
    for _ in range(2):
        assert run(project, *GOOD, more=confirmed).code == 0
        assert not (project.folder / "out/confirmation").exists()
    assert result(project)["from_record"]
