"""`gate run` from the command line to the exit code, against a stand-in engine that is a real process."""

from __future__ import annotations

import contextlib
import fcntl
import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.support.project import CELL, LOG, STORED, STUB, Project, environment, finished
from tests.support.waiting import PATIENCE, lines, soon_enough, until

GOOD = ("--accuracy", "0.6")
UNDECIDED = ("--accuracy", "0.5")
"""After thirty samples, whatever the stream: a better one has passed by then now and then."""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project without a baseline."""
    return Project(tmp_path)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baselines collected from the healthy stub."""
    project = Project(tmp_path_factory.mktemp("stored"))
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return project.folder / "baselines"


@pytest.fixture
def measured(project: Project, stored: Path) -> Project:
    """A project with a baseline that the healthy stub made."""
    (project.folder / "baselines").symlink_to(stored)
    return project


def report(project: Project) -> dict:
    return json.loads((project.folder / "out/report.json").read_text())


def test_the_same_engine_passes_and_says_what_it_cost(measured: Project):
    done = measured.gate(["run"], engine=measured.engine(*GOOD))
    assert done.code == 0, done.out + done.err
    (cell,) = report(measured)["cells"]
    assert cell["verdict"] == "pass"
    assert 0 < cell["samples_used"] <= cell["samples_generated"]
    assert CELL in done.out


def test_a_worse_engine_is_a_regression_that_names_the_cell(measured: Project):
    done = measured.gate(["run"], engine=measured.engine("--accuracy", "0.3"))
    assert done.code == 1
    assert report(measured)["verdict"] == "regression"
    assert CELL in done.out


def test_an_outside_verdict_of_fail_on_exits_zero_and_keeps_its_name(measured: Project):
    done = measured.gate(["run"], "--fail-on", "not_measured", engine=measured.engine("--accuracy", "0.3"))
    assert (done.code, report(measured)["verdict"]) == (0, "regression")


def test_without_a_baseline_no_engine_starts_and_the_command_that_makes_one_is_named(project: Project):
    done = project.gate(["run"], engine=project.engine(*GOOD))
    assert done.code == 3
    assert "gate baseline collect configs/stub.yaml" in done.out
    assert done.err.count("cpu/stub/default started\n") == 1  # and no budget
    assert not (project.folder / "out/logs").exists()


def test_an_engine_that_fell_back_is_not_measured_whatever_it_scores(measured: Project, tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("INFO 11-23 21:00:00 [x.py:1] Using 'TRITON' Mxfp4 MoE backend.\n")
    done = measured.gate(["run"], engine=measured.engine(*GOOD, log=log))
    assert done.code == 4
    (cell,) = report(measured)["cells"]
    assert cell["verdict"] == "not_measured"
    assert "scheme" in cell["reason"]
    assert cell["samples_used"] == 0


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param(["--exit", "3"], id="exits at once"),
        pytest.param(["--accuracy", "0.5", "--dies-after", "30"], id="dies while asked"),
        pytest.param(["--fault", "500"], id="answers 500"),
        pytest.param(["--fault", "400"], id="answers 400"),
        pytest.param(["--fault", "garbage"], id="answers garbage JSON"),
        pytest.param(["--fault", "no_choice"], id="answers without a choice"),
        pytest.param(["--fault", "wrong_model"], id="serves another model"),
    ],
)
def test_a_broken_engine_is_not_measured_and_never_a_low_score(measured: Project, engine: list[str]):
    done = measured.gate(["run"], engine=measured.engine(*engine))
    assert done.code == 4, done.out + done.err
    (cell,) = report(measured)["cells"]
    assert cell["verdict"] == "not_measured"
    assert "Traceback" not in done.err


def test_an_engine_that_never_becomes_healthy_is_given_up_at_its_deadline(measured: Project):
    measured.write_config(startup_max_wait_seconds=3)
    done = measured.gate(["run"], engine=measured.engine("--never-healthy"))
    assert done.code == 4
    assert "not healthy" in done.out


def test_a_cell_that_outlasts_its_minutes_is_inconclusive_and_says_the_detectable_drop(measured: Project):
    measured.write_config(gate={"margin": 0.1, "max_minutes": 0.001})
    done = measured.gate(["run"], engine=measured.engine("--accuracy", "0.5"))
    assert done.code == 3, done.out + done.err
    (cell,) = report(measured)["cells"]
    assert cell["verdict"] == "inconclusive"
    assert 0 < cell["detectable_drop"] < 1


