"""The plugin in the engine's environment: its numbers against ones worked out here, its place in vLLM."""

from __future__ import annotations

import json
import math
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gate.embedded.faults import FAULTS, HEALTHY
from gate.serving.engine_log import check_evidence
from gate.serving.launch import LocalProcess
from gate.serving.server import serve
from tests.conftest import EmbeddedEngine

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
EXPERTS, HIDDEN, INNER, TOKENS, CHOSEN = 4, 64, 32, 9, 2
REGISTER = "from vllm.plugins import load_general_plugins as load; load()"


def in_engine(
    engine: EmbeddedEngine, root: Path, arguments: list[str], text: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the engine's Python with the repository's plugin in front of the installed one."""
    return subprocess.run(
        [str(engine.command.with_name("python")), *arguments],
        cwd=root,
        env={
            **os.environ,
            "PYTHONPATH": str(root / "gate/embedded/plugin"),
            "VLLM_LOGGING_LEVEL": "ERROR",
            **environment,
        },
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def probe(engine: EmbeddedEngine, root: Path, *requests: dict, **environment: str) -> list:
    done = in_engine(engine, root, ["tests/support/plugin_probe.py"], json.dumps(requests), **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def value_of(code: int, scale: int) -> float:
    return (-1 if code & 8 else 1) * E2M1[code & 7] * 2.0 ** (scale - 127)


def unpacked(weight: dict) -> np.ndarray:
    """(E, N, K) values of a packed weight."""
    codes, scales = np.array(weight["codes"]), np.array(weight["scales"])
    values = np.empty((*codes.shape[:2], codes.shape[2] * 2))
    for (expert, row, column), byte in np.ndenumerate(codes):
        scale = int(scales[expert, row, column // 16])
        values[expert, row, 2 * column] = value_of(int(byte) & 15, scale)
        values[expert, row, 2 * column + 1] = value_of(int(byte) >> 4, scale)
    return values


def fp8(value: float, scale: float) -> float:
    """`value` after e4m3: three bits of mantissa, smallest step 2^-9, largest 448, ties to even."""
    scaled = min(max(value / scale, -448.0), 448.0)
    step = 2.0 ** (max(math.floor(math.log2(abs(scaled))), -6) - 3) if scaled else 1.0
    return round(scaled / step) * step * scale


def layer() -> dict:
    """A layer of random experts, of which one gets no token."""
    random = np.random.default_rng(7)

    def weight(rows: int, columns: int) -> dict:
        return {
            "codes": random.integers(0, 256, (EXPERTS, rows, columns // 2)).tolist(),
            "scales": random.integers(122, 126, (EXPERTS, rows, columns // 32)).tolist(),
            "bias": random.normal(0, 0.5, (EXPERTS, rows)).round(2).tolist(),
        }

    return {
        "do": "experts",
        "gate_up": weight(2 * INNER, HIDDEN),
        "down": weight(HIDDEN, INNER),
        "tokens": (random.integers(-32, 33, (TOKENS, HIDDEN)) / 16).tolist(),
        "chosen": [random.choice(EXPERTS - 1, CHOSEN, replace=False).tolist() for _ in range(TOKENS)],
        "weights": random.dirichlet([1, 1], TOKENS).tolist(),
        "activation_scales": None,
    }


ROUNDED = [0.0, 1.0, 1.0625, 1.1875, -3.3, 447.0, 500.0, -1e9, 0.001, 0.0009765625, 17.0, 0.3]
EVERY_BYTE = {"codes": np.arange(256).reshape(1, 2, 128).tolist(), "scales": [[[127] * 8, [120] * 8]]}
LAYER = layer()
STATIC_FP8 = {**LAYER, "activation_scales": [0.01, 0.05]}
HEADS, WIDTH, READ = 2, 32, 7


def attention_of(kind: str) -> dict:
    """A few tokens that read each other through a cache of this kind, with scales that leave FP8 coarse."""
    random = np.random.default_rng(11)
    tokens = {
        name: (random.integers(-48, 49, (READ, HEADS, WIDTH)) / 16).tolist()
        for name in ("query", "key", "value")
    }
    return {"do": "attention", **tokens, "scale": 0.2, "scales": [0.011, 0.9], "cache": kind}


REQUESTS = {
    "every byte": {"do": "dequantize", **EVERY_BYTE},
    "scales": {"do": "dequantize", "codes": [[[0x22] * 48]], "scales": [[[126, 130, 1]]]},
    "too few scales": {"do": "dequantize", "codes": [[[0] * 32]], "scales": [[[127]]]},
    "nan scale": {"do": "dequantize", "codes": [[[0] * 16]], "scales": [[[255]]]},
    "swap": {"do": "swap", "codes": [[[0x12, 0xF0, 0x77]]], "scales": [[[0]]]},
    "fp8": {"do": "round", "values": ROUNDED, "scale": 1.0},
    "fp8 by half": {"do": "round", "values": ROUNDED, "scale": 0.5},
    "fp8 cache": attention_of("fp8"),
    "other cache": attention_of("auto"),
    "bf16 experts": LAYER,
    "fp8 experts": STATIC_FP8,
}


@pytest.fixture(scope="module")
def answers(embedded_engine: EmbeddedEngine, root: Path) -> dict:
    """What the plugin answers to each of `REQUESTS`, from one process: PyTorch is slow to start."""
    return dict(zip(REQUESTS, probe(embedded_engine, root, *REQUESTS.values()), strict=True))


def test_every_byte_is_read_as_two_codes_low_nibble_first(answers: dict):
    assert answers["every byte"]["values"] == unpacked(EVERY_BYTE).tolist()


def test_weights_are_float32_of_which_every_value_is_exact_in_bfloat16(answers: dict):
    assert answers["every byte"]["type"] == "torch.float32"
    assert answers["every byte"]["exact"]


def test_a_scale_is_a_power_of_two_for_32_columns(answers: dict):
    assert answers["scales"]["values"][0][0][::32] == [0.5, 8.0, 2.0**-126]


def test_shapes_that_do_not_match_are_refused(answers: dict):
    assert "do not match" in answers["too few scales"]


def test_a_nan_scale_is_refused(answers: dict):
    assert "NaN" in answers["nan scale"]


def test_swapped_nibbles_change_places_within_their_byte(answers: dict):
    assert answers["swap"] == [[[0x21, 0x0F, 0x77]]]


@pytest.mark.parametrize(("name", "scale"), [("fp8", 1.0), ("fp8 by half", 0.5)])
def test_static_fp8_rounds_to_even_and_saturates(answers: dict, name: str, scale: float):
    assert answers[name] == [fp8(value, scale) for value in ROUNDED]
    assert answers[name][6:8] == [min(500.0, 448.0 * scale), -448.0 * scale]


def attended(request: dict, *, rounded: bool) -> np.ndarray:
    """What causal attention gives, (READ, HEADS, WIDTH); `rounded`: keys and values went through FP8."""
    query, key, value = (np.array(request[name]) for name in ("query", "key", "value"))
    if rounded:
        key, value = (
            np.vectorize(fp8)(tokens, scale)
            for tokens, scale in zip((key, value), request["scales"], strict=True)
        )
    scores = request["scale"] * np.einsum("qhd,khd->hqk", query, key)
    weights = np.exp(scores) * np.tri(READ)
    return np.einsum("hqk,khd->qhd", weights / weights.sum(axis=2, keepdims=True), value)


def test_an_fp8_cache_without_a_kernel_for_it_reads_what_fp8_holds(answers: dict):
    request = REQUESTS["fp8 cache"]
    want, unrounded = (attended(request, rounded=rounded) for rounded in (True, False))
    assert np.abs(np.array(answers["fp8 cache"]) - want).max() < 0.02
    assert np.abs(unrounded - want).max() > 0.1


def test_a_cache_that_is_not_fp8_goes_its_usual_way(answers: dict):
    want = attended(REQUESTS["other cache"], rounded=False)
    assert np.abs(np.array(answers["other cache"]) - want).max() < 0.02


def expected(layer: dict) -> np.ndarray:
    """The layer's output, token by token, in double precision."""
    gate_up, down = unpacked(layer["gate_up"]), unpacked(layer["down"])
    scales = layer["activation_scales"]
    output = np.zeros((TOKENS, HIDDEN))
    rows = zip(output, layer["tokens"], layer["chosen"], layer["weights"], strict=True)
    for row, token, chosen, weights in rows:
        read = np.array([fp8(value, scales[0]) for value in token] if scales else token)
        for expert, weight in zip(chosen, weights, strict=True):
            pairs = gate_up[expert] @ read + layer["gate_up"]["bias"][expert]
            gate, up = np.minimum(pairs[0::2], 7.0), np.clip(pairs[1::2], -7.0, 7.0)
            inner = (up + 1) * gate / (1 + np.exp(-1.702 * gate))
            if scales:
                inner = np.array([fp8(value, scales[1]) for value in inner])
            row[:] += weight * (down[expert] @ inner + layer["down"]["bias"][expert])
    return output


@pytest.mark.parametrize(
    ("name", "request_", "largest"),
    # BF16 keeps eight bits; FP8 four, and rounding to BF16 first moves a value to its neighbour now and then.
    [("bf16 experts", LAYER, 0.02), ("fp8 experts", STATIC_FP8, 0.06)],
    ids=["bf16", "fp8"],
)
def test_experts_compute_what_gpt_oss_defines(answers: dict, name: str, request_: dict, largest: float):
    want = expected(request_)
    difference = np.abs(np.array(answers[name]) - want)
    assert difference.max() < largest * np.abs(want).max()
    assert difference.mean() < 0.005 * np.abs(want).max()


def test_fp8_activations_change_what_the_experts_compute(answers: dict):
    assert answers["fp8 experts"] != answers["bf16 experts"]


def test_sabotage_changes_what_the_experts_compute(
    embedded_engine: EmbeddedEngine, root: Path, answers: dict
):
    [broken] = probe(embedded_engine, root, LAYER, GATE_SABOTAGE="swap_nibbles")

    healthy = np.array(answers["bf16 experts"])
    assert np.abs(healthy - np.array(broken)).mean() > 0.1 * np.abs(healthy).mean()


def test_an_unknown_sabotage_stops_vllm_before_it_serves(embedded_engine: EmbeddedEngine, root: Path):
    done = in_engine(embedded_engine, root, ["-c", REGISTER], GATE_SABOTAGE="swap_nibble")

    assert done.returncode != 0
    assert "GATE_SABOTAGE='swap_nibble' is not a sabotage; known: activation_clamp_lost, " in done.stderr


def test_every_described_fault_exists_and_no_other(embedded_engine: EmbeddedEngine, root: Path):
    code = "import json; from gate_cpu_ocp_mx.sabotage import SABOTAGES; print(json.dumps(sorted(SABOTAGES)))"

    done = in_engine(embedded_engine, root, ["-c", code])

    assert json.loads(done.stdout.splitlines()[-1]) == sorted({**FAULTS, **HEALTHY}), done.stderr


def test_every_fault_of_the_experts_changes_what_they_compute_and_is_taken_back(
    embedded_engine: EmbeddedEngine, root: Path
):
    elsewhere = {"kv_value_scale", "window_halved", "sinks_lost", "activation_clamp_lost", "last_expert_lost"}
    names = [name for name in FAULTS if name not in elsewhere and not name.startswith("decode_")]
    request = {**STATIC_FP8, "do": "sabotaged", "names": ["", *names, ""]}

    [(healthy, *broken, after)] = probe(embedded_engine, root, request)

    assert healthy == after
    assert [name for name, output in zip(names, broken, strict=True) if output == healthy] == []


def test_a_second_registration_changes_nothing(embedded_engine: EmbeddedEngine, root: Path):
    code = (
        "from gate_cpu_ocp_mx import register; register()\n"
        "from vllm.model_executor.layers.fused_moe.oracle import mxfp4 as oracle\n"
        "first = oracle.backend_to_kernel_cls; register()\n"
        "assert oracle.backend_to_kernel_cls is first\n"
        "backends = [oracle.Mxfp4MoeBackend[name] for name in ('EMULATION', 'TRITON', 'CPU')]\n"
        "print([kernel.__name__ for backend in backends for kernel in first(backend)])"
    )

    done = in_engine(embedded_engine, root, ["-c", code])

    names = ["CpuEmulationMxfp4Experts", "CpuTritonMxfp4Experts", "CPUExpertsMxfp4"]
    assert done.stdout.splitlines()[-1:] == [str(names)], done.stderr


async def test_triton_on_w4a8_falls_back_to_bf16_by_vllms_own_logic_and_sabotage_is_named_in_the_log(
    embedded_engine: EmbeddedEngine, tmp_path: Path
):
    launcher = LocalProcess(
        command=[str(embedded_engine.command)],
        model=str(embedded_engine.model),
        served_model="tiny",
        server_args=[
            *("--dtype", "bfloat16", "--max-model-len", "512", "--max-num-seqs", "8", "--enforce-eager"),
            *("--moe-backend", "triton", "--kv-cache-dtype", "fp8", "--no-enable-chunked-prefill"),
        ],
        env={"VLLM_CPU_KVCACHE_SPACE": "1", "GATE_SABOTAGE": "swap_nibbles"},
    )
    log = tmp_path / "engine.log"
    async with serve(launcher, log_path=log, startup_seconds=400, on_line=lambda _: None) as server:
        evidence = await server.evidence()

    expect = {
        "moe": "TRITON",
        "activation": "bf16",
        "experts": "CpuTritonMxfp4Experts",
        "kv_cache_dtype": "fp8",
    }
    assert all(check.ok for check in check_evidence(evidence, expect, ["moe_activation"]))
    assert evidence.fallbacks == ("moe_activation",)
    warnings = [line for line in log.read_text().splitlines() if "GATE_SABOTAGE=swap_nibbles" in line]
    assert len(warnings) == 1
    assert "WARNING" in warnings[0]
