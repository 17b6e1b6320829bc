"""The script that runs in the engine's Python: with made-up libraries beside it, in a Python of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gate.serving import engine_facts
from gate.serving.engine_facts import version_commit

SOURCE = Path(engine_facts.__file__).read_text(encoding="utf-8")

# Reconstructed from amdsmi's reference (ROCm 6.4): its functions, and the keys they answer with.
AMDSMI = """
from enum import Enum
AmdSmiClkType = Enum("AmdSmiClkType", ["GFX", "MEM"])
def amdsmi_init(): pass
def amdsmi_shut_down(): pass
def amdsmi_get_processor_handles(): return [0, 1]
def amdsmi_get_gpu_asic_info(h):
    return {"target_graphics_version": "gfx950", "market_name": "AMD Instinct MI355X"}
def amdsmi_get_gpu_driver_info(h): return {"driver_name": "amdgpu", "driver_version": "6.14.14"}
def amdsmi_get_gpu_vram_usage(h): return {"vram_total": 294896, "vram_used": 283}
def amdsmi_get_gpu_process_list(h): return [{"name": "python3", "pid": 4711, "mem": 90000}]
def amdsmi_get_clock_info(h, kind):
    if kind is AmdSmiClkType.MEM: raise RuntimeError("AMDSMI_STATUS_NOT_SUPPORTED")
    return {"clk": 132, "min_clk": 500, "max_clk": 2400}
"""
TORCH = """
class version: hip, cuda = "7.1.25424", None
class cuda:
    device_count = staticmethod(lambda: 1)
    class get_device_properties:
        def __init__(self, index): pass
        gcnArchName, name, total_memory = "gfx942:sramecc+:xnack-", "AMD Instinct MI300X", 192 << 30