def test_a_cell_that_ended_inconclusive_is_not_extended_by_a_rerun_of_the_same_commit(measured: Project):
    measured.write_config(gate={"margin": 0.1, "max_minutes": 0.001})
    record, logs = measured.folder / "out/records/cpu__stub__default.json", measured.folder / "out/logs"
    run = partial(measured.gate, ["run"], engine=measured.engine("--accuracy", "0.5"))
    assert run("--head-sha", "a" * 40).code == 3
    first = record.read_bytes()
    shutil.rmtree(logs)
    again = run("--head-sha", "a" * 40)
    assert (again.code, record.read_bytes() == first, logs.exists()) == (3, True, False)
    assert "not extended" in report(measured)["cells"][0]["notes"][-1]
    assert run("--head-sha", "c" * 40).code == 3
    assert (record.read_bytes() != first, logs.exists()) == (True, True)
    assert run("--head-sha", "a" * 40).code == 3
    assert json.loads(record.read_bytes())["stream"] == json.loads(first)["stream"]


def test_a_sequence_whose_journal_is_gone_is_replayed(measured: Project):
    measured.write_config(gate={"margin": 0.1, "max_minutes": 0.001})
    run = partial(measured.gate, ["run"], "--head-sha", "a" * 40, engine=measured.engine("--accuracy", "0.5"))
    assert run().code == 3
    for folder in ("journals", "logs"):
        shutil.rmtree(measured.folder / "out" / folder)
    assert (run().code, (measured.folder / "out/logs").exists()) == (3, True)


def test_a_damaged_record_of_an_earlier_run_is_named_and_not_asked_over(measured: Project):
    measured.write_config(gate={"margin": 0.1, "max_minutes": 0.001})
    run = partial(measured.gate, ["run"], "--head-sha", "a" * 40, engine=measured.engine("--accuracy", "0.5"))
    assert run().code == 3
    (measured.folder / "out/records/cpu__stub__default.json").write_text("{")
    again = run()
    assert (again.code, "cpu__stub__default.json:1: ends in the middle" in again.err) == (4, True)


def test_empty_answers_of_a_healthy_engine_are_wrong_answers(measured: Project):
    done = measured.gate(["run"], engine=measured.engine("--fault", "empty"))
    assert done.code == 1
    (cell,) = report(measured)["cells"]
    assert cell["invalid_rate"] == 1.0


def test_another_fingerprint_is_incomparable_and_what_it_advises_accepts_it(measured: Project, stored: Path):
    measured.write_config(sampling={"temperature": 0.5, "max_tokens": 77})
    done = measured.gate(["run"], engine=measured.engine(*GOOD))
    assert done.code == 4
    (cell,) = report(measured)["cells"]
    assert cell["verdict"] == "incomparable"
    assert set(cell["fingerprint_differences"]) == {"temperature", "max_tokens"}
    _, advised = cell["next_step"].split(": gate ")
    (measured.folder / "baselines").unlink()  # a link to what other tests read
    shutil.copytree(stored, measured.folder / "baselines")
    engine = ("--engine-command", measured.engine(*GOOD), "--model", str(measured.model))
    here = (*engine, "--dataset-path", str(measured.dataset), "--repeats", "2")
    accepted = finished([sys.executable, "-m", "gate", *shlex.split(advised), *here], measured.folder)
    assert accepted.code == 0, accepted.err


def test_a_margin_this_baseline_cannot_prove_is_refused_before_the_engine_starts(measured: Project):
    measured.write_config(gate={"margin": 0.001})
    done = measured.gate(["run"], engine=measured.engine(*GOOD))
    assert done.code == 2
    assert "0.1 points" in done.err
    assert not (measured.folder / "out/logs").exists()


def test_an_unknown_command_or_model_folder_is_a_usage_error(measured: Project):
    missing = measured.gate(["run"], engine="no-such-vllm")
    assert (missing.code, "no-such-vllm" in missing.err) == (2, True)
    unbalanced = measured.gate(["run"], engine="vllm 'serve")
    assert (unbalanced.code, "cannot be split" in unbalanced.err) == (2, True)
    folder = measured.gate(["run"], "--model", "nowhere/at/all", engine=measured.engine())
    assert (folder.code, "nowhere/at/all" in folder.err) == (2, True)


