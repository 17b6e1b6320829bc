"""The action's glue: inputs to arguments, exit code and report to outputs and summary."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.action import __main__ as entry
from gate.action import inputs, plan, runner
from gate.action import run as action
from gate.errors import Exit, UsageError
from gate.model.cell import Cell
from gate.model.result import CellResult, GateReport, Verdict
from tests.support.act import outputs_of

FAIL_ON = (Verdict.REGRESSION, Verdict.NOT_MEASURED, Verdict.INCOMPARABLE)

NOTHING_MEASURED = {"verdict": "not_measured", "report-json": "", "report-md": "", "failed-cells": "[]"}


class Job:
    """A runner's files in a temporary folder, and the lines of its log."""

    def __init__(self, folder: Path) -> None:
        self.output = folder / "output"
        self.summary = folder / "summary"
        self.out = folder / "gate-out"
        self.log: list[str] = []
        self.environ = {
            "RUNNER_TEMP": str(folder),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GATE_INPUT_CONFIGS": "configs/tiny.yaml",
        }

    def run(self, gate: action.Gate) -> int:
        return action.run(self.environ, gate, self.log.append)

    @property
    def outputs(self) -> dict[str, str]:
        """As the runner reads them."""
        found = outputs_of(self.output)
        self.records = found.pop("records", None)
        return found


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def report(*verdicts: Verdict, exit_code: int, fail_on: Sequence[Verdict] = FAIL_ON) -> GateReport:
    cells = tuple(
        CellResult(cell=Cell(arch="cpu", config="tiny", backend=f"b{n}"), verdict=verdict, reason="because")
        for n, verdict in enumerate(verdicts)
    )
    return GateReport(
        gate_version="0",
        created="2026-01-01T00:00:00+00:00",
        commit=None,
        verdict=verdicts[0] if verdicts else Verdict.PASS,
        exit_code=exit_code,
        fail_on=tuple(fail_on),
        family_size=max(1, len(cells)),
        alpha=0.01,
        cells=cells,
    )


def gate_that_writes(job: Job, written: GateReport, *, code: int | None = None) -> action.Gate:
    def gate(_: Sequence[str]) -> int:
        job.out.mkdir(parents=True, exist_ok=True)
        (job.out / "report.json").write_text(written.model_dump_json(by_alias=True))
        (job.out / "report.md").write_text("# what was found\n")
        return written.exit_code if code is None else code

    return gate


def test_a_pass_is_green_and_leaves_its_report(job: Job) -> None:
    assert job.run(gate_that_writes(job, report(Verdict.PASS, exit_code=0))) == 0
    assert job.outputs == {
        "verdict": "pass",
        "report-json": str(job.out / "report.json"),
        "report-md": str(job.out / "report.md"),
        "failed-cells": "[]",
    }
    assert job.summary.read_text() == "# what was found\n"
    assert job.log == []


def test_a_regression_is_red_and_names_the_failed_cells(job: Job) -> None:
    assert job.run(gate_that_writes(job, report(Verdict.REGRESSION, Verdict.PASS, exit_code=1))) == 1
    assert job.outputs["verdict"] == "regression"
    assert json.loads(job.outputs["failed-cells"]) == ["cpu/tiny/b0"]
    assert job.log == ["::error title=vllm-eval-gate::regression: cpu/tiny/b0"]


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(Verdict.INCONCLUSIVE, 3), (Verdict.NO_BASELINE, 3), (Verdict.INCONCLUSIVE, 0)],
)
def test_a_verdict_outside_fail_on_exits_0_and_keeps_its_name(job: Job, verdict: Verdict, code: int) -> None:
    assert job.run(gate_that_writes(job, report(verdict, exit_code=code))) == 0
    assert job.outputs["verdict"] == verdict
    assert job.outputs["failed-cells"] == "[]"


def test_one_blocking_cell_is_enough_whatever_the_worst_verdict_is(job: Job) -> None:
    mixed = report(Verdict.REGRESSION, Verdict.NOT_MEASURED, exit_code=1, fail_on=[Verdict.NOT_MEASURED])
    assert job.run(gate_that_writes(job, mixed)) == 1
    assert json.loads(job.outputs["failed-cells"]) == ["cpu/tiny/b1"]


def test_a_blocking_cell_is_red_even_if_gate_exits_0(job: Job) -> None:
    assert job.run(gate_that_writes(job, report(Verdict.NOT_MEASURED, exit_code=0))) == Exit.NOT_MEASURED


