"""action.yml, the glue that reads it, the command line and the workflows agree, and hold to the rules."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path

import pytest
import typer
import yaml

from gate import cli
from gate.action.inputs import variable
from gate.action.run import Inputs, Result
from gate.decide import DEFAULT_FAIL_ON
from gate.github.dispatch import Order, Workflows
from gate.github.head_runs import run_name
from gate.model.cell import Cell
from gate.model.result import Verdict
from tests.support.workflows import ROOT, Job, action_files, jobs, load, steps, workflow_files

ACTION = ROOT / "action.yml"
EVERYTHING = [*action_files(), *workflow_files()]
SHA_PIN = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
INPUT = re.compile(r"\$\{\{\s*inputs\.([\w-]+)\s*\}\}")


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def mapped(step_id: str) -> dict[str, str]:
    """Input -> variable, of one step of action.yml."""
    step = next(step for step in steps(ACTION) if step["id"] == step_id)
    pairs = {name: INPUT.fullmatch(value) for name, value in step["env"].items()}
    return {found[1]: name for name, found in pairs.items() if found}


def test_every_input_is_mapped_to_its_variable_once() -> None:
    install, run = mapped("install"), mapped("run")
    assert install.keys() & run.keys() == {"mode"}
    token = {"github-token": "GATE_GITHUB_TOKEN"}
    assert install | run == {name: variable(name) for name in load(ACTION)["inputs"]} | token


def test_the_glue_reads_the_inputs_that_the_run_step_is_given() -> None:
    read = {field.name.replace("_", "-") for field in dataclasses.fields(Inputs)} | {"github-token"}
    for path in (ROOT / "gate/action").glob("*.py"):
        read |= set(re.findall(r'(?:value|words|flag)\(\w+, "([a-z-]+)"\)', path.read_text()))
    assert read == mapped("run").keys()


def test_every_option_of_the_glue_is_one_of_gate_run() -> None:
    every = dict.fromkeys((field.name for field in dataclasses.fields(Inputs)), "x")
    arguments = Inputs(**every).arguments({"GATE_HEAD_SHA": "1", "GATE_BASE_SHA": "2"})
    given = {argument.partition("=")[0] for argument in arguments if argument.startswith("--")} - {"--"}
    command = typer.main.get_command(cli.app).commands[arguments[0]]
    assert given <= {option for parameter in command.params for option in parameter.opts}
    assert len(given) == len(every) - 1


def test_the_defaults_are_those_of_gate() -> None:
    command = typer.main.get_command(cli.app).commands["run"]
    own = {option.lstrip("-"): parameter.default for parameter in command.params for option in parameter.opts}
    default = {name: definition.get("default") for name, definition in load(ACTION)["inputs"].items()}
    assert (default["arch"], default["baselines"]) == (own["arch"], str(own["baselines"]))
    assert tuple(default["fail-on"].split(",")) == DEFAULT_FAIL_ON


def test_the_installer_reads_the_inputs_that_the_install_step_is_given() -> None:
    script = (ROOT / "action/install.sh").read_text()
    assert set(re.findall(r"GATE_INPUT_\w+", script)) == set(mapped("install").values())


def test_every_input_has_a_kebab_case_name_a_description_and_a_default_or_is_required() -> None:
    for name, definition in load(ACTION)["inputs"].items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert definition["description"]
        assert ("default" in definition) != (definition["required"] == "true")


def test_the_outputs_are_those_that_the_glue_writes() -> None:
    written = set(Result(Verdict.PASS, (), None, None, 0).outputs())
    reported = {"verdict", "failed-cells", "report-json", "report-md", "conclusion", "check-url"}
    accepted = {"pull-request-url"}
    planned = {"matrix", "cells", "head-sha", "base-sha", "head-repository"}
    declared = load(ACTION)["outputs"]
    assert declared.keys() == written | {"records"} | reported | planned | accepted
    for name, definition in declared.items():
        assert f"steps.run.outputs.{name}" in definition["value"]


def test_outputs_of_a_step_that_never_ran_say_not_measured() -> None:
    assert load(ACTION)["outputs"]["verdict"]["value"] == "${{ steps.run.outputs.verdict || 'not_measured' }}"


def test_gate_replaces_the_shell_so_that_signals_reach_it() -> None:
    for step in steps(ACTION):
        assert re.fullmatch(r"exec [^\n]+", step["run"].strip())


@pytest.mark.parametrize("path", EVERYTHING, ids=names(EVERYTHING))
def test_no_expression_stands_inside_a_script(path: Path) -> None:
    assert [step["run"] for step in steps(path) if "${{" in step.get("run", "")] == []


@pytest.mark.parametrize("path", EVERYTHING, ids=names(EVERYTHING))
def test_third_party_actions_are_pinned_by_full_commit(path: Path) -> None:
    uses = [step["uses"] for step in steps(path) if "uses" in step]
    assert [name for name in uses if name != "./" and not SHA_PIN.fullmatch(name)] == []


@pytest.mark.parametrize("path", workflow_files(), ids=names(workflow_files()))
def test_no_job_on_a_machine_of_ones_own_can_write_or_holds_a_secret(path: Path) -> None:
    assert [fault for job in jobs(path) for fault in faults_of_self_hosted(job)] == []


@pytest.mark.parametrize("path", workflow_files(), ids=names(workflow_files()))
def test_every_job_declares_its_permissions_and_a_time_limit(path: Path) -> None:
    for job in jobs(path):
        assert isinstance(job.permissions, dict), f"{job.name} gets the repository's default token"
        limit = job.definition["timeout-minutes"]
        assert limit == "${{ matrix.timeout-minutes }}" or int(limit) > 0


def test_there_are_workflows_to_check() -> None:
    assert {path.name for path in workflow_files()} >= {"ci.yml", "gate.yml"}
    ours = {path.name for path in (ROOT / ".github/workflows").iterdir()}
    assert ours >= {path.name for path in (ROOT / "examples/workflows").iterdir()}
    assert any(not job.hosted_by_github for path in workflow_files() for job in jobs(path))


STARTED = [path for path in workflow_files() if path.name in (Workflows.rerun, Workflows.refresh)]


@pytest.mark.parametrize("path", STARTED, ids=names(STARTED))
def test_the_workflows_that_commands_start_take_what_a_command_tells_them(path: Path) -> None:
    order = Order(7, "1" * 40, (Cell(arch="cpu", config="c", backend="b"),), "mia", "")
    taken = load(path)["on"]["workflow_dispatch"]["inputs"]
    assert taken.keys() == order.inputs().keys()
    assert {definition["type"] for definition in taken.values()} == {"string"}
    # GitHub refuses an empty value where one is required: a rerun gives no reason.
    needed = {name for name, definition in taken.items() if definition["required"] == "true"}
    empty = {name for name, value in order.inputs().items() if not value}
    assert not needed & empty or path.name == Workflows.refresh


def test_a_report_waits_for_the_announcement_that_would_open_its_check_run_again() -> None:
    for path in STARTED:
        if path.name == Workflows.rerun:
            assert "announce" in load(path)["jobs"]["report"]["needs"]


def test_a_run_that_a_command_started_is_found_by_its_name() -> None:
    for path in STARTED:
        if path.name == Workflows.rerun:
            name = "${{ inputs.head-sha && format('" + run_name("{0}") + "', inputs.head-sha) || '' }}"
            assert load(path)["run-name"] == name


@pytest.mark.parametrize("path", workflow_files(), ids=names(workflow_files()))
def test_a_job_that_writes_or_holds_the_token_checks_out_no_pull_request(path: Path) -> None:
    # Without a ref, what is checked out is the default branch, or the merge that a pull request would be.
    allowed = {"${{ github.event.pull_request.base.sha || github.sha }}"}
    allowed |= set() if "pull_request" in load(path)["on"] else {""}
    for job in jobs(path):
        writes = not isinstance(job.permissions, dict) or "write" in job.permissions.values()
        if writes or "github.token" in job.text:
            checkouts = [step for step in job.definition["steps"] if "checkout@" in step.get("uses", "")]
            assert {step["with"].get("ref", "") for step in checkouts} <= allowed, job.name


@pytest.mark.parametrize(
    ("labels", "rest", "fault"),
    [
        ("[self-hosted, gfx950]", "permissions: {contents: read}", None),
        ("[self-hosted, gfx950]", "permissions: {contents: write}", "contents: write"),
        ("gfx950", "permissions: {id-token: write}", "id-token: write"),
        ("'${{ matrix.labels }}'", "permissions: write-all", "write-all"),
        ("{group: gpus}", "permissions: {}\n    env: {T: '${{ secrets.HF_TOKEN }}'}", "secrets"),
        ("gfx950", "permissions: {}\n    env: {T: '${{ secrets[''HF_TOKEN''] }}'}", "secrets"),
        ("gfx950", "permissions: {}\n    secrets: inherit", "secrets"),
        ("gfx950", "permissions: {}\n    env: {T: '${{ github.token }}'}", "github.token"),
        ("gfx950", "steps: []", "unset"),
        ("ubuntu-latest", "permissions: {contents: write}", None),
    ],
)
def test_the_rule_for_self_hosted_jobs_finds_what_it_should(
    tmp_path: Path, labels: str, rest: str, fault: str | None
) -> None:
    path = tmp_path / "w.yml"
    path.write_text(f"on: push\njobs:\n  gpu:\n    runs-on: {labels}\n    {rest}\n")
    (job,) = jobs(path)
    assert [fault in found for found in faults_of_self_hosted(job)] == ([] if fault is None else [True])


def faults_of_self_hosted(job: Job) -> list[str]:
    """What a job on a GPU runner must never hold: a token that writes, or any secret."""
    if job.hosted_by_github:
        return []
    granted = job.permissions if isinstance(job.permissions, dict) else {"permissions": job.permissions}
    found = [f"{name}: {level}" for name, level in granted.items() if level not in ("read", "none")]
    found += [f"secrets in {job.name}"] * bool(re.search(r"\bsecrets\b", job.text))
    found += [f"github.token in {job.name}"] * bool(re.search(r"github\.token|GITHUB_TOKEN", job.text))
    return found


def test_the_locks_of_the_action_and_of_the_tests_name_the_same_versions() -> None:
    wanted, tested = (versions(ROOT / "requirements" / name) for name in ("gate.txt", "dev.txt"))
    shared = wanted.keys() & tested.keys()
    assert {name: wanted[name] for name in shared} == {name: tested[name] for name in shared}
    assert wanted.keys() - tested.keys() <= {"colorama"}


def test_everything_the_action_installs_is_pinned_by_hash() -> None:
    text = (ROOT / "requirements/gate.txt").read_text()
    assert len(versions(ROOT / "requirements/gate.txt")) == text.count("\n    # via")
    for block in re.split(r"\n(?=[a-z])", text):
        assert "--hash=sha256:" in block


def test_the_action_pins_every_dependency_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [re.split(r"[><=~]", text)[0].lower() for text in project["project"]["dependencies"]]
    assert {*wanted, "hatchling"} <= versions(ROOT / "requirements/gate.txt").keys()


def versions(path: Path) -> dict[str, str]:
    """Name -> version of a lock."""
    return dict(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", path.read_text(), re.MULTILINE))


def test_yaml_booleans_do_not_hide_the_triggers() -> None:
    assert all("on" in load(path) for path in workflow_files())
    assert "on" not in yaml.safe_load(workflow_files()[0].read_text())
