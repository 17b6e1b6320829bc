"""`gate attest`: a log held against a config, without an engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.attest import attest_log
from gate.errors import ConfigError, Exit, UsageError

LOGS = Path(__file__).parents[1] / "logs"
CONFIGS = Path(__file__).parents[2] / "configs"
TINY = CONFIGS / "tiny-gpt-oss-w4a8.yaml"


@pytest.mark.parametrize(("backend", "other"), [("emulation", "triton"), ("triton", "emulation")])
def test_a_log_attests_its_own_backend_and_no_other(backend: str, other: str):
    log = LOGS / f"vllm-0.32.0-cpu-{backend}.log"
    assert attest_log(TINY, backend, log).exit_code is Exit.PASS
    found = attest_log(TINY, other, log)
    assert found.exit_code is Exit.NOT_MEASURED
    assert "moe" in {check.fact for check in found.checks if not check.ok}


def test_an_empty_log_confirms_nothing(tmp_path: Path):
    log = tmp_path / "log"
    log.write_text("INFO 11-23 21:00:00 [x.py:1] nothing of interest\n")
    found = attest_log(TINY, "emulation", log)
    assert found.exit_code is Exit.NOT_MEASURED
    assert {check.found for check in found.checks} == {None}


def test_a_variable_of_the_config_that_the_engine_did_not_know_had_no_effect(tmp_path: Path):
    config = tmp_path / "c.yaml"
    config.write_text('model_name: a/b\nenv: {VLLM_ROCM_USE_AITERR: "1"}\ngate: {}\n')
    log = tmp_path / "log"
    log.write_text(
        "WARNING 11-23 21:00:00 [e.py:9] Unknown vLLM environment variable detected: VLLM_ROCM_USE_AITERR\n"
    )
    (check,) = attest_log(config, "default", log).checks
    assert (check.fact, check.ok) == ("environment:VLLM_ROCM_USE_AITERR", False)


def test_a_missing_log_and_an_unknown_backend_are_named(tmp_path: Path):
    with pytest.raises(UsageError, match="gone"):
        attest_log(TINY, "emulation", tmp_path / "gone")
    with pytest.raises((UsageError, ConfigError), match="tritn"):
        attest_log(TINY, "tritn", LOGS / "vllm-0.32.0-cpu-triton.log")


def test_a_config_that_expects_nothing_attests_nothing(tmp_path: Path):
    config = tmp_path / "c.yaml"
    config.write_text("model_name: a/b\ngate: {}\n")
    log = tmp_path / "log"
    log.write_text("INFO 11-23 21:00:00 [x.py:1] nothing of interest\n")
    found = attest_log(config, "default", log)
    assert (found.checks, found.exit_code) == ((), Exit.NOT_MEASURED)