@pytest.mark.parametrize(("code", "expected"), [(0, 4), (1, 4), (2, 2), (4, 4), (137, 4)])
def test_without_a_report_it_is_red_and_not_measured_whatever_the_exit_code(
    job: Job, code: int, expected: int
) -> None:
    assert job.run(lambda _: code) == expected
    assert job.outputs == {
        "verdict": "not_measured",
        "report-json": "",
        "report-md": "",
        "failed-cells": "[]",
    }
    assert f"exit {expected}" in job.summary.read_text()
    assert job.log == ["::error title=vllm-eval-gate::not_measured: see the lines above"]


@pytest.mark.parametrize("code", [1, 4, 139])
def test_an_exit_code_that_the_report_does_not_explain_is_not_measured(job: Job, code: int) -> None:
    assert job.run(gate_that_writes(job, report(Verdict.PASS, exit_code=0), code=code)) == code
    assert job.outputs["verdict"] == "not_measured"


def test_a_report_without_cells_is_not_measured(job: Job) -> None:
    assert job.run(gate_that_writes(job, report(exit_code=0))) == Exit.NOT_MEASURED
    assert job.outputs["verdict"] == "not_measured"


def test_the_report_of_an_earlier_run_is_never_this_ones(job: Job) -> None:
    job.run(gate_that_writes(job, report(Verdict.PASS, exit_code=0)))
    assert job.run(lambda _: 0) == Exit.NOT_MEASURED
    assert job.outputs["verdict"] == "not_measured"


def test_a_process_that_is_killed_has_already_said_not_measured(job: Job) -> None:
    def killed(_: Sequence[str]) -> int:
        assert job.outputs["verdict"] == "not_measured"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(killed)
    assert job.outputs["verdict"] == "not_measured"


@pytest.mark.parametrize(("configs", "says"), [("", "configs is empty"), ("'open", "No closing quotation")])
def test_configs_that_cannot_be_read_are_a_usage_error(job: Job, configs: str, says: str) -> None:
    job.environ["GATE_INPUT_CONFIGS"] = configs
    assert job.run(lambda _: pytest.fail("gate must not start")) == Exit.USAGE
    assert says in job.log[0]
    assert job.outputs["verdict"] == "not_measured"


def test_outside_of_actions_it_says_what_to_use_instead(job: Job) -> None:
    del job.environ["GITHUB_OUTPUT"]
    with pytest.raises(UsageError, match="use `gate run`"):
        job.run(lambda _: 0)


def test_every_input_reaches_the_command_line(job: Job) -> None:
    job.environ |= {
        "GATE_INPUT_CONFIGS": "a.yaml 'with space.yaml'\nmodels-cpu.txt",
        "GATE_INPUT_BACKENDS": "aiter, triton\nemulation",
        "GATE_INPUT_ARCH": "cpu",
        "GATE_INPUT_BASELINES": "b",
        "GATE_INPUT_ENGINE_COMMAND": "python -m vllm --flag 'x y'",
        "GATE_INPUT_ENGINE_IMAGE": "image@sha256:0",
        "GATE_INPUT_BASE_ENGINE_COMMAND": "/base/vllm",
        "GATE_INPUT_BASE_ENGINE_IMAGE": "base@sha256:0",
        "GATE_INPUT_MODEL_DIR": "/m",
        "GATE_INPUT_HF_HOME": "/h",
        "GATE_INPUT_DATASET_PATH": "/d.csv",
        "GATE_INPUT_FAIL_ON": "strict",
        "GATE_INPUT_CELLS_IN_FAMILY": "6",
        "GATE_INPUT_OUT_DIR": "o",
        "GATE_HEAD_SHA": "1a2b",
        "GATE_BASE_SHA": "3c4d",
    }
    assert action.Inputs.from_environ(job.environ).arguments(job.environ) == [
        "run",
        "--backend=aiter",
        "--backend=triton",
        "--backend=emulation",
        "--arch=cpu",
        "--baselines=b",
        "--engine-command=python -m vllm --flag 'x y'",
        "--engine-image=image@sha256:0",
        "--model=/m",
        "--hf-home=/h",
        "--dataset-path=/d.csv",
        "--out=o",
        "--confirm-with=/base/vllm",
        "--confirm-with-image=base@sha256:0",
        "--fail-on=strict",
        "--family-size=6",
        "--head-sha=1a2b",
        "--base-sha=3c4d",
        "--",
        "a.yaml",
        "with space.yaml",
        "models-cpu.txt",
    ]


def test_an_input_that_is_not_given_leaves_gates_own_default(job: Job) -> None:
    arguments = action.Inputs.from_environ(job.environ).arguments(job.environ)
    assert arguments == ["run", f"--out={job.out}", "--", "configs/tiny.yaml"]


