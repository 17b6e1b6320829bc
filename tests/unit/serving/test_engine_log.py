"""Evidence from logs of real runs, and from lines reconstructed out of the engine's source."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.model.evidence import Evidence, EvidenceCheck
from gate.serving.engine_log import EXPECT_KEYS, SHAPES, check_evidence, merged, read_evidence

LOGS = Path(__file__).parents[2] / "logs"
RECORD = "(EngineCore pid=412) INFO 11-23 21:00:07 [mxfp4.py:709] "


def evidence_of(name: str) -> Evidence:
    return read_evidence((LOGS / name).read_text().splitlines(keepends=True))


def failed(checks: tuple[EvidenceCheck, ...]) -> list[str]:
    return [check.fact for check in checks if not check.ok]


def test_the_aiter_backend_is_proven_with_everything_a_config_may_expect():
    facts = evidence_of("reconstructed-rocm-0.32.0-aiter.log").facts
    assert facts == {
        "activation": "fp8",
        "attention": "ROCM_AITER_UNIFIED_ATTN",
        "dp": "1",
        "dtype": "torch.bfloat16",
        "enforce_eager": "False",
        "engine_version": "0.32.0",
        "ep": "1",
        "experts": "AiterW4A8ExpertsMonolithic",
        "kv_cache_dtype": "fp8",
        "load_format": "auto",
        "max_model_len": "131072",
        "moe": "AITER_MXFP4_FP8",
        "pp": "1",
        "quantization": "quark",
        "scheme": "w_mxfp4_a_fp8",
        "seed": "0",
        "tp": "1",
    }
    assert set(facts) >= EXPECT_KEYS


def test_a_config_that_says_aiter_fails_when_the_engine_silently_emulated():
    evidence = evidence_of("reconstructed-rocm-0.32.0-silent-emulation.log")
    checks = check_evidence(evidence, {"moe": "AITER_MXFP4_FP8", "kv_cache_dtype": "fp8"}, [])
    assert failed(checks) == [
        "kv_cache_dtype",
        "moe",
        "fallback:attention_override",
        "fallback:emulation",
    ]
    assert checks[1] == EvidenceCheck(fact="moe", expected="AITER_MXFP4_FP8", found="EMULATION", ok=False)


def test_emulation_that_was_asked_for_is_no_fallback():
    evidence = evidence_of("reconstructed-rocm-0.32.0-silent-emulation.log")
    expect = {"moe": "EMULATION", "activation": "fp8", "attention": "TRITON_ATTN"}
    assert failed(check_evidence(evidence, expect, [])) == []


def test_an_override_to_another_attention_than_the_expected_one_fails_twice():
    evidence = evidence_of("reconstructed-rocm-0.32.0-silent-emulation.log")
    checks = check_evidence(evidence, {"attention": "ROCM_AITER_FA", "moe": "EMULATION"}, [])
    assert failed(checks) == ["attention", "fallback:attention_override"]


def test_bf16_activations_on_an_fp8_checkpoint_fail_unless_allowed():
    evidence = evidence_of("reconstructed-rocm-0.32.0-triton.log")
    expect = {"moe": "TRITON", "activation": "bf16", "scheme": "w_mxfp4_a_fp8"}
    assert failed(check_evidence(evidence, expect, [])) == ["fallback:moe_activation"]
    assert failed(check_evidence(evidence, expect, ["moe_activation"])) == []
    assert failed(check_evidence(evidence, expect | {"activation": "fp8"}, ["moe_activation"])) == [
        "activation"
    ]


def test_the_ck_kernel_for_w4a4_computes_in_mxfp4():
    facts = evidence_of("reconstructed-rocm-0.32.0-ck-w4a4.log").facts
    assert (facts["moe"], facts["activation"], facts["experts"]) == (
        "AITER_MXFP4_MXFP4",
        "mxfp4",
        "AiterExperts",
    )


def test_workers_that_disagree_meet_no_expectation():
    evidence = evidence_of("reconstructed-rocm-0.32.0-workers-disagree.log")
    assert evidence.facts["moe"] == "AITER_MXFP4_FP8|EMULATION"
    assert (evidence.facts["tp"], evidence.facts["ep"]) == ("2", "2")
    assert "activation" not in evidence.facts
    for backend in ("AITER_MXFP4_FP8", "EMULATION"):
        assert "moe" in failed(check_evidence(evidence, {"moe": backend}, ["emulation"]))


def test_an_expectation_that_nothing_confirms_fails_with_nothing_found():
    line = "INFO 11-23 21:00:00 [x.py:1] nothing of interest"
    checks = check_evidence(read_evidence([line]), {"moe": "TRITON"}, [])
    assert checks == (EvidenceCheck(fact="moe", expected="TRITON", found=None, ok=False),)


def test_an_empty_log_does_not_say_that_nothing_was_given_up_on():
    checks = check_evidence(read_evidence([]), {}, ["emulation"])
    assert checks == (EvidenceCheck(fact="fallbacks", expected="none but emulation", found=None, ok=False),)


def test_what_nothing_confirms_can_be_accepted_and_what_contradicts_cannot():
    info = Evidence(facts={"tp": "2"}, source="server_info")
    accepted = ["moe", "tp", "fallbacks"]
    checks = check_evidence(info, {"moe": "TRITON", "tp": "1"}, [], accept_unproven=accepted)
    assert {check.fact: (check.ok, check.accepted) for check in checks} == {
        "moe": (True, True),
        "tp": (False, False),
        "fallbacks": (True, True),
    }


@pytest.mark.parametrize(
    ("first", "second", "source"),
    [
        ("log", "server_info", "log+server_info"),
        ("none", "server_info", "server_info"),
        ("log", "none", "log"),
        ("log+server_info", "log", "log+server_info"),
        ("none", "none", "none"),
    ],
)
def test_two_sources_are_joined_and_disagreement_is_kept(first: str, second: str, source: str):
    one = Evidence(facts={"tp": "1", "moe": "A"}, fallbacks=("dtype",), source=first)
    two = Evidence(facts={"tp": "2", "seed": "0"}, fallbacks=("emulation",), source=second)
    both = Evidence(
        facts={"moe": "A", "seed": "0", "tp": "1|2"}, fallbacks=("dtype", "emulation"), source=source
    )
    assert merged(one, two) == both


def test_a_log_without_a_single_record_is_no_source():
    assert read_evidence(["hello\n", "Using 'TRITON' Mxfp4 MoE backend.\n"]) == Evidence()


def test_a_variable_of_the_config_that_the_engine_ignored_fails():
    evidence = evidence_of("reconstructed-rocm-0.32.0-silent-emulation.log")
    environment = {"VLLM_ROCM_USE_AITR": "1", "OTHER": "1"}
    checks = check_evidence(
        evidence, {"moe": "EMULATION", "attention": "TRITON_ATTN"}, [], environment=environment
    )
    assert failed(checks) == ["environment:VLLM_ROCM_USE_AITR"]


@pytest.mark.parametrize(
    ("message", "facts", "fallback"),
    [
        ("Using AITER_MXFP4_FP8 backend for OCP_MX_Scheme.w_mxfp4_a_fp8", {"scheme": "w_mxfp4_a_fp8"}, None),
        ("Using AITER Unquantized MoE backend out of potential backends: ['AITER'].", {"moe": "AITER"}, None),
        ("Using 'MARLIN' NvFp4 MoE backend out of potential backends: ['MARLIN'].", {"moe": "MARLIN"}, None),
        (
            "Using FLASH_ATTN attention backend out of potential backends: ['FLASH_ATTN'].",
            {"attention": "FLASH_ATTN"},
            None,
        ),
        (
            "Using OCP MX emulation for the Qwen3.8 Flash Next TEP8 routed experts on gfx950",
            {},
            "emulation",
        ),
        (
            "VLLM_ROCM_USE_AITER_MOE=1 was requested, but x. Falling back to try the remaining available "
            "MoE backends: TRITON.",
            {},
            "moe_backend",
        ),
        (
            "Selected backend ROCM_AITER_FA is incompatible with this layer (decoder) of the turboquant run",
            {},
            "attention_override",
        ),
        ("CUDA graph is not supported for gpt2 on ROCm yet, fallback to the eager mode.", {}, "cuda_graph"),
        ("Your device X doesn't support bf16. Falling back to fp16 for compatibility.", {}, "dtype"),
        ("WARNING: Unknown kv_cache_quant_algo 'x'. Falling back to 'auto'.", {}, "kv_cache_dtype"),
        ("vLLM API server version 0.22.1", {"engine_version": "0.22.1"}, None),
    ],
)
def test_each_shape_is_read(message, facts, fallback):
    evidence = read_evidence([RECORD + message + "\n"])
    assert evidence.facts.items() >= facts.items()
    assert evidence.fallbacks == ((fallback,) if fallback else ())


@pytest.mark.parametrize(
    ("file", "found"), [("cuda.py", "FLASH_ATTN"), ("platforms/cpu.py", "FLASH_ATTN"), ("other.py", None)]
)
def test_the_shortest_attention_line_counts_only_from_the_files_that_write_it(file, found):
    line = f"INFO 11-23 21:00:07 [{file}:446] Using AttentionBackendEnum.FLASH_ATTN backend."
    assert read_evidence([line]).facts.get("attention") == found


@pytest.mark.parametrize(
    "line",
    [
        "Using 'AITER_MXFP4_FP8' Mxfp4 MoE backend.",
        f"{RECORD}the model said: Using 'AITER_MXFP4_FP8' Mxfp4 MoE backend.",
        f"{RECORD}Using backend FLASH_ATTN for vit attention",
        f"{RECORD}Using Torch SDPA backend for ViT model.",
        f"{RECORD}Dumping input data for V1 LLM engine (v9) with config: quantization=quark, ",
    ],
)
def test_what_only_looks_like_a_fact_is_none(line):
    assert read_evidence([line]).facts == {}


def test_colours_prefixes_and_carriage_returns_do_not_hide_a_record():
    line = f"2026-11-23T21:00:07Z \x1b[0;36m{RECORD}\x1b[0mUsing 'MARLIN' Mxfp4 MoE backend.\r\n"
    evidence = read_evidence([line])
    assert (evidence.facts["moe"], evidence.facts["activation"]) == ("MARLIN", "bf16")


def test_an_unknown_backend_proves_nothing_about_activations():
    facts = read_evidence([f"{RECORD}Using 'NEXT_YEARS_KERNEL' Mxfp4 MoE backend."]).facts
    assert facts == {"moe": "NEXT_YEARS_KERNEL"}


@pytest.mark.parametrize(
    ("scheme", "activation"),
    [("w_mxfp4", "bf16"), ("w_mxfp4_a_fp8", "fp8"), ("w_mxfp4_a_mxfp4", "mxfp4"), (None, None)],
)
def test_emulated_activations_are_those_of_the_scheme(scheme, activation):
    lines = [f"{RECORD}Using 'EMULATION' Mxfp4 MoE backend."]
    lines += [f"{RECORD}Using EMULATION backend for {scheme}"] if scheme else []
    assert read_evidence(lines).facts.get("activation") == activation


@pytest.mark.parametrize(
    ("fact", "expected", "found"),
    [("kv_cache_dtype", "fp8", "fp8_e4m3"), ("enforce_eager", "true", "True"), ("tp", "8", "8")],
)
def test_other_names_of_the_same_value_are_equal(fact, expected, found):
    assert failed(check_evidence(Evidence(facts={fact: found}, source="log"), {fact: expected}, [])) == []


def test_every_shape_says_where_it_was_read():
    assert all(shape.read_from for shape in SHAPES)


@settings(deadline=None)
@given(st.lists(st.text(max_size=200), max_size=20))
def test_no_text_makes_it_fail_or_invents_an_expected_backend(lines):
    evidence = read_evidence(lines)
    assert "moe" not in failed(check_evidence(evidence, {}, []))


@settings(deadline=None)
@given(st.permutations((LOGS / "reconstructed-rocm-0.32.0-triton.log").read_text().splitlines()))
def test_the_order_of_lines_does_not_matter(lines):
    assert read_evidence(lines) == evidence_of("reconstructed-rocm-0.32.0-triton.log")


@pytest.mark.parametrize("fate", ["killed-enginecore", "killed-worker"])
def test_a_real_log_of_the_cpu_engine_is_understood(fate):
    evidence = evidence_of(f"vllm-0.32.0-cpu-w4a8-emulation-{fate}.log")
    expect = {"moe": "EMULATION", "scheme": "w_mxfp4_a_fp8", "activation": "fp8", "tp": "1"}
    assert failed(check_evidence(evidence, expect, [])) == []
    assert evidence.facts["engine_version"] == "0.32.0"
    # "KV-FP8" in a quark checkpoint's name has no effect without --kv-cache-dtype fp8.
    assert evidence.facts["kv_cache_dtype"] == "auto"


def test_a_real_fallback_to_bf16_activations_is_caught():
    evidence = evidence_of("vllm-0.32.0-cpu-w4a8-triton.log")
    assert failed(check_evidence(evidence, {"moe": "TRITON", "activation": "bf16"}, [])) == [
        "fallback:moe_activation"
    ]
    assert "activation" in failed(check_evidence(evidence, {"activation": "fp8"}, ["moe_activation"]))


@pytest.mark.parametrize("mode", ["eager", "cuda-graphs"])
def test_a_real_nvidia_log_proves_what_a_dummy_gpt_oss_ran(mode: str):
    evidence = evidence_of(f"vllm-0.22.1-h100-mxfp4-{mode}.log")
    expected = {
        "activation": "bf16",
        "attention": "FLASH_ATTN",
        "enforce_eager": str(mode == "eager"),
        "engine_version": "0.22.1",
        "kv_cache_dtype": "auto",
        "load_format": "dummy",
        "moe": "TRITON",
        "quantization": "gpt_oss_mxfp4",
        "tp": "1",
    }
    assert {fact: evidence.facts.get(fact) for fact in expected} == expected
    assert evidence.fallbacks == ()


def test_a_real_nvidia_log_of_an_unquantized_model_names_its_kernels():
    evidence = evidence_of("vllm-0.22.1-h200-bf16-triton.log")
    expected = {"activation": "bf16", "attention": "FLASH_ATTN", "moe": "TRITON", "quantization": "None"}
    assert {fact: evidence.facts.get(fact) for fact in expected} == expected
    assert evidence.fallbacks == ()


def test_a_config_for_rocm_is_not_satisfied_by_an_nvidia_log():
    evidence = evidence_of("vllm-0.22.1-h100-mxfp4-eager.log")
    checks = check_evidence(evidence, {"moe": "AITER_MXFP4_FP8", "scheme": "w_mxfp4_a_fp8", "tp": "1"}, [])
    assert failed(checks) == ["moe", "scheme"]
