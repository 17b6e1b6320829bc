"""What this machine's CPU multiplies with. Standard library only: set-up asks, too."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

CPUINFO: Final = Path("/proc/cpuinfo")
_MATTER: Final = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "bf16", "sve")
"""Flags that decide how vLLM's and torch's CPU kernels multiply, and so how they round."""


def instruction_set(arch: str, cpuinfo: Path) -> str:
    """What this machine's CPU multiplies with, as one word; `gpu` for any other arch than `cpu`."""
    if arch != "cpu":
        return "gpu"
    try:
        text = cpuinfo.read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    flags = {
        flag for line in text.splitlines() if line.startswith(("flags", "Features")) for flag in line.split()
    }
    return "+".join(flag for flag in _MATTER if flag in flags) or "baseline"


def machine_name(instruction_set: str) -> str:
    """This machine for a page: what decides how its numbers round."""
    return f"{platform.machine()}, {instruction_set}"
