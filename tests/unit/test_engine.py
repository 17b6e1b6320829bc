"""Which engine is under test, from what a command line says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from gate.engine import EngineChoice, Found
from gate.errors import UsageError
from gate.serving.gpu import Engine, Machine

NOTHING = Machine((), (), (), None)


def test_the_command_is_split_into_words_and_must_exist():
    assert EngineChoice(command=f"{sys.executable} -m 'a b'").argv() == [sys.executable, "-m", "a b"]
    with pytest.raises(UsageError, match="no-such-engine"):
        EngineChoice(command="no-such-engine --fast").argv()
    with pytest.raises(UsageError, match="cannot be split"):
        EngineChoice(command="vllm 'oops").argv()


def test_a_command_that_cannot_start_says_whether_it_is_missing_or_no_program(tmp_path: Path):
    missing, text = tmp_path / "vllm", tmp_path / "notes.txt"
    text.write_text("not a program\n")
    for command, said in (
        (str(missing), f"is not found\n  nothing is at {missing}: install"),
        (str(text), "is a file that cannot be executed\n  name the program itself"),
        ("no-such-engine", "is not found\n  install vLLM so that `vllm` is on PATH"),
        ("", "is not found\n  install vLLM"),
    ):
        with pytest.raises(UsageError) as refused:
            EngineChoice(command=command).argv()
        assert said in str(refused.value)


@pytest.mark.parametrize("word", ["NAME", "=value", "VLLM_SYSTEM_START_DATE=2020-01-01"])
def test_a_variable_needs_a_name_and_a_value_and_leaves_the_prompts_alone(word: str):
    with pytest.raises(UsageError, match="--engine-env"):
        EngineChoice(env=(word,)).environment()


def test_a_value_may_hold_an_equals_sign_and_may_be_empty():
    choice = EngineChoice(env=("A=b=c", "EMPTY="))
    assert choice.environment() == {"A": "b=c", "EMPTY": ""}


def test_a_secret_never_enters_the_provenance():
    choice = EngineChoice(env=("HF_TOKEN=hf_abc", "VLLM_X=1"))
    assert choice.provenance() == {
        "launcher": "process",
        "engine_env.HF_TOKEN": "***",
        "engine_env.VLLM_X": "1",
    }


def test_another_version_variable_or_command_is_another_engine():
    old, new = (Found(Engine((), True, {"engine_version": v}), NOTHING) for v in ("0.31", "0.32"))
    identities = {
        EngineChoice().identity(old),
        EngineChoice().identity(new),
        EngineChoice(env=("A=1",)).identity(new),
        EngineChoice(command="other").identity(new),
    }
    assert len(identities) == 4
    assert EngineChoice().identity(new) in identities
