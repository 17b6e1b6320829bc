"""What really ran, read from the engine's own log, and whether that is what the config expects.

A config can say AITER while the engine falls back to emulation or to BF16 activations with one line
in its log. `SHAPES` lists the lines this module understands, each with the vLLM version whose
source (or real log) it was read from. A fact is only taken from a complete log record
(`LEVEL MM-DD HH:MM:SS [file.py:N] message`), never from loose text. Workers that disagree give a
fact such as `A|B`, which equals no expectation. See docs/evidence.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple

from gate.errors import UsageError
from gate.model.evidence import Evidence, EvidenceCheck

EXPECT_KEYS: Final = frozenset(
    {
        *("moe", "experts", "scheme", "activation", "attention", "kv_cache_dtype", "tp"),
        *("pp", "dp", "ep", "quantization", "enforce_eager", "seed", "load_format", "engine_version"),
    }
)


FALLBACKS: Final = "fallbacks"
"""The check that the engine gave up on nothing, where only a log could say so and there is none."""

UNPROVEN: Final = EXPECT_KEYS | {FALLBACKS}
"""What `--accept-unproven` may name."""

_SOURCES: Final[Mapping[frozenset[str], Literal["log", "server_info", "log+server_info", "none"]]] = {
    frozenset(): "none",
    frozenset({"log"}): "log",
    frozenset({"server_info"}): "server_info",
    frozenset({"log", "server_info"}): "log+server_info",
}


class LineShape(NamedTuple):
    """One kind of log line: its named groups are facts, `fallback` is what the engine gave up on.

    `read_from` says where the shape was seen: versions whose source has it, `real` where a log of a
    real run is in tests/logs, `reconstructed` where only the source was read.
    """

    pattern: re.Pattern[str]
    read_from: str
    fallback: str | None = None
    files: frozenset[str] = frozenset()


_NAME: Final = r"[A-Z][A-Z0-9_]*"

SHAPES: Final = (
    LineShape(
        re.compile(rf"^Using '(?P<moe>{_NAME})' Mxfp4 MoE backend\."),
        "0.22.1 (real, H100), 0.32.0 oracle/mxfp4.py (real, CPU)",
    ),
    LineShape(
        re.compile(rf"^Using '?(?P<moe>{_NAME})'? (?:Fp8|NvFp4|Int8|MxFp8|Unquantized) MoE backend"),
        "0.32.0 oracle/{fp8,nvfp4,int8,mxfp8,unquantized}.py (reconstructed)",
    ),
    LineShape(
        re.compile(rf"^Using (?P<moe>{_NAME}) backend for (?:OCP_MX_Scheme\.)?(?P<scheme>w_[a-z0-9_]+)$"),
        "0.32.0 quark_moe.py (real, CPU)",
    ),
    LineShape(re.compile(r"^Using (?P<experts>\w*Experts\w*)$"), "0.32.0 oracle/*.py (real, CPU)"),
    LineShape(
        re.compile(r"^Using (?P<experts>\w+Experts) MOE backend\. This will dequantize weights on the fly"),
        "0.32.0 ocp_mx_emulation_moe.py (reconstructed)",
        fallback="emulation",
    ),
    LineShape(
        re.compile(r"^Using OCP MX emulation for the "),
        "0.32.0 oracle/mxfp4.py (reconstructed)",
        fallback="emulation",
    ),
    LineShape(
        re.compile(r"^No Mxfp4 MoE backend supports activation=.* Falling back to .* with BF16 activations"),
        "0.32.0 oracle/mxfp4.py (real, CPU)",
        fallback="moe_activation",
    ),
    LineShape(
        re.compile(r"Falling back to try the remaining available MoE backends"),
        "0.32.0 oracle/unquantized.py (reconstructed)",
        fallback="moe_backend",
    ),
    LineShape(
        re.compile(rf"^Using (?P<attention>{_NAME}) backend \(selected via --attention-backend\)"),
        "0.32.0 platforms/rocm.py (reconstructed)",
    ),
    LineShape(
        re.compile(rf"^Using (?P<attention>{_NAME}) (?:attention )?backend out of potential backends: "),
        "0.22.1 (real, H100), 0.32.0 platforms/{rocm,cuda}.py (reconstructed)",
    ),
    LineShape(
        re.compile(rf"^Using (?:AttentionBackendEnum\.)?(?P<attention>{_NAME}) backend\.$"),
        "0.32.0 platforms/{cuda,cpu}.py (reconstructed)",
        files=frozenset({"cuda.py", "cpu.py"}),
    ),
    LineShape(
        re.compile(
            rf"^Found incompatible backend\(s\) \[.*\] with .*\. "
            rf"Overriding with (?P<attention>{_NAME}) out of potential backends"
        ),
        "0.32.0 platforms/rocm.py (reconstructed)",
        fallback="attention_override",
    ),
    LineShape(
        re.compile(rf"^Selected backend {_NAME} is incompatible with this layer"),
        "0.32.0 platforms/rocm.py (reconstructed)",
        fallback="attention_override",
    ),
    LineShape(
        re.compile(r"^\[EP Rank \d+/(?P<ep>\d+)\] Expert parallelism is enabled"),
        "0.32.0 expert_map_manager.py (reconstructed)",
    ),
    LineShape(
        re.compile(r"^Unknown vLLM environment variable detected: (?P<ignored_environment>\w+)"),
        "0.32.0 platforms/interface.py (real, CPU)",
    ),
    LineShape(
        re.compile(r"^CUDA graph is not supported for .* fallback to "),
        "0.32.0 config/model.py (reconstructed)",
        fallback="cuda_graph",
    ),
    LineShape(
        re.compile(r"Unknown kv_cache_quant_algo .* Falling back to 'auto'"),
        "0.32.0 utils/torch_utils.py (reconstructed)",
        fallback="kv_cache_dtype",
    ),
    LineShape(
        re.compile(r"^Your device .* doesn't support .*\. Falling back to .* for compatibility"),
        "0.32.0 config/model.py (reconstructed)",
        fallback="dtype",
    ),
)

_CONFIG_LINE: Final = re.compile(
    r"^Initializing a V1 LLM engine \(v(?P<engine_version>[^)\s]+)\) with config: (?P<config>.*)$"
)
_SERVER_LINE: Final = re.compile(r"^vLLM API server version (?P<engine_version>\S+)$")
_ARGUMENTS_LINE: Final = re.compile(r"^non-default args: (?P<arguments>\{.*\})$")
_CONFIG_FACTS: Final = {
    "tensor_parallel_size": "tp",
    "pipeline_parallel_size": "pp",
    "data_parallel_size": "dp",
    "quantization": "quantization",
    "enforce_eager": "enforce_eager",
    "kv_cache_dtype": "kv_cache_dtype",
    "seed": "seed",
    "load_format": "load_format",
    "dtype": "dtype",
    "max_seq_len": "max_model_len",
}
_CONFIG_ITEM: Final = re.compile(rf"(?:^|, )({'|'.join(_CONFIG_FACTS)})=([^,\s]+)(?=,|$)")

_RECORD: Final = re.compile(
    r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d:\d\d "
    r"\[(?P<file>[^\]:]+):\d+\] (?P<message>.*)$"
)
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

# `_backend_activation_key` of vLLM 0.32.0's oracle/mxfp4.py. EMULATION is absent: its activations
# are those of the scheme. A backend that is not here proves nothing about activations.
_ACTIVATION_OF_BACKEND: Final = {
    "AITER_MXFP4_FP8": "fp8",
    "DEEPGEMM_MXFP4": "fp8",
    "AITER_MXFP4_MXFP4": "mxfp4",
    "CUTLASS_MXFP4_MXFP4": "mxfp4",
    "B12X_MXFP4_MXFP8": "mxfp8",
    "FLASHINFER_TRTLLM_MXFP4_MXFP8": "mxfp8",
    "FLASHINFER_CUTLASS_MXFP4_MXFP8": "mxfp8",
    **dict.fromkeys(
        (
            *("AITER_MXFP4_BF16", "AITER_TRITON_MXFP4_BF16", "TRITON", "TRITON_UNFUSED", "MARLIN"),
            *("BATCHED_MARLIN", "HUMMING", "XPU", "CPU", "B12X_MXFP4_BF16"),
            *("FLASHINFER_TRTLLM_MXFP4_BF16", "FLASHINFER_CUTLASS_MXFP4_BF16"),
        ),
        "bf16",
    ),
}
_ALIASES: Final = {"kv_cache_dtype": {"fp8_e4m3": "fp8"}}
# A fallback to something is no surprise when the config expects exactly that fact.
_COVERED_BY: Final = {"emulation": ("moe", "EMULATION"), "attention_override": ("attention", None)}


class EvidenceReader:
    """Reads log lines one at a time, so that a log of any length needs no memory."""

    def __init__(self) -> None:
        self._values: dict[str, dict[str, None]] = {}
        self._fallbacks: dict[str, None] = {}
        self._lines = 0

    def feed(self, line: str) -> None:
        """Take one line, with or without its end, in whatever process prefix it comes."""
        record = _RECORD.search(_ANSI.sub("", line).rstrip() if "\x1b" in line else line.rstrip())
        if record is None:
            return
        self._lines += 1
        message = record["message"]
        if found := _CONFIG_LINE.match(message):
            self._note("engine_version", found["engine_version"])
            for key, value in _CONFIG_ITEM.findall(found["config"]):
                self._note(_CONFIG_FACTS[key], value.strip("'\""))
            return
        if found := _SERVER_LINE.match(message):
            self._note("engine_version", found["engine_version"])
            return
        if found := _ARGUMENTS_LINE.match(message):
            if "'enable_expert_parallel': True" not in found["arguments"]:
                self._note("ep", "1")
            return
        for shape in SHAPES:
            if shape.files and record["file"].rsplit("/", 1)[-1] not in shape.files:
                continue
            if found := shape.pattern.search(message):
                for fact, value in found.groupdict().items():
                    self._note(fact, value)
                if shape.fallback:
                    self._fallbacks[shape.fallback] = None
                return

    def evidence(self) -> Evidence:
        """Facts and fallbacks of everything fed so far."""
        joined = {fact: "|".join(sorted(values)) for fact, values in self._values.items()}
        fallbacks = dict(self._fallbacks)
        if "EMULATION" in self._values.get("moe", {}):
            fallbacks["emulation"] = None
        if "moe_activation" in fallbacks:
            joined["activation"] = "bf16"
        elif activation := _activation(joined.get("moe"), joined.get("scheme")):
            joined["activation"] = activation
        return Evidence(
            facts=dict(sorted(joined.items())),
            fallbacks=tuple(sorted(fallbacks)),
            source="log" if self._lines else "none",
        )

    def _note(self, fact: str, value: str) -> None:
        self._values.setdefault(fact, {})[value] = None


def read_evidence(lines: Iterable[str]) -> Evidence:
    """Facts and fallbacks of a whole log."""
    reader = EvidenceReader()
    for line in lines:
        reader.feed(line)
    return reader.evidence()


def read_log(path: Path) -> Evidence:
    """Facts and fallbacks of a log file, read line by line: it may be large.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return read_evidence(lines)
    except OSError as error:
        raise UsageError(
            f"cannot be read: {error.strerror}",
            where=str(path),
            hint="check the path, and whether this user may read it",
        ) from error


