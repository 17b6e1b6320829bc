"""What ran, as the engine said, and how that compares with what the config expects."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gate.model.fields import Frozen


class Evidence(Frozen):
    """What ran, as the engine itself reported it.

    `facts` keys are those of `expect` in a config (moe, experts, scheme, activation, attention,
    kv_cache_dtype, tp, ...) plus engine_version; `fallbacks` names what the engine gave up on.
    """

    facts: dict[str, str] = Field(default={})
    fallbacks: tuple[str, ...] = ()
    source: Literal["log", "server_info", "log+server_info", "none"] = "none"


class EvidenceCheck(Frozen):
    """One `expect` key against what the engine reported.

    `accepted`: nothing confirms it, and whoever asked for the verdict accepted that (`--accept-unproven`).
    """

    fact: str
    expected: str
    found: str | None
    ok: bool
    accepted: bool = False
