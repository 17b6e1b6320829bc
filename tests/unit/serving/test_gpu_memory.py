"""Memory that somebody else holds, or that a stopped engine left behind, from what the tools print."""

from pathlib import Path

import pytest

from gate.serving import gpu_memory
from gate.serving.gpu import read_nvidia
from gate.serving.gpu_memory import GpuMemory, used_memory

# Of an H200 with an engine on the first GPU; fields as in gate/serving/gpu.py.
NVIDIA = """\
9.0, NVIDIA H200, 570.133.20, 143771 MiB, 131072 MiB, 1980 MHz, 3201 MHz, 700.00 W
9.0, NVIDIA H200, 570.133.20, 143771 MiB, 4 MiB, 1980 MHz, 3201 MHz, 700.00 W
"""


def cards(root: Path, *used: int) -> Path:
    """The files of amdgpu, the second card of which has a number of two digits."""
    for number, mib in zip((1, 9, 10), used, strict=False):
        device = root / f"sys/class/drm/card{number}/device"
        device.mkdir(parents=True)
        (device / "mem_info_vram_used").write_text(f"{mib << 20}\n")
    (root / "sys/class/drm/card0/device").mkdir(parents=True)  # a display adapter
    return root


def test_the_kernel_tells_of_amds_in_the_order_of_the_cards(tmp_path):
    assert used_memory(cards(tmp_path, 10, 20_000, 30)) == {0: 10, 1: 20_000, 2: 30}


def test_nvidia_smi_tells_of_nvidias(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_memory, "ask_nvidia", lambda: read_nvidia(NVIDIA))
    assert used_memory(tmp_path) == {0: 131_072, 1: 4}


def test_without_gpus_there_is_nothing_to_tell(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_memory, "ask_nvidia", tuple)
    assert used_memory(tmp_path) == {}


@pytest.mark.parametrize(
    ("environment", "told"),
    [({}, "GPU 1"), ({"HIP_VISIBLE_DEVICES": "1"}, "GPU 1"), ({"CUDA_VISIBLE_DEVICES": "GPU-8f1c"}, "GPU 1")],
)
async def test_a_gpu_that_is_not_free_is_told_before_the_start(environment, told):
    (said,) = await GpuMemory(environment, lambda: {0: 100, 1: 70_000}).look_before()
    assert said.startswith(f"{told} holds 70,000 MiB before the engine starts")


async def test_a_gpu_of_another_cell_is_none_of_our_business():
    assert await GpuMemory({"HIP_VISIBLE_DEVICES": "0"}, lambda: {0: 100, 1: 70_000}).look_before() == ()


async def test_memory_that_is_released_within_the_time_is_no_leak(monkeypatch):
    monkeypatch.setattr(gpu_memory, "POLL_SECONDS", 0.001)
    used = iter([{0: 10}, {0: 70_000}, {0: 30_000}, {0: 12}])
    memory = GpuMemory({}, lambda: next(used))
    assert await memory.look_before() == ()
    assert await memory.look_after() == ()


async def test_memory_that_stays_is_told(monkeypatch):
    monkeypatch.setattr(gpu_memory, "POLL_SECONDS", 0.001)
    used = iter([{0: 500, 1: 500}])
    memory = GpuMemory({}, lambda: next(used, {0: 9_500, 1: 600}))
    await memory.look_before()
    assert await memory.look_after(seconds=0.01) == (
        "GPU 0 still holds 9,000 MiB more than before the engine started",
    )