def test_a_truncated_baseline_is_named(project: Project, stored: Path):
    project.baseline.parent.mkdir(parents=True)
    project.baseline.write_bytes((stored / "cpu/stub/default.json").read_bytes()[:2000])
    done = project.gate(["run"], engine=project.engine(*GOOD))
    assert done.code == 2
    assert "default.json" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_keeps_its_journal_stops_its_engine_and_goes_on_later(
    measured: Project, number: signal.Signals
):
    project = measured
    journal = project.folder / "out/journals/cpu__stub__default.jsonl"
    stays = project.staying()
    command = [*project.arguments("run", engine=stays), "--concurrency", "4"]
    with subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        until(lambda: lines(journal) > 9, run)
        family = psutil.Process(run.pid).children(recursive=True)
        run.send_signal(number)
        out, err = run.communicate(timeout=PATIENCE)
    assert run.returncode == 4, out + err
    assert report(project)["cells"][0]["verdict"] == "not_measured"
    assert not [process for process in family if process.is_running()]
    kept = journal.read_text().count("\n") - 1
    assert kept >= 9

    project.go_on.touch()
    done = project.gate(["run"], engine=stays)
    assert done.code == 0, done.out + done.err
    (cell,) = report(project)["cells"]
    assert cell["verdict"] == "pass"
    assert cell["samples_generated"] >= kept


