from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from gate.baseline.collect import add_run
from gate.baseline.pool import NOT_POOLED
from gate.baseline.show import row_of, rows, show_command, table
from gate.baseline.store import baseline_path, save
from gate.baseline.verify import verify, verify_command
from gate.errors import BaselineError, Exit
from gate.fingerprint import git_in
from gate.model.cell import Cell
from tests.support.checkout import commit, repository, run
from tests.support.measured import CELL, PROVENANCE, baseline, fingerprint, question_ids, run_record

OTHER = Cell(arch="gfx942", config="gpt-oss-20b", backend="emulation")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    save(baseline_path(tmp_path, CELL), baseline(2), replaces=None)
    mark = fingerprint(question_ids(30), cell=OTHER)
    save(baseline_path(tmp_path, OTHER), baseline(1, repeats=1, cell=OTHER, fingerprint=mark), replaces=None)
    return tmp_path


def NO_GIT(arguments: Sequence[str]) -> None:
    """A store that no repository holds."""


def printed(command: object, *arguments: object, as_json: bool = False) -> tuple[Exit, str]:
    lines: list[str] = []
    done = command(*arguments, as_json=as_json, write=lines.append)  # type: ignore[operator]
    return done, "\n".join(lines)


def test_a_row_says_how_sure_the_score_is() -> None:
    stored = baseline(2)
    row = row_of(stored)
    k = [sum(pair) for pair in zip(*(run.correct for run in stored.runs), strict=True)]
    within = sum(c * (8 - c) for c in k) / 30 / 56
    assert row.score == pytest.approx(sum(k) / 240)
    assert row.within == pytest.approx(within)
    assert row.half_width == pytest.approx(1.96 * math.sqrt(within / 240), rel=1e-4)


def test_one_repeat_has_no_variance_to_show() -> None:
    row = row_of(baseline(1, repeats=1))
    assert (row.within, row.half_width) == (None, None)


def test_the_table_of_a_store(store: Path, snapshot: SnapshotAssertion) -> None:
    assert table(rows(store)) == snapshot


def test_show_prints_the_table(store: Path) -> None:
    assert printed(show_command, store, "*") == (Exit.PASS, table(rows(store)))


def test_show_as_json_has_every_row(store: Path) -> None:
    done, text = printed(show_command, store, "*", as_json=True)
    assert done is Exit.PASS
    assert [row["cell"] for row in json.loads(text)] == [str(OTHER), str(CELL)]


def test_a_cell_of_which_nothing_counts_is_shown_below_with_the_reason(store: Path) -> None:
    cell = Cell(arch="gfx950", config="gpt-oss-20b", backend="triton")
    record = run_record(
        1,
        cell=cell,
        fingerprint=fingerprint(question_ids(30), cell=cell),
        provenance=PROVENANCE | {NOT_POOLED: "a try"},
    )
    doubtful = add_run(None, record, accepted_by="x", reason="y", date="2026-11-23")
    save(baseline_path(store, cell), doubtful, replaces=None)
    _, text = printed(show_command, store, "*")
    assert text == f"{table(rows(store))}\n{cell}: none of its runs counts; a try"
    assert printed(verify_command, store, NO_GIT)[0] is Exit.PASS


def test_a_pattern_chooses_cells(store: Path) -> None:
    assert [row.cell for row in rows(store, "gfx950/*")] == [str(CELL)]


def test_a_pattern_that_fits_no_cell_says_so(store: Path) -> None:
    with pytest.raises(BaselineError, match="holds no baseline of a cell like 'sm90/\\*'"):
        rows(store, "sm90/*")


def test_a_sound_store_is_verified(store: Path) -> None:
    done, text = printed(verify_command, store, NO_GIT)
    assert done is Exit.PASS
    assert text.endswith("2 files, 0 wrong")
    assert "aiter.json: 2 runs, 8 repeats, homogeneous (p = " in text


def test_the_store_of_this_repository_is_sound(root: Path) -> None:
    done, text = printed(verify_command, root / "baselines", git_in(root))
    assert done is Exit.PASS, text


