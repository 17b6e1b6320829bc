"""Architecture and provenance: asked of several sources, never assumed."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from gate.errors import EngineError
from gate.serving.gpu import (
    Engine,
    Machine,
    ask_engine,
    ask_machine,
    detect_arch,
    engine_python,
    kfd_arch,
    provenance,
    read_answer,
)

BARE = Machine(device_nodes=(), kfd_arches=(), nvidia=(), amd_driver=None)
AMD = BARE._replace(device_nodes=("/dev/kfd",), amd_driver="6.14.14")
H200 = {"compute_cap": "9.0", "name": "NVIDIA H200", "driver_version": "580.1"}
NVIDIA = BARE._replace(device_nodes=("/dev/nvidia0",), nvidia=(H200,))


def engine(*arches: str, cpu: bool = False) -> Engine:
    return Engine(arches, cpu, {})


@pytest.mark.parametrize(
    ("asked", "machine", "arch"),
    [
        (engine("gfx950", "gfx950"), AMD, "gfx950"),
        (engine(), NVIDIA, "sm90"),
        (None, NVIDIA, "sm90"),
        (None, AMD._replace(kfd_arches=("gfx942",)), "gfx942"),
        (None, BARE, "cpu"),
        (engine(), BARE, "cpu"),
        (engine(cpu=True), NVIDIA, "cpu"),
        (engine("gfx942"), AMD._replace(kfd_arches=("gfx90a",)), "gfx942"),
    ],
)
def test_the_first_source_that_answers_decides(asked, machine, arch):
    assert detect_arch(asked, machine) == arch


def test_gpus_that_nobody_describes_are_an_error_not_a_cpu():
    with pytest.raises(EngineError, match="no tool tells") as caught:
        detect_arch(engine(), AMD)
    assert "--arch" in str(caught.value)


def test_different_gpus_are_an_error():
    with pytest.raises(EngineError, match="gfx942, gfx950"):
        detect_arch(engine("gfx950", "gfx942"), AMD)


@pytest.mark.parametrize(
    ("version", "arch"), [("90500", "gfx950"), ("90402", "gfx942"), ("90010", "gfx90a"), ("0", None)]
)
def test_the_kernels_version_number_is_an_architecture(version, arch):
    assert kfd_arch(f"simd_count 1\ngfx_target_version {version}\nlocation_id 3\n") == arch


def test_the_machine_is_read_from_its_own_tables(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    for number, version in enumerate(("0", "90500")):
        node = tmp_path / f"sys/class/kfd/kfd/topology/nodes/{number}"
        node.mkdir(parents=True)
        (node / "properties").write_text(f"gfx_target_version {version}\n")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kfd").touch()
    (tmp_path / "sys/module/amdgpu").mkdir(parents=True)
    (tmp_path / "sys/module/amdgpu/version").write_text("6.14.14\n")
    assert ask_machine(tmp_path) == Machine(("/dev/kfd",), ("gfx950",), (), "6.14.14")


def tool(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_nvidia_smi_is_asked(tmp_path, monkeypatch):
    tool(tmp_path / "nvidia-smi", 'echo "9.0, NVIDIA H200, 580.1"')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_machine(tmp_path).nvidia == (H200,)


def test_an_nvidia_smi_without_a_driver_tells_nothing(tmp_path, monkeypatch):
    tool(tmp_path / "nvidia-smi", "exit 9")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_machine(tmp_path).nvidia == ()


def test_the_answer_of_the_engines_python_is_read():
    answer = read_answer(
        {
            "amdsmi_arches": ["gfx950"],
            "torch_arches": ["gfx950:sramecc+:xnack-"],
            "torch": "2.13.0",
            "hip": "7.1.0",
            "cuda": None,
            "torch_is_cpu_build": False,
            "aiter": "0.1.7",
            "amdsmi_error": "X",
            "gpu_names": ["AMD Instinct MI355X"],
            "gpu_count": 8,
        }
    )
    versions = {"torch": "2.13.0", "rocm": "7.1.0", "aiter": "0.1.7", "gpu_count": "8"}
    assert answer == Engine(("gfx950",), False, {**versions, "gpus": "AMD Instinct MI355X"})


def test_torch_answers_where_amdsmi_does_not_and_its_feature_suffix_goes():
    assert read_answer({"amdsmi_arches": [], "torch_arches": ["gfx942:sramecc+:xnack-"]}).arches == (
        "gfx942",
    )


def test_a_real_python_without_an_engine_tells_its_version():
    answer = ask_engine([sys.executable], dict(os.environ))
    assert answer.versions["python"] == sys.version.split()[0]
    assert answer.arches == ()


def test_a_python_that_cannot_run_or_fails_is_an_error(tmp_path):
    with pytest.raises(EngineError, match="cannot ask"):
        ask_engine([str(tmp_path / "none")], {})
    with pytest.raises(EngineError, match="status 3") as caught:
        ask_engine([str(tool(tmp_path / "python", "echo broken >&2; exit 3"))], {})
    assert "broken" in str(caught.value)


def test_a_chatty_python_is_understood(tmp_path):
    line = "gate-probe:" + json.dumps({"torch": "1"})
    python = tool(tmp_path / "python", f"echo hello; echo '{line}'; echo bye")
    assert ask_engine([str(python)], {}).versions == {"torch": "1"}


@pytest.mark.parametrize(
    ("first", "python"),
    [
        ("#!/venv/bin/python3.12\n", "/venv/bin/python3.12"),
        ("#!/usr/bin/env python3\n", "python3"),
        ("#!/bin/sh\n'''exec' \"/a long/path/bin/python\" \"$0\" \"$@\"\n' '''\n", "/a long/path/bin/python"),
    ],
)
def test_the_python_behind_a_script_is_found(tmp_path, first, python):
    (tmp_path / "vllm").write_text(first + "import vllm\n")
    assert engine_python([str(tmp_path / "vllm")]) == [python]


def test_a_python_command_is_its_own_python():
    assert engine_python([sys.executable, "-m", "vllm"]) == [sys.executable]


@pytest.mark.parametrize("content", ["#!/bin/sh\nexec docker\n", "\x7fELF"])
def test_a_command_that_is_no_python_script_is_an_error(tmp_path, content):
    (tmp_path / "vllm").write_text(content)
    with pytest.raises(EngineError, match="not a Python script"):
        engine_python([str(tmp_path / "vllm")])


def test_a_command_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(EngineError, match="cannot read"):
        engine_python([str(tmp_path / "vllm")])


def test_provenance_says_unknown_where_nobody_answers():
    told = provenance(None, BARE)
    assert told["engine_version"] == told["rocm"] == told["driver"] == told["aiter"] == "unknown"
    assert told["gpu_count"] == "0"


def test_provenance_joins_engine_and_machine():
    told = provenance(Engine(("sm90",), False, {"engine_version": "0.32.0", "torch": "2.13.0"}), NVIDIA)
    assert (told["engine_version"], told["driver"], told["gpus"]) == ("0.32.0", "580.1", "NVIDIA H200")
    assert provenance(None, AMD)["driver"] == "6.14.14"