def test_a_cancelled_run_with_an_engine_that_ignores_sigterm_has_its_record_before_the_runner_kills(
    measured: Project,
):
    out = measured.folder / "out"
    journal = out / "journals/cpu__stub__default.jsonl"
    command = [*measured.arguments("run", engine=measured.staying("--deaf")), "--concurrency", "4"]

    def cancelled() -> float:
        """The seconds that a run took to end; all else must hold each time."""
        shutil.rmtree(out, ignore_errors=True)
        with subprocess.Popen(
            command,
            cwd=measured.folder,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as run:
            until(lambda: lines(journal) > 9, run)
            family = psutil.Process(run.pid).children(recursive=True)
            began = time.monotonic()
            run.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(7.5)  # then a runner sends SIGTERM
            run.send_signal(signal.SIGTERM)
            assert run.wait(60) == 4
            seconds = time.monotonic() - began
        assert report(measured)["cells"][0]["verdict"] == "not_measured"
        assert not [process for process in family if process.is_running()]
        return seconds

    assert soon_enough(cancelled, 10)  # 2.5 s later it sends SIGKILL


def test_samples_of_another_engine_are_never_continued(measured: Project):
    died = measured.gate(["run"], engine=measured.engine(*UNDECIDED, "--dies-after", "30"))
    assert died.code == 4
    other = measured.gate(["run"], engine=measured.engine(*GOOD))
    assert other.code == 4
    assert "another sequence: engine, stream differ" in other.err


def test_a_rerun_of_the_same_commit_replays_its_samples(measured: Project):
    commits = ("--head-sha", "a" * 40, "--base-sha", "b" * 40)
    record = measured.folder / "out/records/cpu__stub__default.json"
    seen = []
    for _ in range(2):
        assert measured.gate(["run"], *commits, engine=measured.engine(*GOOD)).code == 0
        seen.append(json.loads(record.read_text()))
    assert seen[0]["stream"] == seen[1]["stream"]
    assert seen[0]["outcomes"] == seen[1]["outcomes"]


def test_check_decides_the_stored_records_again(measured: Project):
    measured.gate(["run"], engine=measured.engine("--accuracy", "0.3"))
    out = measured.folder / "out"
    done = measured.check(out / "records")
    assert done.code == 1
    assert CELL in done.out


def test_no_question_text_is_in_anything_that_a_run_leaves(tmp_path: Path):
    canary = "xyzzy-canary-4711"
    project = Project(tmp_path)
    text = project.dataset.read_text().replace("What is 3?", f"What is {canary}?")
    project.dataset.write_text(text)
    project.write_config()
    collected = project.collect(*STORED, repeats=64)
    assert collected.code == 0, collected.err
    done = project.gate(["run"], engine=project.engine(*GOOD))
    faulty = project.gate(["run"], engine=project.engine("--fault", "echo_500"))
    printed = [*collected, *done, *faulty]
    assert not [text for text in printed if canary in str(text)]
    written = [path for path in project.folder.rglob("*") if path.is_file() and path != project.dataset]
    assert {path.suffix for path in written} >= {".json", ".jsonl", ".log", ".md"}
    assert not [path for path in written if canary.encode() in path.read_bytes()]


def test_the_command_that_no_baseline_names_works_and_a_second_one_needs_a_reason(project: Project):
    first = project.gate(["baseline", "collect"], "--repeats", "4", engine=project.engine(*GOOD))
    assert first.code == 0, first.err
    second = project.gate(["baseline", "collect"], "--repeats", "4", engine=project.engine(*GOOD))
    assert (second.code, "needs a reason" in second.err) == (2, True)
    project.write_config(sampling={"temperature": 0.5})
    other = project.gate(
        ["baseline", "collect"], "--repeats", "4", "--reason", "x", engine=project.engine(*GOOD)
    )
    assert (other.code, "temperature: 1.0 in the baseline, 0.5 here" in other.err) == (2, True)


def test_an_out_folder_that_cannot_be_one_is_refused_before_an_engine_starts(measured: Project):
    taken = measured.folder / "taken"
    taken.write_text("")
    for out in (taken, taken / "below"):
        for command in (["run"], ["baseline", "collect", "--repeats", "2", "--reason", "more"]):
            done = measured.gate(command, "--out", str(out), engine=measured.engine(*GOOD))
            assert (done.code, "--out" in done.err, "Traceback" in done.err) == (2, True, False), done.err
    assert taken.read_text() == ""


def test_a_file_in_place_of_the_baselines_is_refused(measured: Project):
    done = measured.gate(["run"], "--baselines", str(measured.dataset), engine=measured.engine(*GOOD))
    assert (done.code, "--baselines" in done.err) == (2, True)


@pytest.mark.parametrize("commit", ["HEAD", "a" * 40 + "\n"])
def test_a_head_that_can_mean_another_commit_tomorrow_is_refused(measured: Project, commit: str):
    done = measured.gate(["run"], "--head-sha", commit, engine=measured.engine(*GOOD))
    assert (done.code, "git rev-parse" in done.err) == (2, True)


def test_samples_of_other_server_arguments_are_never_continued(measured: Project):
    measured.write_config(server_args="--dies-after 30")
    assert measured.gate(["run"], engine=measured.engine(*UNDECIDED)).code == 4
    measured.write_config(server_args="--dies-after 100000")
    other = measured.gate(["run"], engine=measured.engine(*UNDECIDED))
    assert other.code == 4
    assert "another sequence: launch, stream differ" in other.err


def test_a_refused_resume_is_told_before_the_first_cell_is_measured(measured: Project):
    assert measured.gate(["run"], engine=measured.engine(*UNDECIDED, "--dies-after", "30")).code == 4
    (measured.folder / "configs/another.yaml").write_text(measured.config.read_text())
    other = measured.gate(["run", "configs/another.yaml"], engine=measured.engine(*GOOD))
    assert other.code == 4
    assert "another sequence" in other.err
    assert not (measured.folder / "out/records/cpu__another__default.json").exists()


def test_a_journal_that_cannot_be_opened_is_named(measured: Project):
    (measured.folder / "out/journals/cpu__stub__default.jsonl").mkdir(parents=True)
    done = measured.gate(["run"], engine=measured.engine(*GOOD))
    assert (done.code, "Traceback" in done.err) == (4, False)
    assert "cpu__stub__default.jsonl: cannot be written" in done.err


def test_a_journal_that_another_process_takes_meanwhile_costs_one_cell_and_not_the_run(measured: Project):
    (measured.folder / "configs/another.yaml").write_text(measured.config.read_text())
    first, second = (measured.folder / f"out/journals/cpu__{n}__default.jsonl" for n in ("another", "stub"))
    collected = measured.gate(
        ["baseline", "collect", "configs/another.yaml", "--repeats", "64", "--reason", "more"],
        *("--baselines", "own"),
        engine=measured.engine(*GOOD),
    )
    assert collected.code == 0, collected.err
    command = measured.arguments("run", "configs/another.yaml", engine=measured.staying())
    with subprocess.Popen(
        [*command, "--baselines", "own"], cwd=measured.folder, env=environment(), stdout=subprocess.PIPE
    ) as run:
        until(first.exists, run)
        with second.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            measured.go_on.touch()
            run.communicate(timeout=PATIENCE)
    assert run.returncode == 4
    verdicts = {
        cell["cell"]["config"]: (cell["verdict"], cell["reason"]) for cell in report(measured)["cells"]
    }
    assert verdicts["another"][0] == "pass"
    assert verdicts["stub"][0] == "not_measured"
    assert "another process" in verdicts["stub"][1]


def test_an_earlier_report_does_not_outlive_the_start_of_a_run(measured: Project):
    assert measured.gate(["run"], engine=measured.engine(*GOOD)).code == 0
    command = measured.arguments("run", engine=measured.engine("--never-healthy"))
    with subprocess.Popen(command, cwd=measured.folder, env=environment(), stderr=subprocess.PIPE) as run:
        assert run.stderr is not None
        while b"started" not in run.stderr.readline():
            assert run.poll() is None
        run.kill()
    out = measured.folder / "out"
    assert not list((out / "records").iterdir())
    assert not [path for path in (out / "report.json", out / "report.md") if path.exists()]


def test_signal_after_signal_tears_no_report(measured: Project):
    journal = measured.folder / "out/journals/cpu__stub__default.jsonl"
    command = [
        *measured.arguments("run", engine=measured.staying()),
        *("--concurrency", "4"),
    ]
    with subprocess.Popen(command, cwd=measured.folder, env=environment(), stderr=subprocess.PIPE) as run:
        until(lambda: lines(journal) > 9, run)
        for _ in range(1000):
            run.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.communicate(timeout=0.02)
                break
    assert (measured.folder / "out/report.md").exists()
    assert report(measured)["cells"][0]["verdict"] == "not_measured"


def test_a_run_that_the_store_could_not_take_is_not_measured_again(measured: Project, stored: Path):
    project = measured
    collect = ["baseline", "collect", "--repeats", "2", "--reason", "more"]
    project.baseline.parent.parent.parent.unlink()
    (project.folder / "baselines").mkdir()
    (project.folder / "baselines/cpu").write_text("in the way")
    engine = project.engine(*GOOD)
    refused = project.gate(collect, engine=engine)
    assert (refused.code, "Traceback" in refused.err) == (2, False)
    asked = (project.folder / "out/run-1/journals/cpu__stub__default.jsonl").read_text()
    (project.folder / "baselines/cpu").unlink()
    assert project.gate(collect, engine=engine).code == 0
    assert json.loads(project.baseline.read_text())["runs"][0]["stream"] in asked


def test_what_a_dying_engine_printed_stays_out_of_records_and_reports(measured: Project, tmp_path: Path):
    log = tmp_path / "hostile.log"
    log.write_text("ERROR 11-23 21:00:00 [core.py:9] Dumping input data: xyzzy-canary-4711\n")
    done = measured.gate(["run"], engine=measured.engine("--exit", "3", log=log))
    assert done.code == 4
    out = measured.folder / "out"
    assert "xyzzy-canary-4711" in (out / "logs/cpu__stub__default.log").read_text()
    kept = [out / "report.md", out / "report.json", out / "records/cpu__stub__default.json"]
    assert not [path.name for path in kept if "xyzzy-canary-4711" in path.read_text()]


def test_a_wider_margin_is_for_who_asks_to_accept_and_never_for_the_record(measured: Project):
    # With this baseline 10 points take 26 repeats.
    measured.write_config(gate={"margin": 0.1, "max_repeats": 24})
    refused = measured.gate(["run"], engine=measured.engine(*GOOD))
    assert (refused.code, "--accept-wider-margin" in refused.err) == (2, True)
    taken = measured.gate(["run"], "--accept-wider-margin", engine=measured.engine("--accuracy", "0.75"))
    assert taken.code == 0, taken.out + taken.err
    assert measured.check(measured.folder / "out/records").code == 4
    assert measured.check(measured.folder / "out/records", "--accept-wider-margin").code == 0


def test_samples_of_another_commit_never_answer_for_this_one(measured: Project):
    # The same command can start another build: nothing outside it tells the two apart but the commit.
    kernel = measured.folder / "kernel"
    start = measured.folder / "start.py"
    start.write_text(
        "import os, sys\n"
        f"accuracy = open({str(kernel)!r}).read()\n"
        f"os.execv(sys.executable, [sys.executable, {str(STUB)!r}, '--accuracy', accuracy, *sys.argv[1:]])\n"
    )
    engine = shlex.join([sys.executable, str(start), "--log", str(LOG)])
    codes = []
    for commit, accuracy in (("a", "0.6"), ("b", "0.2"), ("a", "0.6")):
        kernel.write_text(accuracy)
        codes.append(measured.gate(["run"], "--head-sha", commit * 40, engine=engine).code)
    assert codes == [0, 1, 0]
