"""The engine's command line and environment: lists, an allow-list, and nothing that hides the evidence."""

import sys
from pathlib import Path

import pytest

from gate.errors import UsageError
from gate.serving.launch import LocalProcess
from gate.serving.probe import Endpoint

OUTER = {
    "PATH": "/usr/bin",
    "HOME": "/home/u",
    "HIP_VISIBLE_DEVICES": "0",
    "VLLM_CACHE_ROOT": "/cache",
    "LC_ALL": "C.UTF-8",
    "TIKTOKEN_ENCODINGS_BASE": "/encodings of this machine",
    "TIKTOKEN_CACHE_DIR": "/cache",
    "VLLM_LOGGING_LEVEL": "DEBUG",
    "VLLM_API_KEY": "x",
    "HF_TOKEN": "x",
    "VLLM_S3_SECRET": "x",
    "AWS_ACCESS_KEY_ID": "x",
    "GITHUB_TOKEN": "x",
    "GITHUB_WORKSPACE": "/w",
    "ACTIONS_RUNTIME_TOKEN": "x",
    "RUNNER_TEMP": "/t",
    "HTTPS_PROXY": "http://user:password@proxy",
}


def launcher(**changes: object) -> LocalProcess:
    settings = {"command": ["vllm"], "model": "org/name", "served_model": "m", "outer": OUTER}
    return LocalProcess(**(settings | changes))


def test_the_command_serves_on_the_loopback_with_the_configs_arguments_last_but_one():
    assert launcher(server_args=["--max-model-len", "512"]).argv(Endpoint(4321)) == [
        *("vllm", "serve", "org/name", "--host", "127.0.0.1", "--port", "4321"),
        *("--served-model-name", "m", "--max-model-len", "512", "--no-enable-log-requests"),
    ]


def test_a_command_of_several_words_stays_several_words():
    argv = launcher(command=["/venv/bin/python", "-m", "vllm.entrypoints.cli.main"]).argv(Endpoint(1))
    assert argv[:4] == ["/venv/bin/python", "-m", "vllm.entrypoints.cli.main", "serve"]


def test_the_presets_arguments_are_those_of_vllms_own_runner():
    argv = launcher(preset="vllm-eval").argv(Endpoint(1))
    assert argv[-4:-1] == ["--trust-remote-code", "--enforce-eager", "--disable-uvicorn-access-log"]


def test_remote_code_is_off_unless_asked_for():
    assert "--trust-remote-code" not in launcher().argv(Endpoint(1))
    assert "--trust-remote-code" in launcher(trust_remote_code=True).argv(Endpoint(1))


def test_only_allow_listed_variables_reach_the_engine():
    assert launcher(env={"VLLM_ROCM_USE_AITER": "1"}).environment() == {
        "PATH": "/usr/bin",
        "HOME": "/home/u",
        "HIP_VISIBLE_DEVICES": "0",
        "VLLM_CACHE_ROOT": "/cache",
        "LC_ALL": "C.UTF-8",
        "TIKTOKEN_ENCODINGS_BASE": "/encodings of this machine",
        "HF_HUB_OFFLINE": "1",
        "VLLM_SYSTEM_START_DATE": "2026-01-01",
        "VLLM_ROCM_USE_AITER": "1",
        "VLLM_LOGGING_LEVEL": "INFO",
        "VLLM_CONFIGURE_LOGGING": "1",
        "VLLM_LOGGING_COLOR": "0",
        "NO_COLOR": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "PYTHONUNBUFFERED": "1",
    }


def test_downloads_are_possible_only_when_asked_for():
    assert "HF_HUB_OFFLINE" not in launcher(offline=False).environment()


def test_the_config_may_pin_another_date():
    environment = launcher(env={"VLLM_SYSTEM_START_DATE": "2025-01-01"}).environment()
    assert environment["VLLM_SYSTEM_START_DATE"] == "2025-01-01"


def test_the_tools_beside_the_engine_are_found_first():
    assert launcher(command=["/venv/bin/vllm"]).environment()["PATH"] == "/venv/bin:/usr/bin"


@pytest.mark.parametrize("name", ["VLLM_LOGGING_LEVEL", "VLLM_DEBUG_LOG_API_SERVER_RESPONSE", "VLLM_API_KEY"])
def test_a_variable_that_would_hide_the_evidence_or_show_prompts_is_refused(name):
    with pytest.raises(UsageError, match=name):
        launcher(command=[sys.executable], env={name: "DEBUG"}).check()


@pytest.mark.parametrize(
    "argument", ["--enable-log-requests", "--port=1", "--served_model_name", "--api-key", "--host"]
)
def test_an_option_that_belongs_to_the_gate_is_refused(argument):
    with pytest.raises(UsageError, match="which the gate sets itself"):
        launcher(server_args=[argument]).check()


@pytest.mark.parametrize("command", [["no-such-engine"], []])
def test_a_missing_engine_is_told_before_anything_starts(command):
    with pytest.raises(UsageError, match="not found"):
        launcher(command=command, outer={}).check()


def test_a_missing_model_folder_is_told_before_anything_starts(tmp_path: Path):
    with pytest.raises(UsageError, match="does not exist"):
        launcher(command=[sys.executable], model=str(tmp_path / "none")).check()


def test_a_folder_without_a_model_is_told_before_anything_starts(tmp_path: Path):
    with pytest.raises(UsageError, match=r"no config\.json"):
        launcher(command=[sys.executable], model=str(tmp_path)).check()


def test_a_model_folder_and_a_hub_id_are_accepted(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    launcher(command=[sys.executable], model=str(tmp_path)).check()
    launcher(command=[sys.executable], model="org/name").check()
    assert launcher().cleanup() == []
    assert launcher().listens_itself
