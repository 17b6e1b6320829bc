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
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from gate.errors import EngineError
from gate.serving import engine_facts

UNKNOWN: Final = "unknown"
PROBE_SECONDS: Final = 180.0
_ALWAYS: Final = (
    *("engine_version", "engine_commit", "torch", "rocm", "cuda", "triton", "aiter", "amd_quark"),
    *("driver", "gpus", "clocks", "host"),
)
_VERSIONS: Final = (
    *("python", *engine_facts.PACKAGES, "engine_commit", "engine_edits", "engine_build"),
    *("rocm", "hip", "cuda"),
)
_NVIDIA_FIELDS: Final = (
    *("compute_cap", "name", "driver_version", "memory.total", "memory.used"),
    *("clocks.max.sm", "clocks.max.memory", "power.limit"),
)
_ANSWER: Final = "gate-facts:"
_FIRST_LINE: Final = re.compile(r"#!\s*(?:/usr/bin/env\s+(?:-S\s+)?)?(\S*python[0-9.]*)(?:\s|$)")
# What installers write where the interpreter's path is too long for a first line.
_LONG_PATH: Final = re.compile(r"#!/bin/sh\n\'\'\'exec\' [\"\']?([^\"\'\n]*?python[0-9.]*)[\"\']? ")

_PLACE: Final = frozenset({"host", "kernel", "clocks"})


class Gpu(NamedTuple):
    """One GPU as somebody described it; None and empty where nobody did. Sizes in MiB."""

    arch: str = ""
    name: str = ""
    driver: str = ""
    clocks: str = ""
    memory: int | None = None
    used: int | None = None


class GpuProcess(NamedTuple):
    """A process that holds GPU memory."""

    pid: int
    name: str


class Machine(NamedTuple):
    """What this machine says without the engine's help; lists are empty where nobody answers."""

    device_nodes: tuple[str, ...]
    kfd_arches: tuple[str, ...]
    nvidia: tuple[Gpu, ...]
    amd_driver: str | None
    host: str = ""
    processes: tuple[GpuProcess, ...] = ()


class Engine(NamedTuple):
    """What `engine_facts.py` found in the engine's Python: GPUs as it sees them, and versions.

    `importable` says whether that Python finds vLLM at all. `encodings` has of each folder that was asked
    about, and of the one that its own variable names (`encodings_base`), the SHA-256 of harmony's encoding
    in it, None where there is none.
    """

    gpus: tuple[Gpu, ...]
    is_cpu_build: bool
    versions: Mapping[str, str]
    importable: bool = True
    processes: tuple[GpuProcess, ...] = ()
    encodings_base: str | None = None
    encodings: Mapping[str, str | None] = MappingProxyType({})


def detect_arch(engine: Engine | None, machine: Machine) -> str:
    """`gfx950`, `sm90`, ... or `cpu`, from the first source that answers.

    Sources: amdsmi, torch (both in the engine's Python), nvidia-smi, the kernel's KFD table. `cpu` only
    where the engine's torch cannot drive a GPU, or no GPU device node exists.

    Raises:
        EngineError: GPUs are there but nobody tells which, or they differ.
    """
    if engine is not None and engine.is_cpu_build:
        return "cpu"
    arches = [gpu.arch for gpu in gpus_of(engine, machine) if gpu.arch] or list(machine.kfd_arches)
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


def gpus_of(engine: Engine | None, machine: Machine) -> tuple[Gpu, ...]:
    """The GPUs of this machine, from the first source that describes any."""
    return (engine.gpus if engine is not None else ()) or machine.nvidia


def occupied_of(engine: Engine | None, machine: Machine) -> tuple[Gpu, ...]:
    """The same from a source that tells how much memory is in use, where there is one; torch does not."""
    gpus = gpus_of(engine, machine)
    return machine.nvidia if machine.nvidia and any(gpu.used is None for gpu in gpus) else gpus


def count(engine: Engine | None, machine: Machine) -> int:
    """How many GPUs this machine has, as far as anybody tells."""
    return len(gpus_of(engine, machine)) or len(machine.kfd_arches)


def provenance(engine: Engine | None, machine: Machine) -> dict[str, str]:
    """Versions, driver, GPUs and host as recorded in a run record; `unknown` where nobody answers."""
    gpus = gpus_of(engine, machine)
    # The highest clocks and the power limit: what an administrator sets, not what an idle GPU does now.
    known = {
        "driver": _joined([*(gpu.driver for gpu in (*gpus, *machine.nvidia)), machine.amd_driver or ""]),
        "gpus": _joined(gpu.name for gpu in gpus),
        "gpu_count": str(count(engine, machine)),
        "clocks": _joined(gpu.clocks for gpu in (*gpus, *machine.nvidia)),
        "host": machine.host,
        "kernel": platform.release(),
        **(engine.versions if engine is not None else {}),
    }
    return dict.fromkeys(_ALWAYS, UNKNOWN) | {name: value for name, value in known.items() if value}


def identity(engine: Engine | None, machine: Machine) -> dict[str, str]:
    """The part of the provenance that tells one engine from another, whichever machine it runs on."""
    return {k: v for k, v in provenance(engine, machine).items() if k not in _PLACE}


