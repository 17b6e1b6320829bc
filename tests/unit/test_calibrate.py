"""`gate calibrate`: from runs of one build to the file that the gate reads beside the baseline."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gate import records
from gate.baseline.calibration import calibration_path, load_calibration, save_calibration
from gate.baseline.pool import reference_of
from gate.baseline.store import baseline_path, save
from gate.baseline.verify import verify
from gate.calibrate import CalibrationRequest, calibrate
from gate.cli import main
from gate.config import GateSettings
from gate.decide import plan_budget
from gate.errors import BaselineError, Exit, RecordError, UsageError
from gate.model.baseline import Baseline
from tests.support.measured import CELL, baseline, calibration, fingerprint, question_ids, run_record

SIZE = {"total": 60, "repeats": 16}
QUICK = ("--margin", "0.12")


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = baseline_path(tmp_path / "baselines", CELL)
    save(path, baseline(2, **SIZE), replaces=None)
    return path


def more_runs(folder: Path, *accuracies: float) -> tuple[Path, ...]:
    paths = []
    for number, accuracy in enumerate(accuracies, start=100):
        path = records.record_path(folder / f"run-{number}" / "records", CELL)
        path.parent.mkdir(parents=True)
        records.write(path, run_record(number, accuracy=accuracy, **SIZE))
        paths.append(path)
    return tuple(paths)


def ended(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as end:
        main(["calibrate", *arguments])
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def test_runs_that_scatter_raise_the_loss_to_tolerate(stored: Path, tmp_path: Path):
    calm = calibrate(CalibrationRequest(stored, more_runs(tmp_path / "a", 0.58, 0.58), margin=0.12))
    rough = calibrate(CalibrationRequest(stored, more_runs(tmp_path / "b", 0.45, 0.68), margin=0.12))
    assert calm.tolerated_loss < rough.tolerated_loss
    assert rough.deviation > 0.03
    assert rough.deviation_interval[0] < rough.deviation < rough.deviation_interval[1]
    assert rough.false_alarms.untreated > 0.02
    assert rough.false_alarms.expected <= rough.false_alarms.nominal == 0.01
    assert rough.false_alarms.measured > calm.false_alarms.measured
    assert (rough.false_alarms.runs, len(rough.runs)) == (4, 4)
    assert rough.flip_rate is None


def test_a_run_that_is_stored_and_recorded_counts_once(stored: Path, tmp_path: Path):
    first = run_record(0, **SIZE)
    records.write(tmp_path / "first.json", first)
    more = more_runs(tmp_path, 0.58)
    found = calibrate(CalibrationRequest(stored, (tmp_path / "first.json", *more), margin=0.12))
    assert len(found.runs) == 3


def test_the_file_lies_beside_the_baseline_and_sets_what_the_gate_tolerates(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    more_runs(tmp_path / "more", 0.52, 0.62)
    code, out, _ = ended(capsys, str(stored), "--records", str(tmp_path / "more"), *QUICK)
    assert code == 0
    assert str(calibration_path(stored)) in out
    assert calibration_path(stored).name == "aiter.calibration.json"
    reference = reference_of(tmp_path / "baselines", CELL)
    assert reference is not None
    assert reference.calibration is not None
    settings = GateSettings(margin=0.2)
    budget = plan_budget(reference, settings, family_size=1)
    assert budget.tolerated_loss == reference.calibration.tolerated_loss > 0
    plain = plan_budget(reference._replace(calibration=None), settings, family_size=1)
    assert plain.tolerated_loss == 0
    assert budget.detectable_drop > plain.detectable_drop


def test_people_get_the_runs_and_what_follows_from_them(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    more_runs(tmp_path / "more", 0.5, 0.6)
    _, out, _ = ended(capsys, str(stored), "--records", str(tmp_path / "more"), *QUICK, "--dry-run")
    assert len([line for line in out.splitlines() if "  16       0." in line]) == 4
    for words in ("runs of one build differ by", "nominal 1.00%", "tolerated loss that restores", "measured"):
        assert words in out
    assert out.endswith("nothing was written\n")
    assert not calibration_path(stored).exists()


def test_programs_get_the_file_itself(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    more_runs(tmp_path / "more", 0.5, 0.6)
    _, out, _ = ended(capsys, str(stored), "--records", str(tmp_path / "more"), *QUICK, "--json")
    assert json.loads(out) == json.loads(calibration_path(stored).read_text())


def test_two_runs_are_too_few(stored: Path, capsys: pytest.CaptureFixture[str]):
    code, _, err = ended(capsys, str(stored), *QUICK)
    assert code == Exit.USAGE
    assert "2 runs of one build" in err
    assert "give 3 or more" in err


def test_a_folder_without_records_of_the_cell_is_named(stored: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no run records of gfx950/gpt-oss-20b/aiter"):
        calibrate(CalibrationRequest(stored, (tmp_path / "empty",)))


def test_a_record_that_a_sequential_test_stopped_is_refused(stored: Path, tmp_path: Path):
    records.write(tmp_path / "r.json", run_record(9, purpose="gate", **SIZE))
    with pytest.raises(BaselineError, match="sequential test"):
        calibrate(CalibrationRequest(stored, (tmp_path / "r.json",)))


def test_a_record_of_something_else_is_refused(stored: Path, tmp_path: Path):
    other = fingerprint(question_ids(60), max_tokens=8)
    records.write(tmp_path / "r.json", run_record(9, fingerprint=other, **SIZE))
    with pytest.raises(BaselineError, match="max_tokens"):
        calibrate(CalibrationRequest(stored, (tmp_path / "r.json",)))


def test_a_missing_record_is_named(stored: Path, tmp_path: Path):
    with pytest.raises(RecordError, match="no-such"):
        calibrate(CalibrationRequest(stored, (tmp_path / "no-such.json",)))


def test_a_single_repeat_of_a_single_run_shows_no_variance(tmp_path: Path):
    path = baseline_path(tmp_path, CELL)
    save(path, baseline(1, total=60, repeats=1), replaces=None)
    more = []
    for seed in (5, 6):
        more.append(tmp_path / f"{seed}.json")
        records.write(more[-1], run_record(seed, total=60, repeats=1))
    with pytest.raises(UsageError, match="one repeat shows no variance"):
        calibrate(CalibrationRequest(path, tuple(more)))


def test_greedy_runs_say_how_often_answers_flip(tmp_path: Path):
    mark = fingerprint(question_ids(60), temperature=0.0)
    grown: Baseline = baseline(3, total=60, repeats=1, fingerprint=mark)
    path = baseline_path(tmp_path, CELL)
    save(path, grown, replaces=None)
    found = calibrate(CalibrationRequest(path, margin=0.4, max_repeats=1))
    rows = [run.correct for run in grown.runs]
    pairs = [(rows[0], rows[1]), (rows[0], rows[2]), (rows[1], rows[2])]
    flips = sum(x != y for a, b in pairs for x, y in zip(a, b, strict=True)) / (3 * 60)
    assert found.flip_rate == pytest.approx(flips, abs=1e-6)


def test_without_a_file_nothing_is_calibrated(stored: Path):
    assert load_calibration(stored, fingerprint(question_ids(60))) is None


def test_a_calibration_comes_back_as_it_was_written(stored: Path):
    save_calibration(stored, calibration())
    assert load_calibration(stored, fingerprint(question_ids(60))) == calibration()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "aiter.calibration.json"),
        ("{}", "aiter.calibration.json"),
        (calibration(fingerprint_sha256="0" * 64).model_dump_json(by_alias=True), "another fingerprint"),
        (
            calibration(cell=CELL.model_copy(update={"backend": "triton"})).model_dump_json(by_alias=True),
            "another fingerprint",
        ),
        (calibration().model_dump_json(by_alias=True).replace("calibration/1", "calibration/2"), "schema"),
        (calibration().model_dump_json(by_alias=True).replace("0.02,", "1.5,"), "tolerated_loss"),
    ],
)
def test_a_calibration_that_is_wrong_stops_the_gate_rather_than_being_ignored(
    stored: Path, text: str, words: str, tmp_path: Path
):
    calibration_path(stored).write_text(text)
    (verified,) = verify(tmp_path / "baselines")
    assert verified.problem is not None
    with pytest.raises(BaselineError, match=words):
        reference_of(tmp_path / "baselines", CELL)


def test_a_calibration_that_cannot_be_written_says_so(tmp_path: Path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(BaselineError, match="cannot be written"):
        save_calibration(tmp_path / "folder" / "aiter.json", calibration())
