"""Baselines out of the history of a real repository."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gate.baseline.anchor import pinned
from gate.baseline.collect import Terms, add_run
from gate.baseline.diff import differences, sides
from gate.baseline.diff import plain as plain_difference
from gate.baseline.diff import table as diff_table
from gate.baseline.history import Entry, entries, plain, table
from gate.baseline.past import baselines_at, versions
from gate.baseline.pool import NOT_POOLED
from gate.baseline.store import baseline_path, load, save
from gate.cli import app
from gate.errors import BaselineError, UsageError
from gate.fingerprint import git_in
from gate.model.baseline import Baseline
from gate.model.cell import Cell
from gate.report.plot import plot_history
from tests.support.checkout import commit, repository, run
from tests.support.measured import CELL, PROVENANCE, baseline, fingerprint, question_ids, run_record

TRITON = Cell(arch="gfx950", config="gpt-oss-20b", backend="triton")
OLD = baseline(2, repeats=8)
LOWER = add_run(
    OLD,
    run_record(7, repeats=8, accuracy=0.4),
    accepted_by="alice",
    reason="the new kernel rounds",
    date="2026-11-24",
    terms=Terms(new_epoch=True),
)
PINNED = pinned(LOWER, (), accepted_by="bob", reason="the new level", date="2026-11-25")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose store grew by a commit a day: two cells, a lowering, an anchor, a removal."""
    folder = tmp_path_factory.mktemp("repository")
    repository(folder, "code.py")
    store = folder / "deep/baselines"
    mark = fingerprint(question_ids(30), cell=TRITON)
    steps: list[tuple[Cell, Baseline | None]] = [
        (CELL, OLD),
        (TRITON, baseline(1, repeats=8, cell=TRITON, fingerprint=mark)),
        (CELL, LOWER),
        (CELL, PINNED),
        (TRITON, None),
    ]
    for day, (cell, content) in enumerate(steps, start=20):
        path = baseline_path(store, cell)
        if content is None:
            path.unlink()
        else:
            save(path, content, replaces=load(path) if path.exists() else None)
        commit(folder, author="committer", date=f"2026-11-{day}T12:00:00Z")
        run(folder, "tag", f"day-{day}")
    return folder


@pytest.fixture
def store(folder: Path) -> Path:
    return folder / "deep/baselines"


def history(store: Path, commits: str = "HEAD", *patterns: str) -> list[Entry]:
    return list(entries(versions(git_in(store), commits, patterns)))


def test_every_change_of_a_baseline_is_there_with_who_accepted_what_and_why(store: Path) -> None:
    found = history(store, "HEAD", "aiter")
    assert [[(a.act, a.accepted_by, a.reason) for a in entry.accepted] for entry in found] == [
        [("add", "octocat", f"run {n} of the first collection") for n in (0, 1)],
        [("epoch", "alice", "the new kernel rounds")],
        [("anchor", "bob", "the new level")],
    ]


def test_the_score_of_each_commit_is_that_of_its_pool(store: Path) -> None:
    first, second, third = history(store, "HEAD", "aiter")
    assert first.row is not None
    assert second.row is not None
    assert third.row is not None
    assert first.row.score == pytest.approx(sum(sum(r.correct) for r in OLD.runs) / 480)
    assert second.row.score == third.row.score == pytest.approx(sum(LOWER.runs[2].correct) / 240)
    assert second.row.anchor == pytest.approx(first.row.score)
    assert third.row.anchor is None


def test_a_removed_baseline_says_so(store: Path) -> None:
    assert [entry.problem for entry in history(store, "HEAD", "triton")] == [None, "removed"]


def test_a_range_shows_only_its_commits(store: Path) -> None:
    assert [entry.version.cell for entry in history(store, "day-21..day-23")] == [str(CELL)] * 2


def test_a_merge_is_one_step_of_the_branch(tmp_path: Path) -> None:
    repository(tmp_path, "code.py")
    path = baseline_path(tmp_path / "baselines", CELL)
    run(tmp_path, "checkout", "--quiet", "-b", "refresh")
    for content in (OLD, LOWER):
        save(path, content, replaces=load(path) if path.exists() else None)
        commit(tmp_path)
    run(tmp_path, "checkout", "--quiet", "main")
    run(tmp_path, "merge", "--quiet", "--no-ff", "-m", "merged", "refresh")
    (entry,) = history(tmp_path / "baselines")
    assert len(entry.accepted) == 3


