"""`gate history`: what git and stored records know of a cell, and the pages and tables that say it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gate.baseline.history import Entry, entries
from gate.baseline.past import versions
from gate.cli import main
from gate.errors import RecordError, UsageError
from gate.fingerprint import git_in
from gate.history import trends_of, write_history
from gate.model.record import Failure
from gate.report.history import render_history
from gate.trend import Trend, table, trends
from tests.support.measured import CELL, run_record
from tests.support.past import DROP, FAILED, RUNS, TRITON, make_past, record_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_past(tmp_path_factory.mktemp("past"))


@pytest.fixture(scope="module")
def found(store: Path) -> tuple[Trend, ...]:
    return trends_of(git_in(store), "HEAD", [store.parent / "out"])


def run(*arguments: object) -> object:
    with pytest.raises(SystemExit) as end:
        main(list(map(str, arguments)))
    return end.value.code


def test_every_run_of_a_cell_stands_in_order_of_time(found: tuple[Trend, ...]):
    aiter, triton = found
    assert (aiter.cell, triton.cell) == (str(CELL), str(TRITON))
    assert [m.when for m in aiter.measurements] == sorted(m.when for m in aiter.measurements)
    assert sum(m.what == "gate" for m in aiter.measurements) == RUNS
    assert sum(m.what == "baseline" for m in aiter.measurements) == 3


def test_a_run_has_its_score_its_error_and_its_cost(found: tuple[Trend, ...]):
    first = next(m for m in found[0].measurements if m.what == "gate")
    record = record_of(0)
    right = sum(row.count("1") for row in record.outcomes)
    assert first.score == pytest.approx(right / (60 * 12))
    assert 0.005 < first.error < 0.02
    assert (first.samples, first.tokens) == (720, sum(map(sum, record.tokens)))
    assert (first.minutes, first.gpu_minutes) == (10.0, 10.0)


def test_what_was_not_measured_has_no_score(found: tuple[Trend, ...]):
    (failed,) = [m for m in found[0].measurements if m.score is None]
    assert failed.name == f"{FAILED:040x}"


def test_the_drop_is_found_where_it_began(found: tuple[Trend, ...]):
    gated = [record_of(number) for number in range(RUNS)]
    (only,) = trends([], gated)
    ((when, change),) = only.changes
    assert when == record_of(DROP).provenance["date"]
    assert change.after - change.before == pytest.approx(-0.12, abs=0.02)


def test_what_was_accepted_is_told_with_its_version(found: tuple[Trend, ...]):
    acts = [(level.when[:10], [line["act"] for line in level.accepted]) for level in found[0].levels]
    assert acts == [("2026-05-01", ["add", "add"]), ("2026-09-20", ["epoch"])]
    assert found[0].levels[0].score > found[0].levels[1].score


def test_a_run_of_the_baseline_that_is_also_a_record_is_told_once(store: Path):
    git = git_in(store)
    again = run_record(0, total=60, repeats=16).model_copy(update={"purpose": "baseline"})
    (told, _) = trends(entries(versions(git, "HEAD")), [again])
    assert sum(m.what == "baseline" for m in told.measurements) == 3


def test_without_records_git_alone_is_told(store: Path):
    aiter, triton = trends_of(git_in(store), "HEAD", [])
    assert (len(aiter.measurements), len(triton.measurements)) == (3, 1)
    assert aiter.measurements[0].minutes is None


def test_half_a_pass_and_a_single_repeat_have_an_error_too():
    record = record_of(0)
    rows = ("".join(c if i < 20 else "." for i, c in enumerate(record.outcomes[0])),)
    half = record.model_copy(update={"outcomes": rows, "tokens": record.tokens[:1]})
    (trend,) = trends([], [half])
    (only,) = trend.measurements
    assert only.samples == 20
    assert only.error == pytest.approx((only.score * (1 - only.score) / 20) ** 0.5)


def test_nothing_asked_is_nothing_measured():
    empty = record_of(0).model_copy(update={"outcomes": (), "tokens": (), "finish": ()})
    (trend,) = trends([], [empty])
    assert trend.measurements[0].score is None


def test_a_record_without_a_date_is_refused_by_name():
    with pytest.raises(RecordError, match="does not say when"):
        trends([], [record_of(0).model_copy(update={"provenance": {}})])


def test_a_date_that_is_none_is_refused_by_name():
    with pytest.raises(RecordError, match="'yesterday', which is no date"):
        trends([], [record_of(0).model_copy(update={"provenance": {"date": "yesterday"}})])


def test_two_runs_of_one_moment_are_both_told():
    lost = record_of(0, failure=Failure(kind="engine", message="x"), stream="again")
    (trend,) = trends([], [record_of(0), lost])
    assert len(trend.measurements) == 2


def test_a_baseline_that_was_removed_is_told(store: Path):
    *_, last = entries(versions(git_in(store), "HEAD"))
    version = last.version._replace(baseline=None)
    (trend,) = trends([Entry(version, None, (), "removed")], [])
    assert trend.changes == ()
    assert ">removed<" in render_history([trend], now=NOW)
    assert table([trend])[1][1:5] == ("0", "-", "-", "-")


def test_only_the_chosen_cells_are_told(store: Path):
    (only,) = trends_of(git_in(store), "HEAD", [store.parent / "out"], ["triton"])
    assert only.cell == str(TRITON)


def test_nothing_known_and_a_missing_folder_are_said(store: Path):
    with pytest.raises(UsageError, match="nothing is known"):
        trends_of(git_in(store), "HEAD", [], ["nothing-like-it"])
    with pytest.raises(RecordError, match="is not there"):
        trends_of(git_in(store), "HEAD", [store / "nowhere"])


def test_a_single_record_may_be_given(store: Path):
    path = next((store.parent / "out/0/records").iterdir())
    aiter, _ = trends_of(git_in(store), "HEAD", [path])
    assert sum(m.what == "gate" for m in aiter.measurements) == 1


def test_the_table_has_a_row_for_each_cell(found: tuple[Trend, ...]):
    heading, aiter, triton = table(found)
    assert len(heading) == len(aiter)
    assert aiter[:4] == (str(CELL), str(RUNS + 3), "2026-04-28", "2026-10-23")
    assert triton[-1] == "-"


def test_the_page_and_its_data_are_written(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    given = ("--baselines", store, "--records", store.parent / "out", "--html", tmp_path / "site")
    assert run("history", *given) == 0
    out = capsys.readouterr().out
    assert str(CELL) in out
    assert out.strip().endswith("index.html")
    data = json.loads((tmp_path / "site/history.json").read_text())
    assert [cell["cell"] for cell in data] == [str(CELL), str(TRITON)]
    assert run("history", *given[:4], "--json") == 0
    assert json.loads(capsys.readouterr().out) == data


def test_a_folder_that_cannot_be_written_is_named(found: tuple[Trend, ...], tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"):
        write_history(found, tmp_path / "file", now=NOW)


def test_the_page_loads_nothing_and_escapes_what_people_wrote(found: tuple[Trend, ...]):
    html = render_history(found, now=NOW)
    assert "&lt;b&gt;agreed&lt;/b&gt;" in html
    assert "<b>agreed</b>" not in html
    assert not re.search(r'(?:src|href)="(?!#)', html)
    (packed,) = re.findall(r'id="cells">([^<]*)</script>', html)
    cells = json.loads(gzip.decompress(base64.b64decode(packed)))
    assert [cell["cost"] for cell in cells] == ["gpu_minutes", "tokens"]


def test_on_a_cpu_cost_is_minutes():
    (trend,) = trends([], [record_of(0, gpus=0)])
    assert "10.0 minutes" in render_history([trend], now=NOW)