def test_a_run_of_an_accepted_head_is_wrong_until_that_is_merged(tmp_path: Path) -> None:
    git = repository(tmp_path, "code.py")
    run(tmp_path, "checkout", "--quiet", "-b", "feature")
    (tmp_path / "code.py").write_text("faster")
    head = commit(tmp_path)
    origin = {"commit": head, "for_head": head, "tree": run(tmp_path, "rev-parse", "HEAD^{tree}")}
    stored = add_run(
        None, run_record(1, provenance=PROVENANCE | origin), accepted_by="x", reason="y", date="2026-11-23"
    )
    store = tmp_path / "baselines"
    save(baseline_path(store, CELL), stored, replaces=None)
    done, text = printed(verify_command, store, git)
    assert done is Exit.USAGE
    assert f"accepted for the commit {head[:12]}, which is not on refs/heads/main yet" in text
    run(tmp_path, "checkout", "--quiet", "main")
    run(tmp_path, "merge", "--quiet", "--squash", "feature")
    run(tmp_path, "commit", "--quiet", "-m", "squashed")
    run(tmp_path, "branch", "--quiet", "-D", "feature")
    assert printed(verify_command, store, git)[0] is Exit.PASS


def test_a_shallow_clone_cannot_tell_and_does_not_claim_to(tmp_path: Path) -> None:
    repository(tmp_path / "r", "code.py")
    commit(tmp_path / "r")
    run(tmp_path, "clone", "--quiet", "--depth=1", f"file://{tmp_path}/r", str(tmp_path / "c"))
    origin = PROVENANCE | {"for_head": "f" * 40}
    stored = add_run(None, run_record(1, provenance=origin), accepted_by="x", reason="y", date="2026-11-23")
    save(baseline_path(tmp_path / "c/baselines", CELL), stored, replaces=None)
    assert printed(verify_command, tmp_path / "c/baselines", git_in(tmp_path / "c"))[0] is Exit.PASS


def test_an_empty_store_is_sound(tmp_path: Path) -> None:
    assert printed(verify_command, tmp_path, NO_GIT) == (Exit.PASS, "0 files, 0 wrong")


def test_a_store_that_is_missing_says_so(tmp_path: Path) -> None:
    with pytest.raises(BaselineError, match="is not a folder"):
        verify(tmp_path / "baselines")


def test_every_wrong_file_is_named_and_the_exit_is_two(store: Path) -> None:
    path = baseline_path(store, CELL)
    path.write_text(path.read_text().replace('"top_k":0', '"top_k":1'))
    done, text = printed(verify_command, store, NO_GIT)
    assert done is Exit.USAGE
    assert f"WRONG  {path}: runs[0]: its content does not hash to its id" in text
    assert "ok     " in text
    assert text.endswith("2 files, 1 wrong")


def test_runs_that_no_longer_pool_are_wrong(tmp_path: Path) -> None:
    good, bad = baseline(1, repeats=8), baseline(2, repeats=8, accuracy=0.3)
    history = (*good.history, bad.history[1])
    mixed = good.model_copy(update={"runs": (*good.runs, bad.runs[1]), "history": history})
    save(baseline_path(tmp_path, CELL), mixed, replaces=None)
    (found,) = verify(tmp_path)
    assert found.problem is not None
    assert "do not measure the same thing" in found.problem


def test_pinned_runs_that_do_not_pool_are_wrong(tmp_path: Path) -> None:
    good, bad = baseline(1, repeats=8), baseline(2, repeats=8, accuracy=0.3)
    last = baseline(3, repeats=8)
    runs = (*good.runs, bad.runs[1], last.runs[2])
    history = (*good.history, bad.history[1], last.history[2])
    pins = {"epoch": runs[2].id, "anchor": (runs[0].id, runs[1].id)}
    mixed = good.model_copy(update={"runs": runs, "history": history, **pins})
    save(baseline_path(tmp_path, CELL), mixed, replaces=None)
    (found,) = verify(tmp_path)
    assert "do not measure the same thing" in str(found.problem)


def test_a_file_where_no_baseline_belongs_is_wrong(store: Path) -> None:
    (store / "gfx950" / "aiter.json").touch()
    (found,) = [file for file in verify(store) if file.problem]
    assert found.path == store / "gfx950" / "aiter.json"


def test_readme_attributes_probes_and_calibrations_belong_to_a_store(store: Path) -> None:
    for name in ("README.md", ".gitattributes", ".gitignore", "gfx950/gpt-oss-20b/aiter.probe.json"):
        (store / name).touch()
    assert printed(verify_command, store, NO_GIT)[0] is Exit.PASS


def test_verify_as_json_names_files_and_problems(store: Path) -> None:
    _, text = printed(verify_command, store, NO_GIT, as_json=True)
    assert [(file["problem"], file["repeats"]) for file in json.loads(text)] == [(None, 1), (None, 8)]
