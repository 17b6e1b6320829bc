"""The environment the engine gets: an allow-list, because the engine is contributors' code.

Nothing of GitHub's (GITHUB_*, ACTIONS_*, RUNNER_*), no token and no proxy password reaches it unless
the config names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gate.errors import UsageError

CONVERSATION_DATE: Final = "2026-01-01"
CONVERSATION_DATE_VARIABLE: Final = "VLLM_SYSTEM_START_DATE"

_NAMES: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH", "VIRTUAL_ENV", "CC", "CXX"),
        *("HF_HOME", "HF_HUB_CACHE", "HF_MODULES_CACHE", "HF_HUB_OFFLINE", "TIKTOKEN_ENCODINGS_BASE"),
        *("GPU_DEVICE_ORDINAL", "GPU_MAX_HW_QUEUES", "SAFETENSORS_FAST_GPU"),
    }
)
_PREFIXES: Final = (
    *("LC_", "VLLM_", "HIP_", "HSA_", "ROCR_", "ROCM_", "MIOPEN_", "AITER_", "CK_", "AMD_", "RCCL_"),
    *("CUDA_", "NVIDIA_", "NCCL_", "FLASHINFER_", "FLASH_ATTENTION_", "TRITON_", "TORCH_"),
    *("TORCHINDUCTOR_", "PYTORCH_", "OMP_", "MKL_", "KMP_", "GLOO_"),
)
_SECRET_ENDINGS: Final = ("TOKEN", "KEY", "SECRET", "PASSWORD", "CREDENTIALS")

# The evidence is read from INFO records in plain text; other levels or formats would hide it, and
# DEBUG or response logging would write prompts and answers to the log.
_FORCED: Final = {
    "VLLM_LOGGING_LEVEL": "INFO",
    "VLLM_CONFIGURE_LOGGING": "1",
    "VLLM_LOGGING_COLOR": "0",
    "NO_COLOR": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "PYTHONUNBUFFERED": "1",
}
_REFUSED: Final = frozenset(
    {
        *("VLLM_LOGGING_CONFIG_PATH", "VLLM_LOGGING_STREAM", "VLLM_LOGGING_PREFIX"),
        *("VLLM_DEBUG_LOG_API_SERVER_RESPONSE", "VLLM_API_KEY"),
    }
)


def inherited(outer: Mapping[str, str]) -> dict[str, str]:
    """The part of `outer` that the allow-list lets through."""
    return {name: value for name, value in outer.items() if _allowed(name)}


def engine_environment(
    config: Mapping[str, str], *, outer: Mapping[str, str], command: str, offline: bool = True
) -> dict[str, str]:
    """Environment of the engine: allow-listed `outer`, then defaults, then the config's, then ours.

    Args:
        config: the cell's `env`.
        outer: usually `os.environ`.
        command: the engine's executable; its folder goes first on PATH, for the tools beside it.
        offline: sets HF_HUB_OFFLINE=1, so that a measurement never downloads.

    Raises:
        UsageError: the config sets a variable that would hide the evidence or leak prompts.
    """
    if refused := sorted(name for name in config if name in _REFUSED or name in _FORCED):
        raise UsageError(
            f"env sets {', '.join(refused)}, which the gate sets itself",
            hint="remove it from the config: the evidence is read from INFO records on standard output",
        )
    result = inherited(outer)
    if offline:
        result["HF_HUB_OFFLINE"] = "1"
    result[CONVERSATION_DATE_VARIABLE] = CONVERSATION_DATE
    result.update(config)
    result.update(_FORCED)
    folder = Path(command).parent
    if folder != Path():
        result["PATH"] = os.pathsep.join([str(folder.absolute()), result.get("PATH", os.defpath)])
    return result


def is_secret(name: str) -> bool:
    """Whether a variable of this name would hold a secret."""
    return name.upper().endswith(_SECRET_ENDINGS)


def _allowed(name: str) -> bool:
    if name in _REFUSED or is_secret(name):
        return False
    return name in _NAMES or name.startswith(_PREFIXES)