"""


def facts(folder: Path, **modules: str) -> dict[str, Any]:
    """What the script prints where these modules can be imported."""
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    environ = {**os.environ, "PYTHONPATH": str(folder), "ROCM_PATH": str(folder / "rocm")}
    return json.loads(printed([sys.executable, "-c", SOURCE], env=environ).removeprefix("gate-facts:"))


def printed(command: list[str], env: dict[str, str] | None = None) -> str:
    """What a command that succeeds prints."""
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


def package(folder: Path, version: str, direct_url: dict[str, Any] | None = None) -> Path:
    """A distribution named vllm."""
    metadata = folder / f"vllm-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    if direct_url:
        (metadata / "direct_url.json").write_text(json.dumps(direct_url))
    (folder / "vllm").mkdir()
    (folder / "vllm/__init__.py").write_text("raise SystemExit('the engine is read, never imported')")
    return folder / "vllm"


def test_amdsmi_tells_every_gpu_and_what_one_driver_does_not_know_is_left_out(tmp_path: Path) -> None:
    told = facts(tmp_path, amdsmi=AMDSMI, torch=TORCH)
    assert (
        told["gpus"]
        == [
            {
                "arch": "gfx950",
                "name": "AMD Instinct MI355X",
                "driver": "6.14.14",
                "memory_mib": 294896,
                "used_mib": 283,
                "clocks_mhz": [2400, None],
            }
        ]
        * 2
    )
    assert told["processes"] == [[4711, "python3"]]
    assert (told["hip"], told["torch_is_cpu_build"]) == ("7.1.25424", False)


def test_torch_tells_the_gpus_where_amdsmi_does_not_start(tmp_path: Path) -> None:
    broken = AMDSMI.replace("def amdsmi_init(): pass", "def amdsmi_init(): raise OSError('no driver')")
    told = facts(tmp_path, amdsmi=broken, torch=TORCH)
    assert told["amdsmi_error"] == "OSError"
    assert told["gpus"] == [
        {"arch": "gfx942:sramecc+:xnack-", "name": "AMD Instinct MI300X", "memory_mib": 196608}
    ]


def test_a_torch_that_cannot_be_imported_is_noted(tmp_path: Path) -> None:
    told = facts(tmp_path, torch="raise ImportError('libamdhip64.so.7: cannot open')")
    assert (told["torch_error"], told["gpus"]) == ("ImportError", [])


def test_the_release_of_rocm_is_read_where_it_is_installed(tmp_path: Path) -> None:
    (tmp_path / "rocm/.info").mkdir(parents=True)
    (tmp_path / "rocm/.info/version").write_text("7.1.0-43\n")
    assert facts(tmp_path)["rocm"] == "7.1.0-43"


def test_the_commit_is_the_one_that_the_build_noted(tmp_path: Path) -> None:
    vllm = package(tmp_path, "0.32.0")
    (vllm / "_version.py").write_text("__commit_id__ = commit_id = 'g9a1c0c4b7'\n")
    told = facts(tmp_path)
    assert (told["engine_version"], told["engine_commit"], told["importable"]) == (
        "0.32.0",
        "9a1c0c4b7",
        True,
    )


def test_the_commit_of_an_install_from_git_is_known(tmp_path: Path) -> None:
    commit = "9a1c0c4b7" + "0" * 31
    origin = {"url": "https://github.com/vllm-project/vllm", "vcs_info": {"vcs": "git", "commit_id": commit}}
    package(tmp_path, "0.32.0", origin)
    assert facts(tmp_path)["engine_commit"] == commit


class Checkout:
    """An editable install of a vllm in a git repository, built when another commit was its head."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.site = folder / "a checkout", folder
        self.package = self.folder / "vllm"
        self.package.mkdir(parents=True)
        (self.package / "kernel.py").write_text("slow")
        (self.package / "__init__.py").write_text("")
        (self.folder / ".gitignore").write_text("*.so\n_version.py\n__pycache__\n")
        printed(["git", "init", "-q", str(self.folder)])
        self.head = self.commit()
        (self.package / "_version.py").write_text("__commit_id__ = commit_id = 'g9a1c0c4b7'\n")
        metadata = folder / "vllm-0.32.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0\n")
        origin = {"url": self.folder.as_uri(), "dir_info": {"editable": True}}
        (metadata / "direct_url.json").write_text(json.dumps(origin))

    def commit(self) -> str:
        git = ["git", "-C", str(self.folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
        printed([*git, "add", "-A"])
        printed([*git, "commit", "-q", "-m", "a kernel"])
        return printed([*git, "rev-parse", "HEAD"])

    def told(self, path: str = os.environ["PATH"]) -> tuple[str | None, str | None, str | None]:
        """Its commit, edits and build."""
        environ = {**os.environ, "PYTHONPATH": f"{self.folder}:{self.site}", "PATH": path}
        found = json.loads(printed([sys.executable, "-c", SOURCE], env=environ).removeprefix("gate-facts:"))
        return found["engine_commit"], found["engine_edits"], found["engine_build"]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_an_editable_checkout_is_what_git_says_now_and_not_what_its_build_noted(checkout: Checkout) -> None:
    assert checkout.told() == (checkout.head, None, None)


def test_edits_of_the_package_that_no_commit_holds_are_told_apart(checkout: Checkout) -> None:
    (checkout.folder / "notes.txt").write_text("nothing that runs")
    assert checkout.told()[1] is None
    digests = []
    for text in ("faster", "fastest"):
        (checkout.package / "kernel.py").write_text(text)
        digests.append(checkout.told()[1])
    (checkout.package / "kernel.py").write_text("slow")  # as it was
    for text in ("one", "two"):
        (checkout.package / "new.py").write_text(text)
        digests.append(checkout.told()[1])
    assert len(set(digests)) == 4
    assert None not in digests
    assert checkout.told()[1] == digests[-1]
    (checkout.folder / "notes.txt").unlink()
    head = checkout.commit()
    assert checkout.told() == (head, None, None)


def test_libraries_that_were_compiled_again_are_told_apart(checkout: Checkout) -> None:
    digests = []
    for name, content in (("_C.so", b"1"), ("_C.so", b"2"), ("_moe_C.so", b"2")):
        for old in checkout.package.glob("*.so"):
            old.unlink()
        (checkout.package / name).write_bytes(content)
        digests.append(checkout.told()[2])
    assert len(set(digests)) == 3
    assert checkout.told()[:2] == (checkout.head, None)


def test_an_editable_checkout_that_git_cannot_read_has_no_commit(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "no-git").mkdir()
    assert checkout.told(path=str(tmp_path / "no-git")) == (None, "unreadable", None)


def test_an_editable_install_without_its_history_is_what_its_build_noted(checkout: Checkout) -> None:
    shutil.rmtree(checkout.folder / ".git")
    assert checkout.told() == ("9a1c0c4b7", None, None)


@pytest.mark.parametrize(
    ("version", "commit"),
    [
        ("0.32.0rc2.dev118+g9a1c0c4b7.rocm710", "9a1c0c4b7"),
        ("0.32.0.dev1+rocm710.g9a1c0c4b7", "9a1c0c4b7"),
        ("0.32.0+cpu", None),
        ("0.32.0", None),
    ],
)
def test_a_build_between_releases_has_its_commit_in_its_version(version: str, commit: str | None) -> None:
    assert version_commit(version) == commit
