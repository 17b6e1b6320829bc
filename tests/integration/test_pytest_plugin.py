"""`pytest --gate-config-list`, run by a real pytest against the stand-in engine."""

from __future__ import annotations

import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.support.project import IMPORTED_FROM, STORED, Project, environment
from tests.support.waiting import PATIENCE, lines, until

pytest_plugins = ("pytester",)

GOOD = ("--accuracy", "0.6")
WORSE = ("--accuracy", "0.2")


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Baselines of the healthy stub."""
    project = Project(tmp_path_factory.mktemp("stored"))
    project.write_config(gate={"margin": 0.12})
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return project.folder / "baselines"


@pytest.fixture
def project(pytester: pytest.Pytester, stored: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a list of two configs, of which only one has a baseline."""
    # By name, so that it does not matter whether this checkout's entry point is installed.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", IMPORTED_FROM)
    monkeypatch.setenv("NO_COLOR", "1")
    project = Project(pytester.path)
    project.write_config(gate={"margin": 0.12})
    (project.folder / "baselines").symlink_to(stored)
    (project.folder / "configs/new.yaml").write_text(project.config.read_text())
    (project.folder / "configs/models-x.txt").write_text("stub.yaml\nnew.yaml\n")
    return project


def arguments(project: Project, *engine: str, cells: str = "configs/stub.yaml") -> list[str]:
    return [
        *("-p", "gate.pytest_plugin", "--gate-config-list", cells, "--gate-arch", "cpu"),
        *("--gate-engine-command", project.engine(*engine), "--gate-model", str(project.model)),
        *("--gate-dataset-path", str(project.dataset)),
    ]


def test_a_cell_of_a_list_is_a_test_and_what_decides_nothing_is_skipped(
    project: Project, pytester: pytest.Pytester
):
    # A suite of its own is not run along, unless it is named.
    pytester.makepyfile(test_own="def test_own(): assert False")
    done = pytester.runpytest_subprocess(
        *arguments(project, *GOOD, cells="configs/models-x.txt"), "-v", "-rs", "--junit-xml", "junit.xml"
    )
    done.assert_outcomes(passed=1, skipped=1)
    done.stdout.fnmatch_lines(["*configs/models-x.txt::cpu/stub/default PASSED*"])
    done.stdout.fnmatch_lines(["*no_baseline: no baseline is stored for cpu/new/default*"])
    assert done.ret == 0
    # One engine a cell, and none for a cell that has nothing to be compared with.
    logs = [path.parent.parent.name for path in project.folder.glob("out/*/logs/*.log")]
    assert logs == ["cpu__stub__default"]
    (suite,) = ET.parse(project.folder / "junit.xml").getroot()  # noqa: S314
    said = {p.get("name"): p.get("value") for p in suite[0].find("properties") or ()}
    assert said["verdict"] == "pass"
    assert float(said["score"]) > 0.4


def test_a_regression_fails_with_its_report_and_without_a_traceback(
    project: Project, pytester: pytest.Pytester
):
    done = pytester.runpytest_subprocess(*arguments(project, *WORSE))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*regression*", "*a drop is proven*"])
    assert "Traceback" not in done.stdout.str()
    assert done.ret == 1


def test_strict_fails_what_decides_nothing(project: Project, pytester: pytest.Pytester):
    done = pytester.runpytest_subprocess(
        *arguments(project, *GOOD, cells="configs/new.yaml"), "--gate-fail-on", "strict"
    )
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*gate baseline collect configs/new.yaml*"])


def test_an_engine_that_does_not_serve_fails_and_is_never_green(project: Project, pytester: pytest.Pytester):
    done = pytester.runpytest_subprocess(*arguments(project, "--exit", "3"))
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*not measured*"])


def test_cells_and_other_tests_run_together_where_both_are_named(project: Project, pytester: pytest.Pytester):
    pytester.makepyfile(test_own="def test_own(): pass")
    done = pytester.runpytest_subprocess("test_own.py", *arguments(project), "--collect-only", "-q")
    done.stdout.fnmatch_lines(["test_own.py::test_own", "configs/stub.yaml::cpu/stub/default"])


def test_a_wrong_config_stops_the_run_with_its_line(project: Project, pytester: pytest.Pytester):
    project.config.write_text("model_nam: a/b\n")
    done = pytester.runpytest_subprocess(*arguments(project))
    assert done.ret == pytest.ExitCode.INTERRUPTED
    done.stdout.fnmatch_lines(["*stub.yaml:1: unknown key 'model_nam'*"])
    assert "Traceback" not in done.stdout.str()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--gate-engine-command", "no-such-vllm"], "no-such-vllm"),
        (["--gate-concurrency", "many"], "concurrency"),
        (["--gate-engine-env", "NAME"], "has no value"),
    ],
)
def test_an_option_that_makes_no_sense_fails_the_cell_with_what_is_wrong(
    project: Project, pytester: pytest.Pytester, options: list[str], said: str
):
    done = pytester.runpytest_subprocess(*arguments(project, *GOOD), *options)
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines([f"*{said}*"])
    assert "Traceback" not in done.stdout.str()


def test_a_list_that_is_not_there_is_a_usage_error(project: Project, pytester: pytest.Pytester):
    done = pytester.runpytest_subprocess(*arguments(project, cells="configs/gone.txt"))
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*there is no file configs/gone.txt*"])


def test_without_its_option_the_plugin_imports_nothing(project: Project, pytester: pytest.Pytester):
    pytester.makepyfile(
        """
        import sys

        def test_nothing_of_the_gate_is_loaded():
            ours = {name for name in sys.modules if name.startswith("gate")}
            assert ours == {"gate", "gate.pytest_plugin"}
            assert not {"numpy", "pydantic", "typer"} & sys.modules.keys()
        """
    )
    done = pytester.runpytest_subprocess("-p", "gate.pytest_plugin")
    done.assert_outcomes(passed=1)


def test_ctrl_c_ends_the_session_and_not_only_the_cell(project: Project):
    journal = project.folder / "out/cpu__stub__default/journals/cpu__stub__default.jsonl"
    (project.folder / "configs/both.txt").write_text("stub.yaml\nnew.yaml\n")
    command = [sys.executable, "-m", "pytest", *arguments(project, *GOOD, "--hangs-after", "20")]
    command[command.index("configs/stub.yaml")] = "configs/both.txt"
    with subprocess.Popen(
        [*command, "--gate-concurrency", "4"],
        cwd=project.folder,
        env=environment() | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        until(lambda: lines(journal) > 9, run)
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == pytest.ExitCode.INTERRUPTED, out
    assert "cpu__new__default" not in [path.name for path in (project.folder / "out").iterdir()]
