"""GPU memory that is taken before an engine starts, or is still taken after it was stopped.

A killed worker can leave memory behind (a hung driver, a child that detached itself): the next engine then
fails for want of memory, minutes later and with another message. Nvidia's is told by nvidia-smi, AMD's by the
kernel (`mem_info_vram_used` of amdgpu).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from gate.serving.gpu import ask_nvidia

TAKEN_MIB: Final = 1024
"""What a driver and a display take is less."""
RELEASE_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.5
VISIBLE: Final = ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES")

Ask = Callable[[], Mapping[int, int]]


def used_memory(root: Path = Path("/")) -> dict[int, int]:
    """MiB in use on each GPU by number; empty where nobody tells; `root` is / but in tests."""
    cards = sorted(
        root.glob("sys/class/drm/card[0-9]*/device/mem_info_vram_used"),
        key=lambda path: int(re.sub(r"\D", "", path.parts[-3])),
    )
    if cards:
        return {number: int(path.read_text()) >> 20 for number, path in enumerate(cards)}
    return {number: gpu.used for number, gpu in enumerate(ask_nvidia()) if gpu.used is not None}


class GpuMemory:
    """The memory of the GPUs that one engine sees, from before its start until after its end.

    Args:
        environment: the engine's; its VISIBLE_DEVICES say which GPUs are its own.
        ask: MiB in use, by GPU.
    """

    def __init__(self, environment: Mapping[str, str], ask: Ask = used_memory) -> None:
        self._environment = environment
        self._ask = ask
        self._before: dict[int, int] = {}

    async def look_before(self) -> tuple[str, ...]:
        """Remember what is in use now; a sentence for each GPU that is not free."""
        self._before = await self._now()
        return tuple(
            f"GPU {number} holds {used:,} MiB before the engine starts: somebody else uses it, or an engine "
            "that was killed left it behind"
            for number, used in self._before.items()
            if used >= TAKEN_MIB
        )

    async def look_after(self, seconds: float = RELEASE_SECONDS) -> tuple[str, ...]:
        """Wait until the memory is free again, bounded; a sentence for each GPU where it is not."""
        deadline = time.monotonic() + seconds
        while leaked := await self._leaked():
            if time.monotonic() >= deadline:
                return tuple(
                    f"GPU {number} still holds {more:,} MiB more than before the engine started"
                    for number, more in leaked.items()
                )
            await asyncio.sleep(POLL_SECONDS)
        return ()

    async def _leaked(self) -> dict[int, int]:
        more = {n: used - self._before.get(n, used) for n, used in (await self._now()).items()}
        return {number: mib for number, mib in more.items() if mib >= TAKEN_MIB}

    async def _now(self) -> dict[int, int]:
        used = dict(await asyncio.to_thread(self._ask))
        given = next((self._environment[name] for name in VISIBLE if self._environment.get(name)), "")
        # By UUID, or not at all: then all of them.
        ours = {int(word) for word in given.split(",") if word.strip().isdigit()} or used.keys()
        return {number: mib for number, mib in used.items() if number in ours}