def test_an_unreadable_version_costs_no_other_one(tmp_path: Path) -> None:
    repository(tmp_path, "code.py")
    path = baseline_path(tmp_path / "baselines", CELL)
    save(path, OLD, replaces=None)
    commit(tmp_path)
    whole = path.read_text()
    for text in (whole[:-200], whole, "x"):
        path.write_text(text)
        commit(tmp_path)
    problems = [entry.problem for entry in history(tmp_path / "baselines")]
    assert problems[0] is problems[2] is None
    assert "truncated" in str(problems[1])
    assert "is not JSON" in str(problems[3])


def test_a_huge_version_is_not_read(tmp_path: Path) -> None:
    repository(tmp_path, "code.py")
    path = baseline_path(tmp_path / "baselines", CELL)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(100_000_000)
    commit(tmp_path)
    (entry,) = history(tmp_path / "baselines")
    assert entry.problem == "100,000,000 bytes, but at most 16,000,000 are read"


def test_a_version_that_does_not_pool_says_so(tmp_path: Path) -> None:
    repository(tmp_path, "code.py")
    doubtful = run_record(1, provenance=PROVENANCE | {NOT_POOLED: "a try"})
    stored = add_run(None, doubtful, accepted_by="x", reason="y", date="2026-11-23")
    save(baseline_path(tmp_path / "baselines", CELL), stored, replaces=None)
    commit(tmp_path)
    (entry,) = history(tmp_path / "baselines")
    assert entry.problem == "none of its runs counts"


@pytest.mark.parametrize("commits", ["no-such-ref", "day-20..no-such-ref", "--output=/tmp/x"])
def test_what_names_no_commit_is_refused(store: Path, commits: str) -> None:
    with pytest.raises(UsageError, match="names no commit here"):
        history(store, commits)