def merged(first: Evidence, second: Evidence) -> Evidence:
    """What two engines, or two sources, say together; where they disagree a fact is `A|B`, as in one log."""
    facts = dict(first.facts)
    for fact, value in second.facts.items():
        facts[fact] = "|".join(sorted({*facts.get(fact, value).split("|"), *value.split("|")}))
    return Evidence(
        facts=dict(sorted(facts.items())),
        fallbacks=tuple(sorted({*first.fallbacks, *second.fallbacks})),
        source=_SOURCES[frozenset({*first.source.split("+"), *second.source.split("+")} - {"none"})],
    )


def check_evidence(
    evidence: Evidence,
    expect: Mapping[str, str],
    allow_fallback: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    accept_unproven: Collection[str] = (),
) -> tuple[EvidenceCheck, ...]:
    """Hold what ran against what the config expects.

    Args:
        evidence: what the engine reported.
        expect: fact -> value, keys of `EXPECT_KEYS`; a fact the log does not hold fails with `found` None.
        allow_fallback: fallbacks the config accepts; any other one fails as `fallback:<name>`.
        environment: the config's own variables; one that the engine did not recognise fails as
            `environment:<name>`, because the setting under test had no effect.
        accept_unproven: facts, and `fallbacks`, that nothing needs to confirm. What contradicts fails all
            the same.
    """
    checks = [_check(fact, expected, evidence.facts.get(fact)) for fact, expected in sorted(expect.items())]
    met = {check.fact: check.expected for check in checks if check.ok}
    checks += [
        EvidenceCheck(fact=f"fallback:{name}", expected="none", found=name, ok=False)
        for name in evidence.fallbacks
        if name not in allow_fallback and not _covered(name, met)
    ]
    if "log" not in evidence.source:
        # Only the log says what the engine gave up on.
        wanted = f"none but {', '.join(sorted(allow_fallback))}" if allow_fallback else "none"
        checks.append(EvidenceCheck(fact=FALLBACKS, expected=wanted, found=None, ok=False))
    ignored = set(evidence.facts.get("ignored_environment", "").split("|"))
    checks += [
        EvidenceCheck(fact=f"environment:{name}", expected="recognised", found="ignored", ok=False)
        for name in sorted(ignored & set(environment or {}))
    ]
    return tuple(_accepted(check) if check.fact in accept_unproven else check for check in checks)


def _accepted(check: EvidenceCheck) -> EvidenceCheck:
    return check if check.found is not None else check.model_copy(update={"ok": True, "accepted": True})


def _check(fact: str, expected: str, found: str | None) -> EvidenceCheck:
    ok = found is not None and _canonical(fact, found) == _canonical(fact, expected)
    return EvidenceCheck(fact=fact, expected=expected, found=found, ok=ok)


def _canonical(fact: str, value: str) -> str:
    plain = value.strip().casefold()
    return _ALIASES.get(fact, {}).get(plain, plain)


def _covered(fallback: str, met: Mapping[str, str]) -> bool:
    if fallback not in _COVERED_BY:
        return False
    fact, value = _COVERED_BY[fallback]
    return fact in met and (value is None or met[fact].casefold() == value.casefold())


def _activation(moe: str | None, scheme: str | None) -> str | None:
    """What the experts' activations were computed in; None where the log does not prove it."""
    if moe == "EMULATION":
        if scheme is None or "|" in scheme:
            return None
        return scheme.partition("_a_")[2] or "bf16"
    return _ACTIVATION_OF_BACKEND.get(moe) if moe else None
