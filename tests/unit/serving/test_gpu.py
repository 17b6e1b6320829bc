"""Architecture and provenance: asked of several sources, never assumed."""

import json
import os
import platform
import stat
import sys
from pathlib import Path

import pytest

from gate.errors import EngineError
from gate.serving.gpu import (
    Engine,
    Gpu,
    GpuProcess,
    Machine,
    ask_engine,
    ask_machine,
    detect_arch,
    engine_python,
    identity,
    kfd_arch,
    occupied_of,
    provenance,
    read_answer,
    read_nvidia,
)

BARE = Machine(device_nodes=(), kfd_arches=(), nvidia=(), amd_driver=None)
AMD = BARE._replace(device_nodes=("/dev/kfd",), amd_driver="6.14.14")
# Recorded on a lent H100, torch 2.11.0+cu130, 2026-11-24.
H100_LINE = "9.0, NVIDIA H100 80GB HBM3, 580.159.04, 81559 MiB, 1643 MiB, 1980 MHz, 2619 MHz, 700.00 W"
H100 = Gpu(
    arch="sm90",
    name="NVIDIA H100 80GB HBM3",
    driver="580.159.04",
    clocks="core 1980 MHz, memory 2619 MHz, power 700.00 W",
    memory=81559,
    used=1643,
)
NVIDIA = BARE._replace(device_nodes=("/dev/nvidia0",), nvidia=(H100,))


def engine(*arches: str, cpu: bool = False) -> Engine:
    return Engine(tuple(Gpu(arch) for arch in arches), cpu, {})


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
    told = ask_machine(tmp_path)
    assert told == Machine(("/dev/kfd",), ("gfx950",), (), "6.14.14", platform.node(), ())