def test_outside_a_repository_there_is_no_history(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no commit here"):
        history(tmp_path)


def test_the_table_has_a_row_for_every_acceptance(store: Path) -> None:
    rows = table(history(store))
    assert [row[6].split()[0] for row in rows[1:]] == ["add", "add", "add", "epoch", "anchor", "removed"]
    assert rows[4][:3] == (rows[4][0], run(store, "rev-parse", "day-22")[:12], str(CELL))
    assert rows[4][7:] == ("alice", "the new kernel rounds")


def test_an_entry_is_plain_json(store: Path) -> None:
    found = json.loads(json.dumps([plain(entry) for entry in history(store)]))
    assert found[0]["accepted"][0]["accepted_by"] == "octocat"
    assert found[-1]["problem"] == "removed"


def test_the_store_at_a_commit(store: Path) -> None:
    assert baselines_at(git_in(store), "day-20") == {str(CELL): OLD}
    assert set(baselines_at(git_in(store), "day-22")) == {str(CELL), str(TRITON)}
    assert set(baselines_at(git_in(store), "day-22", ("triton",))) == {str(TRITON)}


@pytest.mark.parametrize(
    "asked", [("day-20..day-23", None), ("day-20", "day-23"), ("day-20", None), ("day-20..", None)]
)
def test_two_states_of_the_store_differ_by_what_was_accepted_between(
    store: Path, asked: tuple[str, str | None]
) -> None:
    found = differences(*sides(*asked, store, git_in(store), ("aiter",)))
    (difference,) = found
    assert [line.accepted_by for line in difference.accepted] == ["alice", "bob"]
    assert difference.comparison is not None
    assert difference.comparison.difference == pytest.approx(
        sum(LOWER.runs[2].correct) / 240 - sum(sum(r.correct) for r in OLD.runs) / 480
    )


def test_a_cell_that_only_one_side_has_is_named(store: Path) -> None:
    (one,) = differences(*sides("day-20", "day-21", store, git_in(store), ()))
    assert (one.name, one.before, one.comparison) == (str(TRITON), None, None)
    rows = diff_table(differences(*sides("day-21", None, store, git_in(store), ())))
    assert [row[0] for row in rows[1:]] == [str(CELL), str(TRITON)]
    assert rows[2][1].endswith("-> -")


def test_two_files_of_two_backends_are_compared_and_say_what_differs(tmp_path: Path) -> None:
    mark = fingerprint(question_ids(30), cell=TRITON)
    other = add_run(
        None,
        run_record(9, repeats=8, cell=TRITON, fingerprint=mark),
        accepted_by="x",
        reason="y",
        date="2026-11-23",
    )
    one, two = baseline_path(tmp_path, CELL), baseline_path(tmp_path, TRITON)
    save(one, OLD, replaces=None)
    save(two, other, replaces=None)
    (difference,) = differences(*sides(str(one), str(two), tmp_path, git_in(tmp_path), ()))
    assert difference.name == f"{CELL} -> {TRITON}"
    assert set(difference.fingerprint) == {"cell"}
    assert difference.comparison is not None
    assert json.loads(json.dumps(plain_difference(difference)))["comparison"]["p_value"] > 0


def test_what_was_asked_otherwise_is_not_compared(tmp_path: Path) -> None:
    colder = run_record(9, repeats=8, fingerprint=fingerprint(question_ids(30), temperature=0.5))
    other = add_run(None, colder, accepted_by="x", reason="y", date="2026-11-23")
    (difference,) = differences({"cell": OLD}, {"cell": other})
    assert difference.comparison is None
    assert difference.fingerprint["temperature"] == ("1.0", "0.5")


def test_equal_baselines_do_not_differ() -> None:
    assert differences({"cell": OLD}, {"cell": OLD}) == ()


def test_a_file_and_a_ref_are_not_compared(store: Path) -> None:
    with pytest.raises(UsageError, match="is a file and the other side is none"):
        sides(str(baseline_path(store, CELL)), "HEAD", store, git_in(store), ())


def test_a_wrong_file_of_an_old_commit_is_named(tmp_path: Path) -> None:
    repository(tmp_path, "baselines/a/b/c.json")
    with pytest.raises(BaselineError, match=r"^[0-9a-f]{12}:a/b/c\.json:1: is not JSON"):
        baselines_at(git_in(tmp_path / "baselines"), "HEAD")


@pytest.mark.parametrize("name", ["history.svg", "history.png"])
def test_the_history_is_drawn_and_the_same_twice(store: Path, tmp_path: Path, name: str) -> None:
    plot_history(history(store), tmp_path / name)
    drawn = (tmp_path / name).read_bytes()
    plot_history(history(store), tmp_path / name)
    assert (tmp_path / name).read_bytes() == drawn
    if name.endswith(".png"):
        assert drawn.startswith(b"\x89PNG")
    else:
        text = "".join(ET.fromstring(drawn).itertext())  # noqa: S314 - just written
        assert str(CELL) in text
        assert str(TRITON) in text


def test_a_picture_needs_something_to_draw_and_a_known_file_type(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 cells to draw"):
        plot_history(history(store, "day-23..day-24"), tmp_path / "x.svg")
    with pytest.raises(UsageError, match="file type to draw"):
        plot_history(history(store), tmp_path / "x.pdf")
    (tmp_path / "taken").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        plot_history(history(store), tmp_path / "taken/x.svg")


def test_without_matplotlib_the_extra_is_named(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"vllm-eval-gate\[plot\]"):
        plot_history(history(store), tmp_path / "x.svg")


def test_the_commands_print_tables_or_json(store: Path, tmp_path: Path) -> None:
    here = ["--baselines", str(store)]
    told = CliRunner().invoke(
        app, ["baseline", "history", "--cell", "aiter", "--plot", str(tmp_path / "h.svg"), *here]
    )
    assert (told.exit_code, "the new kernel rounds" in told.output) == (0, True), told.output
    assert (tmp_path / "h.svg").exists()
    told = CliRunner().invoke(app, ["baseline", "history", "--json", *here])
    assert len(json.loads(told.output)) == 5
    told = CliRunner().invoke(app, ["baseline", "diff", "day-20..day-23", "--cell", "aiter", *here])
    assert (told.exit_code, "alice: the new kernel rounds" in told.output) == (0, True), told.output
    told = CliRunner().invoke(app, ["baseline", "diff", "day-20", "--json", *here])
    assert len(json.loads(told.output)) == 1