@given(st.lists(st.text(min_size=1).filter(lambda path: "\0" not in path), min_size=1))
def test_no_config_can_pass_as_an_option(paths: list[str]) -> None:
    environ = {"GATE_INPUT_CONFIGS": shlex.join(paths)}
    arguments = action.Inputs.from_environ(environ).arguments(environ)
    assert arguments[arguments.index("--") + 1 :] == paths


@given(
    st.dictionaries(
        st.sampled_from(["verdict", "report-md"]), st.text(st.characters(exclude_categories=["Cs"]))
    )
)
def test_no_output_can_end_its_own_block(outputs: dict[str, str]) -> None:
    rest = runner.render_outputs(outputs)
    for name, value in outputs.items():
        head, _, rest = rest.partition("\n")
        found_name, _, delimiter = head.partition("<<")
        assert found_name == name
        assert rest.startswith(f"{value}\n{delimiter}\n")
        rest = rest[len(value) + len(delimiter) + 2 :]
    assert rest == ""


def test_the_delimiter_of_outputs_is_never_the_same() -> None:
    assert runner.render_outputs({"verdict": "pass"}) != runner.render_outputs({"verdict": "pass"})


def test_a_long_report_is_cut_at_a_line_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text("ä line of the report\n" * 60_000)
    job = Job(tmp_path)
    runner.Runner(job.environ).summary(action.render_summary(action.Result(Verdict.PASS, (), None, path, 0)))
    summary = job.summary.read_text()
    assert len(summary.encode()) <= runner.SUMMARY_BYTES
    lines = summary.splitlines()
    assert set(lines[:-2]) == {"ä line of the report"}
    assert "the rest is in report.md" in lines[-1]


def test_an_annotation_stays_one_line() -> None:
    assert (
        runner.annotation("50 %\r\n::set-output") == "::error title=vllm-eval-gate::50 %25%0D%0A::set-output"
    )


def test_the_real_command_line_is_run_in_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert action.run_gate(["run", "--help"]) == 0
    assert "CONFIG_OR_LIST" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["run", "--no-such-option"], ["config", "check", "no-such.yaml"]])
def test_what_the_command_line_refuses_is_a_usage_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert action.run_gate(arguments) == Exit.USAGE
    assert "no-such" in capsys.readouterr().err


def test_the_entry_point_says_what_is_missing_as_an_annotation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_OUTPUT", raising=False)
    assert entry.main() == Exit.USAGE
    assert capsys.readouterr().out.startswith("::error title=vllm-eval-gate::GITHUB_OUTPUT is not set")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"GATE_INPUT_MODE": "measure"}, "mode 'measure' is not supported"),
        ({"GATE_INPUT_MODE": "run", "GATE_GITHUB_TOKEN": "x"}, "is given to the job that runs the engine"),
        ({"GATE_INPUT_MODE": "plan"}, "GITHUB_EVENT_PATH is not set"),
    ],
)
def test_a_job_that_is_set_up_wrongly_ends_with_an_annotation(
    given: dict[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert entry.main(Job(tmp_path).environ | given) == Exit.USAGE
    shown = capsys.readouterr().out
    assert shown.startswith("::error")
    assert said in shown


def test_a_flag_is_true_or_false():
    with pytest.raises(UsageError, match="the input attested is 'yes'"):
        inputs.flag({"GATE_INPUT_ATTESTED": "yes"}, "attested")


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ("gfx950/x/a", "is no JSON list of cells"),
        ('{"a": 1}', "is no JSON list of cells"),
        ('["gfx950/x/none"]', "1 of the cells asked for are not among those of this event"),
    ],
)
def test_a_plan_is_of_cells_that_there_are(tmp_path: Path, cells: str, said: str):
    (tmp_path / "x.yaml").write_text("model_name: m\nbackends: {a: {}}\n")
    (tmp_path / "models-a.txt").write_text("x.yaml\n")
    (tmp_path / "runners.yaml").write_text("lists:\n  models-a.txt: {arch: gfx950, runs_on: [x], gpus: 1}\n")
    event = tmp_path / "event.json"
    event.write_text('{"before": "b"}')
    environ = Job(tmp_path).environ | {
        "GITHUB_EVENT_PATH": str(event),
        "GITHUB_EVENT_NAME": "push",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "org/engine",
        "GITHUB_RUN_ID": "1",
        "GITHUB_SHA": "a" * 40,
        "GATE_INPUT_CONFIGS": str(tmp_path / "models-a.txt"),
        "GATE_INPUT_CELLS": cells,
    }
    with pytest.raises(UsageError, match=re.escape(said)):
        plan.run(environ, print)