def tool(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_nvidia_smi_is_asked(tmp_path, monkeypatch):
    tool(tmp_path / "nvidia-smi", f'echo "{H100_LINE}"')
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_machine(tmp_path).nvidia == (H100,)


def test_who_holds_gpu_memory_is_asked_of_nvidia_smi_and_amdsmi(tmp_path, monkeypatch):
    # Recorded on a lent H100 that ran one Python, 2026-11-24.
    script = f'case "$1" in *apps*) echo "454, python3";; *) echo "{H100_LINE}";; esac'
    tool(tmp_path / "nvidia-smi", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert ask_machine(tmp_path).processes == (GpuProcess(454, "python3"),)
    assert read_answer({"processes": [[4711, "python3"]]}).processes == (GpuProcess(4711, "python3"),)


def test_used_memory_is_nvidia_smis_where_torch_does_not_tell():
    torch = Engine((Gpu("sm90", "NVIDIA H100 80GB HBM3", memory=81079),), False, {})
    assert occupied_of(torch, NVIDIA) == (H100,)
    amd = read_answer(MI355X)
    assert occupied_of(amd, AMD) == amd.gpus


def test_an_nvidia_smi_without_a_driver_tells_nothing(tmp_path, monkeypatch):
    tool(tmp_path / "nvidia-smi", "exit 9")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert ask_machine(tmp_path).nvidia == ()


# Reconstructed from amdsmi's reference (ROCm 6.4) and vLLM's own use of it: no ROCm machine was at hand.
MI355X = {
    "python": "3.12.3",
    "engine_version": "0.32.0rc2.dev118+g9a1c0c4b7.rocm710",
    "engine_commit": "9a1c0c4b7",
    "importable": True,
    "torch": "2.13.0",
    "torch_is_cpu_build": False,
    "hip": "7.1.25424",
    "rocm": "7.1.0-43",
    "cuda": None,
    "aiter": "0.1.7",
    "amd_quark": "0.11.2",
    "amdsmi_error": None,
    "gpus": [
        {
            "arch": "gfx950:sramecc+:xnack-",
            "name": "AMD Instinct MI355X",
            "driver": "6.14.14",
            "memory_mib": 294896,
            "used_mib": 283,
            "clocks_mhz": [2400, 2000],
        }
    ]
    * 8,
}


def test_the_answer_of_the_engines_python_is_read():
    answer = read_answer(MI355X)
    assert set(answer.gpus) == {
        Gpu(
            "gfx950",
            "AMD Instinct MI355X",
            "6.14.14",
            "core 2400 MHz, memory 2000 MHz",
            memory=294896,
            used=283,
        )
    }
    assert answer.importable
    assert answer.versions == {
        "python": "3.12.3",
        "engine_version": "0.32.0rc2.dev118+g9a1c0c4b7.rocm710",
        "engine_commit": "9a1c0c4b7",
        "torch": "2.13.0",
        "hip": "7.1.25424",
        "rocm": "7.1.0-43",
        "aiter": "0.1.7",
        "amd_quark": "0.11.2",
    }


def test_every_field_of_the_provenance_is_there_on_a_rocm_machine():
    machine = AMD._replace(host="gpu-runner-7")
    told = provenance(read_answer(MI355X), machine)
    told.pop("kernel")
    assert told == {
        "aiter": "0.1.7",
        "amd_quark": "0.11.2",
        "clocks": "core 2400 MHz, memory 2000 MHz",
        "cuda": "unknown",
        "driver": "6.14.14",
        "engine_commit": "9a1c0c4b7",
        "engine_version": "0.32.0rc2.dev118+g9a1c0c4b7.rocm710",
        "gpu_count": "8",
        "gpus": "AMD Instinct MI355X",
        "hip": "7.1.25424",
        "host": "gpu-runner-7",
        "python": "3.12.3",
        "rocm": "7.1.0-43",
        "torch": "2.13.0",
        "triton": "unknown",
    }


def test_hips_version_stands_for_rocms_where_no_installation_says_more():
    assert read_answer({"hip": "7.1.25424"}).versions["rocm"] == "7.1.25424"


def test_an_engine_is_the_same_on_another_host_of_its_kind():
    here, there = (AMD._replace(host=name) for name in ("gpu-runner-7", "gpu-runner-8"))
    asked = read_answer(MI355X)
    assert identity(asked, here) == identity(asked, there)
    assert identity(asked, here) != identity(read_answer({**MI355X, "aiter": "0.1.8"}), here)


def test_what_a_driver_does_not_tell_is_unknown_and_not_a_word_of_its_own():
    gpu = {"arch": "gfx942", "name": "N/A", "driver": "N/A", "memory_mib": "N/A", "clocks_mhz": [None, None]}
    assert read_answer({"gpus": [gpu]}).gpus == (Gpu("gfx942"),)
    line = "9.0, NVIDIA H100, 580.1, [N/A], [N/A], [N/A], [N/A], [N/A]"
    assert read_nvidia(line) == (Gpu("sm90", "NVIDIA H100", "580.1"),)


def test_a_real_python_without_an_engine_tells_its_version():
    answer = ask_engine([sys.executable], dict(os.environ))
    assert answer.versions["python"] == sys.version.split()[0]
    assert (answer.gpus, answer.importable) == ((), False)


def test_a_python_that_cannot_run_or_fails_is_an_error(tmp_path):
    with pytest.raises(EngineError, match="cannot ask"):
        ask_engine([str(tmp_path / "none")], {})
    with pytest.raises(EngineError, match="status 3") as caught:
        ask_engine([str(tool(tmp_path / "python", "echo broken >&2; exit 3"))], {})
    assert "broken" in str(caught.value)


def test_a_chatty_python_is_understood(tmp_path):
    line = "gate-facts:" + json.dumps({"torch": "1"})
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
    versions = {"engine_version": "0.32.0", "torch": "2.13.0"}
    told = provenance(Engine((Gpu("sm90", "NVIDIA H100 80GB HBM3"),), False, versions), NVIDIA)
    assert (told["engine_version"], told["driver"]) == ("0.32.0", "580.159.04")
    assert told["gpus"] == "NVIDIA H100 80GB HBM3"
    assert told["clocks"] == "core 1980 MHz, memory 2619 MHz, power 700.00 W"
    assert provenance(None, AMD)["driver"] == "6.14.14"
