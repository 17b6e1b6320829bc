"""Logs that other harnesses really wrote (tests/data/importers), from the file to the verdict."""

from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from gate.cli import main
from gate.evals.load import load_task
from gate.settings import Sampling, TaskSettings
from tests.support.imported import CELL, DATA, HARNESSES, QUESTIONS, config_of, write_config
from tests.support.project import Finished


class Desk:
    """A folder with a config, into which logs are imported; `gate` runs in this process."""

    def __init__(self, folder: Path, harness: str) -> None:
        self.folder = folder
        self.harness = harness
        self.config = write_config(folder, config_of(harness))

    def bring(self, log: str, *options: str) -> Finished:
        """`gate import` of one of the logs."""
        command = ["import", self.harness, str(DATA / self.harness / log), "--config", str(self.config)]
        command += ["--arch", "sm90", "--accepted-by", "tester"]
        return self.gate(
            *command, "--baselines", str(self.baselines), "--out", str(self.folder / "out"), *options
        )

    def check(self) -> Finished:
        """`gate check` of what was imported."""
        command = ["check", str(self.folder / "out/records"), str(self.config), "--arch", "sm90", "--json"]
        return self.gate(*command, "--baselines", str(self.baselines))

    def gate(self, *arguments: str) -> Finished:
        """Run a command to its end."""
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as end:
            main(arguments)
        return Finished(int(end.value.code or 0), out.getvalue(), err.getvalue())

    @property
    def baselines(self) -> Path:
        """The store."""
        return self.folder / "baselines"

    @property
    def record(self) -> dict:
        """The imported record."""
        return json.loads((self.folder / "out/records/sm90__toy__default.json").read_text())


@pytest.fixture(params=HARNESSES)
def desk(tmp_path: Path, request: pytest.FixtureRequest) -> Desk:
    """A desk for each harness."""
    return Desk(tmp_path, request.param)


def test_a_run_is_judged_against_an_imported_baseline_from_records_alone(desk: Desk):
    stored = desk.bring("baseline", "--purpose", "baseline")
    assert stored.code == 0, stored.err
    assert "1 run of" in stored.out
    for log, code, verdict in (("healthy", 0, "pass"), ("broken", 1, "regression")):
        brought = desk.bring(log)
        assert brought.code == 0, brought.err
        done = desk.check()
        (cell,) = json.loads(done.out)["cells"]
        assert (done.code, cell["verdict"]) == (code, verdict), cell["reason"]
        assert [c["fact"] for c in cell["evidence_checks"] if c["accepted"]] == ["fallbacks"]
        assert len(cell["looks"]) == 1
    assert cell["cell"] == dict(zip(("arch", "config", "backend"), CELL.split("/"), strict=True))


def test_the_log_that_the_baseline_was_made_from_is_no_run_of_the_build_under_test(desk: Desk):
    assert desk.bring("baseline", "--purpose", "baseline").code == 0
    assert desk.bring("baseline").code == 0
    done = desk.check()
    (cell,) = json.loads(done.out)["cells"]
    assert (done.code, cell["verdict"]) == (4, "not_measured")
    assert "is a run of the baseline" in cell["reason"]


def test_without_a_baseline_the_command_that_makes_one_is_named(desk: Desk):
    assert desk.bring("healthy").code == 0
    done = desk.check()
    (cell,) = json.loads(done.out)["cells"]
    assert (done.code, cell["verdict"]) == (3, "no_baseline")
    assert f"gate import {desk.harness} LOG --config" in cell["next_step"]


def test_question_ids_are_those_of_the_gate_itself(desk: Desk):
    task = load_task(
        TaskSettings(name="gpqa_diamond"),
        Sampling(),
        reasoning_effort=None,
        served_model="x",
        dataset_path=QUESTIONS,
        cache_dir=desk.folder,
    )
    assert desk.bring("healthy").code == 0
    assert tuple(desk.record["questions"]) == task.questions


def test_the_score_is_the_one_that_the_harness_itself_reports(desk: Desk):
    assert desk.bring("healthy").code == 0
    outcomes = "".join(desk.record["outcomes"])
    assert outcomes.count("1") / len(outcomes) == pytest.approx(reported(desk.harness))
    assert "x" in outcomes


def reported(harness: str) -> float:
    """The mean score in the harness's own summary of its healthy run."""
    folder = DATA / harness / "healthy"
    if harness == "inspect":
        from backports.zstd import zipfile

        with zipfile.ZipFile(next(folder.glob("*.eval"))) as archive:
            (score,) = json.loads(archive.read("header.json"))["results"]["scores"]
        return score["metrics"]["accuracy"]["value"]
    if harness == "gpt-oss":
        (summary,) = [p for p in folder.glob("*.json") if "allresults" not in p.name]
        return json.loads(summary.read_text())["score"]
    if harness == "evalscope":
        return json.loads((folder / "reports/model/gpqa_diamond.json").read_text())["metrics"][0]["score"]
    found = [json.loads(p.read_text())["results"]["toy_gpqa"] for p in folder.rglob("results_*.json")]
    return sum(one["exact_match,flexible-extract"] for one in found) / len(found)


