"""Fingerprints, run records and baselines of a made-up cell, for the tests of everything that reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random
from typing import Any

from gate.baseline.calibration import fingerprint_sha256
from gate.baseline.collect import add_run
from gate.model.baseline import Baseline
from gate.model.calibration import Calibration
from gate.model.canonical import sha256_of
from gate.model.cell import Cell
from gate.model.evidence import Evidence
from gate.model.fingerprint import Fingerprint
from gate.model.record import RunRecord

CELL = Cell(arch="gfx950", config="gpt-oss-20b", backend="aiter")
PROVENANCE = {"gate_version": "0.1.0", "commit": "a" * 40, "date": "2026-11-23T10:00:00+00:00"}


def question_ids(total: int) -> tuple[str, ...]:
    """`total` ids, ascending."""
    return tuple(sorted(hashlib.sha256(f"question {i}".encode()).hexdigest()[:12] for i in range(total)))


def fingerprint(questions: Sequence[str], **changes: Any) -> Fingerprint:
    """The fingerprint of the made-up cell over these questions."""
    fields: dict[str, Any] = {
        "cell": CELL,
        "task": "gpqa_diamond",
        "protocol": "independent",
        "endpoint": "responses",
        "dataset_sha256": "d" * 64,
        "questions_sha256": sha256_of(list(questions)),
        "prompt_sha256": "e" * 64,
        "grader": "gpt_oss/0.0.9",
        "model": "amd/gpt-oss-20b-MoE-Quant-W-MXFP4-A-FP8-KV-FP8",
        "model_revision": "c" * 40,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "max_tokens": 4096,
        "max_model_len": None,
        "reasoning_effort": "low",
        "conversation_date": "2026-01-01",
        "launch_preset": "plain",
    }
    return Fingerprint(**(fields | changes))


def run_record(
    seed: int,
    *,
    total: int = 30,
    repeats: int = 4,
    accuracy: float = 0.58,
    length: int = 900,
    provenance: dict[str, str] | None = None,
    **changes: Any,
) -> RunRecord:
    """A complete fixed-size run: each sample correct with `accuracy`, about one in fifty invalid."""
    draw = Random(seed)  # noqa: S311
    questions = question_ids(total)
    chances = [min(max(accuracy + 0.3 * (((7 * i) % 11) - 5) / 5, 0.02), 0.98) for i in range(total)]
    rows = [
        "".join("1" if draw.random() < c else ("x" if draw.random() < 0.05 else "0") for c in chances)
        for _ in range(repeats)
    ]
    mark = fingerprint(questions)
    fields: dict[str, Any] = {
        "purpose": "baseline",
        "cell": mark.cell,
        "family_size": 1,
        "alpha": 0.01,
        "alpha_pass": 0.05,
        "margin": 0.03,
        "tolerated_loss": 0.0,
        "baseline_repeats": 0,
        "max_repeats": repeats,
        "baseline_sha256": None,
        "question_order_seed": f"{seed:032x}",
        "stream": f"{seed:032x}",
        "fingerprint": mark,
        "provenance": provenance or PROVENANCE,
        "evidence": Evidence(facts={"moe": "AITER_MXFP4_FP8"}, source="log"),
        "questions": questions,
        "look_at": (),
        "outcomes": tuple(rows),
        "tokens": tuple(tuple(draw.randrange(length // 2, length * 3 // 2) for _ in row) for row in rows),
        "finish": tuple("".join("l" if c == "x" else "s" for c in row) for row in rows),
        "generated": total * repeats,
        "seconds": 61.5,
    }
    return RunRecord(**(fields | changes))


def full_provenance(number: int) -> dict[str, str]:
    """As much as a run on a ROCm runner has to say of itself."""
    return PROVENANCE | {
        "dirty": "false",
        "run_url": f"https://github.com/vllm-project/vllm/actions/runs/{19283746501 + number}",
        "server_args": "--attention-backend ROCM_AITER_UNIFIED_ATTN --kv-cache-dtype fp8 --moe-backend auto "
        "--max-model-len 32768 --tensor-parallel-size 1 --max-num-seqs 256 --trust-remote-code",
        "engine_version": "0.32.0rc2.dev118+g9a1c0c4b7.rocm710",
        "engine_commit": "9a1c0c4b7" + "0" * 31,
        "image": "sha256:" + "7" * 64,
        "gpu": "AMD Instinct MI355X",
        "driver": "6.14.14",
        "rocm": "7.1.0",
        "aiter": "0.1.7.post3",
        "amd_quark": "0.11.1",
        "torch": "2.13.0+rocm7.1",
        "ran.moe": "AITER_MXFP4_FP8",
        "ran.attention": "ROCM_AITER_UNIFIED_ATTN",
        "ran.kv_cache_dtype": "fp8",
        "ran.scheme": "w_mxfp4_a_fp8",
        "ran.activation": "fp8",
    }


def baseline(runs: int = 2, **settings: Any) -> Baseline:
    """A baseline of `runs` runs, each a `run_record(seed, **settings)`."""
    grown = None
    for seed in range(runs):
        grown = add_run(
            grown,
            run_record(seed, **settings),
            accepted_by="octocat",
            reason=f"run {seed} of the first collection",
            date="2026-11-23",
        )
    assert grown is not None
    return grown


def calibration(**changes: Any) -> Calibration:
    """A calibration of the made-up cell over 60 questions."""
    values: dict[str, Any] = {
        "cell": CELL,
        "fingerprint_sha256": fingerprint_sha256(fingerprint(question_ids(60))),
        "questions": 60,
        "runs": [],
        "plan": {},
        "within": 0.1,
        "deviation": 0.01,
        "deviation_interval": [0.001, 0.04],
        "tolerated_loss": 0.02,
        "false_alarms": {
            "nominal": 0.01,
            "untreated": 0.03,
            "expected": 0.01,
            "measured": 0.02,
            "runs": 4,
        },
        "gate_version": "0.1.0",
    }
    return Calibration.model_validate(values | changes)