def ask_engine(
    python: Sequence[str],
    environment: Mapping[str, str],
    *,
    option: str = "--engine-command",
    folders: Sequence[str] = (),
) -> Engine:
    """Run `engine_facts.py` in the engine's Python.

    Args:
        python: command prefix that runs Python where the engine lives.
        environment: the engine's.
        option: where the user says which engine that is.
        folders: where it lives, which may hold harmony's encoding.

    Raises:
        EngineError: it cannot be run or answers nothing.
    """
    try:
        done = subprocess.run(
            [*python, "-c", Path(engine_facts.__file__).read_text(encoding="utf-8"), *folders],
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
            hint=f"check {option}",
        ) from error
    for line in done.stdout.splitlines():
        if line.startswith(_ANSWER):
            return read_answer(json.loads(line.removeprefix(_ANSWER)))
    raise EngineError(
        f"the engine's Python ({python[0]}) told nothing about itself, status {done.returncode}",
        hint="\n  ".join(done.stderr.splitlines()[-3:]) or f"check {option}",
    )


def read_answer(found: Mapping[str, Any]) -> Engine:
    """The script's JSON as an `Engine`: architectures without their feature suffix."""
    versions = {name: str(found[name]) for name in _VERSIONS if found.get(name)}
    # torch knows HIP's version only; that of ROCm is where ROCm is installed.
    versions.setdefault("rocm", versions.get("hip", UNKNOWN))
    return Engine(
        gpus=tuple(_gpu(gpu) for gpu in found.get("gpus") or ()),
        is_cpu_build=bool(found.get("torch_is_cpu_build")),
        versions={name: value for name, value in versions.items() if value != UNKNOWN},
        importable=bool(found.get("importable")),
        processes=tuple(GpuProcess(*process) for process in found.get("processes") or ()),
        encodings_base=found.get("encodings_base"),
        encodings=found.get("encodings") or {},
    )


def _gpu(told: Mapping[str, Any]) -> Gpu:
    memory, used = (
        number if isinstance(number := told.get(k), int) else None for k in ("memory_mib", "used_mib")
    )
    core, of_memory = (told.get("clocks_mhz") or (None, None))[:2]
    clocks = f"core {core} MHz, memory {of_memory} MHz" if core else ""
    arch, name, driver = (str(told.get(k) or "").replace("N/A", "") for k in ("arch", "name", "driver"))
    return Gpu(arch.split(":")[0], name, driver, clocks, memory, used)


def ask_machine(root: Path = Path("/")) -> Machine:
    """Device nodes, KFD table, nvidia-smi and driver of this machine; `root` is / except in tests."""
    kfd = root / "sys/class/kfd/kfd/topology/nodes"
    arches = (kfd_arch(path.read_text()) for path in sorted(kfd.glob("*/properties")))
    version = root / "sys/module/amdgpu/version"
    nodes = [*root.glob("dev/kfd"), *root.glob("dev/nvidia[0-9]*")]
    return Machine(
        device_nodes=tuple(sorted(f"/{node.relative_to(root)}" for node in nodes)),
        kfd_arches=tuple(arch for arch in arches if arch),
        nvidia=ask_nvidia(),
        amd_driver=version.read_text().strip() if version.exists() else None,
        host=platform.node(),
        processes=_nvidia_processes(),
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


def read_nvidia(output: str) -> tuple[Gpu, ...]:
    """The GPUs that `nvidia-smi` listed for `_NVIDIA_FIELDS`; a line of another shape is none."""
    rows = [[cell.strip() for cell in line.split(",")] for line in output.splitlines()]
    return tuple(_nvidia_gpu(*row) for row in rows if len(row) == len(_NVIDIA_FIELDS))


def _nvidia_gpu(capability: str, name: str, driver: str, total: str, used: str, *limits: str) -> Gpu:
    core, memory, power = limits
    known = [
        f"{what} {value}"
        for what, value in (("core", core), ("memory", memory), ("power", power))
        if value[:1].isdigit()
    ]
    return Gpu(
        arch=f"sm{capability.replace('.', '')}",
        name=name,
        driver=driver,
        clocks=", ".join(known),
        memory=_mib(total),
        used=_mib(used),
    )


def _mib(text: str) -> int | None:
    number = text.split(" ", maxsplit=1)[0]
    return int(number) if number.isdigit() else None


def ask_nvidia() -> tuple[Gpu, ...]:
    """The GPUs of this machine as nvidia-smi lists them; none where it is missing or fails."""
    return read_nvidia(_nvidia_smi(f"--query-gpu={','.join(_NVIDIA_FIELDS)}"))


def _nvidia_processes() -> tuple[GpuProcess, ...]:
    rows = (line.split(", ", 1) for line in _nvidia_smi("--query-compute-apps=pid,process_name").splitlines())
    return tuple(GpuProcess(int(row[0]), row[1]) for row in rows if row[0].isdigit())


def _nvidia_smi(query: str) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, query, "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True, env=os.environ)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(sorted({text for text in texts if text}))