def test_no_text_of_a_question_leaves_its_log(desk: Desk):
    printed = [desk.bring("baseline", "--purpose", "baseline"), desk.bring("healthy"), desk.check()]
    with QUESTIONS.open(newline="", encoding="utf-8") as file:
        questions = [row["Question"] for row in csv.DictReader(file)]
    written = [path.read_text() for path in desk.folder.rglob("*.json")]
    assert len(written) == 2
    assert not [q for q in questions if q in "".join([*map(str, printed), *written])]


def test_what_nothing_proves_is_not_measured_unless_the_config_says_so(desk: Desk):
    write_config(desk.folder, config_of(desk.harness) | {"accept_unproven": []})
    refused = desk.bring("baseline", "--purpose", "baseline")
    assert (refused.code, "--engine-log" in refused.err) == (4, True)
    assert desk.bring("healthy").code == 0
    done = desk.check()
    (cell,) = json.loads(done.out)["cells"]
    assert (done.code, cell["verdict"]) == (4, "not_measured")
    assert "fallbacks" in cell["reason"]


def test_the_engines_log_proves_what_ran(desk: Desk):
    config = config_of(desk.harness) | {"expect": {"moe": "EMULATION"}, "accept_unproven": []}
    write_config(desk.folder, config)
    log = ("--engine-log", str(DATA.parents[1] / "logs/stand-in.log"))
    stored = desk.bring("baseline", "--purpose", "baseline", *log)
    assert stored.code == 0, stored.err
    assert desk.bring("healthy", *log).code == 0
    done = desk.check()
    (cell,) = json.loads(done.out)["cells"]
    assert (cell["verdict"], cell["evidence"]["facts"]["moe"]) == ("pass", "EMULATION")
    assert not [check for check in cell["evidence_checks"] if check["accepted"]]


def test_the_same_log_is_no_second_sample(desk: Desk):
    assert desk.bring("baseline", "--purpose", "baseline").code == 0
    again = desk.bring("healthy", "--purpose", "baseline")
    assert (again.code, "needs a reason" in again.err) == (2, True)
    before = desk.folder / "baselines/sm90/toy/default.json"
    content = before.read_bytes()
    assert desk.bring("baseline", "--purpose", "baseline", "--reason", "again").code == 0
    assert before.read_bytes() == content
    grown = desk.bring("healthy", "--purpose", "baseline", "--reason", "more")
    assert grown.code == 0, grown.err
    assert "2 runs of" in grown.out


def test_both_forms_of_an_inspect_log_are_the_same_run(tmp_path: Path):
    desk = Desk(tmp_path, "inspect")
    folder = DATA / "inspect/three"
    streams = []
    for path in (next(folder.glob("*.eval")), next(folder.glob("*.json"))):
        done = desk.bring(str(path))
        assert done.code == 0, done.err
        streams.append((desk.record["stream"], desk.record["outcomes"], desk.record["fingerprint"]))
    assert streams[0] == streams[1]


@pytest.mark.parametrize(
    ("harness", "log", "flag"),
    [
        ("lm-eval", "without-samples", "--log_samples"),
        ("inspect", "without-samples/*.json", "--log-samples"),
        ("gpt-oss", "healthy/*[0-9].json", "_allresults.json"),
        ("evalscope", "healthy/reports", "--work-dir"),
    ],
)
def test_a_log_without_single_outcomes_is_refused_with_what_would_have_written_them(
    tmp_path: Path, harness: str, log: str, flag: str
):
    (path,) = (DATA / harness).glob(log)
    done = Desk(tmp_path, harness).bring(str(path))
    assert (done.code, flag in done.err, "Traceback" in done.err) == (4, True, False), done.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--repeats", "8"], "--repeats is for baselines"),
        (["--backend", "tritn"], "no config here has a backend"),
        (["--engine-log", "gone.log"], "gone.log"),
        (["--model", "no/such/folder"], "model folder does not exist"),
        (["--purpose", "baseline", "--repeats", "8"], "8 declared"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: list[str], said: str):
    done = Desk(tmp_path, "lm-eval").bring("healthy", *options)
    assert done.code in {2, 4}
    assert said in done.err
    assert not (tmp_path / "out").exists()


def test_a_log_is_of_one_backend(tmp_path: Path):
    desk = Desk(tmp_path, "lm-eval")
    write_config(tmp_path, config_of("lm-eval") | {"backends": {"aiter": {}, "triton": {}}})
    done = desk.bring("healthy")
    assert (done.code, "one of aiter, triton" in done.err) == (2, True)
    assert desk.bring("healthy", "--backend", "triton", "--json").out.endswith('"baseline": null\n}\n')


def test_a_config_whose_questions_the_gate_asks_takes_no_log(tmp_path: Path):
    desk = Desk(tmp_path, "lm-eval")
    write_config(tmp_path, config_of("lm-eval") | {"task": "gpqa_diamond"})
    done = desk.bring("healthy")
    assert (done.code, "which the gate asks itself" in done.err) == (2, True)


def test_a_plan_of_imported_runs_says_what_it_is(tmp_path: Path):
    desk = Desk(tmp_path, "lm-eval")
    done = desk.gate("plan", str(desk.config), "--arch", "sm90", "--baselines", str(desk.baselines))
    assert (done.code, "imported (lm-eval, chat)" in done.out) == (0, True), done.err
    assert desk.bring("baseline", "--purpose", "baseline").code == 0
    done = desk.gate("plan", str(desk.config), "--arch", "sm90", "--baselines", str(desk.baselines))
    assert (done.code, "Traceback" in done.err) == (0, False), done.err
