"""What a running vLLM says of itself over HTTP: `/server_info`, `/version` and `/v1/models`, read.

`/server_info?config_format=json` is there only with VLLM_SERVER_DEV_MODE=1. It holds the configuration, which
is what was asked for and resolved; which kernels were chosen, and what was given up on, is only in the log.
It also holds tokens and paths (`hf_token`, `env_vars`), so nothing of it is kept but what is listed here.
Read from vLLM 0.32.0 (entrypoints/serve/dev/server_info/api_router.py; a real answer is in tests/logs).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gate.model.evidence import Evidence
from gate.serving.environment import CONVERSATION_DATE_VARIABLE

_FACTS: Final = {
    "tp": ("parallel_config", "tensor_parallel_size"),
    "pp": ("parallel_config", "pipeline_parallel_size"),
    "dp": ("parallel_config", "data_parallel_size"),
    "quantization": ("model_config", "quantization"),
    "enforce_eager": ("model_config", "enforce_eager"),
    "seed": ("model_config", "seed"),
    "dtype": ("model_config", "dtype"),
    "max_model_len": ("model_config", "max_model_len"),
    "kv_cache_dtype": ("cache_config", "cache_dtype"),
    "load_format": ("load_config", "load_format"),
}
_VERSIONS: Final = {
    "torch": "torch_version",
    "rocm": "hip_runtime_version",
    "cuda": "cuda_compiled_version",
    "driver": "nvidia_driver_version",
    "gpus": "nvidia_gpu_models",
    "python": "python_version",
}
_SAFE: Final = re.compile(r"[A-Za-z0-9_.:+-]{1,100}")
_ABSENT: Final = frozenset({"None", "N/A", ""})


class ServerInfo(NamedTuple):
    """What of `/server_info` is used: facts for `expect`, versions, the date that the model is told."""

    facts: Mapping[str, str]
    versions: Mapping[str, str]
    conversation_date: str | None
    revision: str | None

    def evidence(self) -> Evidence:
        """The facts as evidence."""
        return Evidence(facts=dict(self.facts), source="server_info")


class ServedModel(NamedTuple):
    """One entry of `/v1/models`: the name for requests, what it was loaded from, its longest context."""

    id: str
    root: str | None
    max_model_len: int | None


def read_server_info(document: Any) -> ServerInfo | None:  # noqa: ANN401 - somebody else's JSON
    """The facts in an answer of `/server_info?config_format=json`; None if it is not one."""
    config = _inside(document, "vllm_config")
    if not isinstance(config, dict):
        return None
    facts = {fact: _value(_inside(config, *path)) for fact, path in _FACTS.items()}
    # As in the log, where 1 stands for off; the size of a group is only in the log.
    if _inside(config, "parallel_config", "enable_expert_parallel") is False:
        facts["ep"] = "1"
    system = {name: _value(_inside(document, "system_env", key)) for name, key in _VERSIONS.items()}
    return ServerInfo(
        facts={fact: value for fact, value in sorted(facts.items()) if value},
        versions={name: value for name, value in system.items() if value},
        conversation_date=_value(_inside(document, "vllm_env", CONVERSATION_DATE_VARIABLE)) or None,
        revision=_value(_inside(config, "model_config", "revision")) or None,
    )


def read_models(document: Any) -> tuple[ServedModel, ...]:  # noqa: ANN401 - somebody else's JSON
    """The models of an answer of `/v1/models`, adapters (which have a parent) left out."""
    listed = document.get("data") if isinstance(document, dict) else None
    found = []
    for entry in listed if isinstance(listed, list) else ():
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str) or entry.get("parent"):
            continue
        root, length = entry.get("root"), entry.get("max_model_len")
        found.append(
            ServedModel(
                id=entry["id"],
                root=root if isinstance(root, str) else None,
                max_model_len=length if type(length) is int else None,
            )
        )
    return tuple(found)


def read_version(document: Any) -> str | None:  # noqa: ANN401 - somebody else's JSON
    """The version in an answer of `/version`."""
    return _value(document.get("version")) or None if isinstance(document, dict) else None


def _inside(document: Any, *path: str) -> Any:  # noqa: ANN401 - somebody else's JSON
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _value(found: object) -> str:
    """A scalar as the log writes it; empty for everything else and for what no report would show."""
    if not isinstance(found, (str, int, float)):
        return ""
    text = str(found).splitlines()[0].split(" (")[0].strip().replace(" ", "_") if str(found) else ""
    return "" if text in _ABSENT or not _SAFE.fullmatch(text) else text
