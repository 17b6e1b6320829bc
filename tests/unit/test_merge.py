"""Many jobs' records, one report: whatever went wrong in a job shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate import cli, records
from gate.errors import RecordError
from gate.merge import MergeRequest, merge_records
from gate.model.result import GateReport, Verdict
from tests.support.base_branch import BaseBranch, dumped


@pytest.fixture(scope="module")
def branch(tmp_path_factory: pytest.TempPathFactory) -> BaseBranch:
    return BaseBranch(tmp_path_factory.mktemp("base"))


@pytest.fixture
def jobs(branch: BaseBranch, tmp_path: Path) -> tuple[Path, Path]:
    """The output folders of two jobs, a cell each."""
    folders = tmp_path / "aiter", tmp_path / "triton"
    for folder, spec in zip(folders, branch.specs, strict=True):
        records.write(records.record_path(folder / "records", spec.cell), branch.record(spec))
    return folders


def merged(branch: BaseBranch, *places: Path, **changes) -> GateReport:
    values = {"arch": "gfx950", "baselines": branch.baselines, "paths": (branch.config,)}
    return merge_records(MergeRequest(records=places, **(values | changes)))


def verdicts(report: GateReport) -> dict[str, Verdict]:
    return {result.cell.backend: result.verdict for result in report.cells}


def test_the_cells_of_all_jobs_are_in_one_report_and_share_one_error_rate(branch, jobs, tmp_path):
    report = merged(branch, *jobs, out=tmp_path / "all")
    assert verdicts(report) == {"aiter": Verdict.PASS, "triton": Verdict.PASS}
    assert report.family_size == 2
    written = GateReport.model_validate_json((tmp_path / "all/report.json").read_bytes())
    assert written.cells == report.cells
    assert [record.cell for record in records.read_all(tmp_path / "all/records")] == [
        spec.cell for spec in branch.specs
    ]


def test_records_may_be_given_as_files_or_as_the_folder_they_are_in(branch, jobs):
    file = next((jobs[0] / "records").iterdir())
    assert merged(branch, file, jobs[1] / "records").verdict is Verdict.PASS


def test_a_job_that_failed_shows_as_not_measured(branch, jobs, tmp_path):
    report = merged(branch, jobs[0], tmp_path / "never-uploaded")
    assert verdicts(report) == {"triton": Verdict.NOT_MEASURED, "aiter": Verdict.PASS}
    assert "its job failed, or did not run" in report.cells[0].reason
    assert report.exit_code == 4


def test_a_record_that_is_torn_shows_as_not_measured_and_why(branch, jobs):
    file = next((jobs[1] / "records").iterdir())
    file.write_bytes(file.read_bytes()[:-200])
    report = merged(branch, *jobs)
    assert verdicts(report)["triton"] is Verdict.NOT_MEASURED
    assert "ends in the middle" in report.cells[0].reason


def test_two_records_of_one_cell_are_refused(branch, jobs):
    with pytest.raises(RecordError, match="give the records of one attempt only"):
        merged(branch, jobs[0], jobs[0])


@pytest.mark.parametrize("torn_first", [True, False])
def test_of_a_torn_record_and_a_whole_one_of_the_same_cell_nobody_takes_the_whole_one(
    branch, jobs, tmp_path, torn_first
):
    """Two attempts: which of them counts is not decided by which one can still be read."""
    torn = tmp_path / "again" / next((jobs[1] / "records").iterdir()).name
    torn.parent.mkdir()
    torn.write_bytes(next((jobs[1] / "records").iterdir()).read_bytes()[:-200])
    report = merged(branch, *([torn.parent, *jobs] if torn_first else [*jobs, torn.parent]))
    assert verdicts(report) == {"triton": Verdict.NOT_MEASURED, "aiter": Verdict.PASS}
    assert "cannot be used" in report.cells[0].reason


def test_a_record_of_a_cell_that_nobody_expects_is_refused(branch, jobs, tmp_path):
    value = dumped(branch.record(branch.specs[0]))
    value["cell"]["backend"] = value["fingerprint"]["cell"]["backend"] = "other"
    (tmp_path / "other.json").write_text(json.dumps(value))
    with pytest.raises(RecordError, match="no config at hand defines the cell gfx950/c/other"):
        merged(branch, *jobs, tmp_path / "other.json")
    (tmp_path / "other.json").write_text("{")
    with pytest.raises(RecordError, match="truncated"):
        merged(branch, *jobs, tmp_path / "other.json")


def test_cells_that_the_event_leaves_out_are_not_expected(branch, jobs, tmp_path):
    selective = BaseBranch(tmp_path / "selective")
    selective.write_config(when={"events": ["schedule"]})
    assert merged(selective, event="pull_request").cells == ()
    assert len(merged(selective, event="schedule").cells) == 2


def test_the_command_merges_and_exits_with_the_worst_cell(branch, jobs, tmp_path, capsys):
    (tmp_path / "changed.txt").write_text("vllm/a.py\n")
    options = ["--configs", str(branch.config), "--baselines", str(branch.baselines), "--arch", "gfx950"]
    changed = ["--event", "pull_request", "--changed-file", str(tmp_path / "changed.txt")]
    for places, code in (jobs, 0), (jobs[:1], 4):
        with pytest.raises(SystemExit) as stop:
            cli.main(["merge", *map(str, places), *options, *changed, "--json"])
        report = GateReport.model_validate_json(capsys.readouterr().out)
        assert (stop.value.code, report.exit_code) == (code, code)
    with pytest.raises(SystemExit) as stop:
        cli.main(["merge", str(jobs[0]), *options, "--changed-file", str(tmp_path / "none.txt")])
    assert stop.value.code == 2
    assert "changed paths cannot be read" in capsys.readouterr().err


def test_the_plan_says_what_a_cell_may_cost_and_finds(branch, capsys):
    options = ["--baselines", str(branch.baselines), "--arch", "gfx950", "--json"]
    with pytest.raises(SystemExit):
        cli.main(["plan", str(branch.config), *options])
    rows = json.loads(capsys.readouterr().out)
    assert [row["budget"].partition(" ")[2] for row in rows] == [
        f"repeats, {row_samples(row)} samples" for row in rows
    ]
    assert all("in 9 runs of 10" in row["finds"] and row["timeout"] == "360 minutes" for row in rows)


def row_samples(row: dict[str, str]) -> str:
    return f"{60 * int(row['budget'].partition(' ')[0]):,}"


def test_the_plan_says_why_a_cell_has_no_budget(branch, tmp_path, capsys):
    hopeless = BaseBranch(tmp_path / "base")
    hopeless.write_config(gate={"margin": 0.005, "max_minutes": 90})
    for baselines, said in ((tmp_path, "there is no baseline"), (hopeless.baselines, "cannot be ruled out")):
        with pytest.raises(SystemExit):
            cli.main(
                ["plan", str(hopeless.config), "--baselines", str(baselines), "--arch", "gfx950", "--json"]
            )
        row = json.loads(capsys.readouterr().out)[0]
        assert said in row["budget"]
        assert row["timeout"] == "135 minutes"
