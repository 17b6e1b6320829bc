"""The prompts that come with the gate never change unnoticed, and a file of one's own is checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gate.embedded
from gate.errors import ConfigError
from gate.numerics.prompts import SHIPPED, load_prompts

# What a stored probe is compared by: a change here makes every stored probe incomparable.
PINNED = {
    "gpt-oss": "7076ca2e3819565f71a55a701f95fdb343899436fcfa830c0c190a35bd472bb0",
    "tiny-gpt-oss": "4bfc4533da610f0e95cbb003b16320128392710e2267d36860d95c920fc38bdd",
}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_set_is_what_stored_probes_were_made_with(name):
    assert load_prompts(name).sha256 == PINNED[name]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_set_scores_and_continues_every_one_of_its_prompts(name):
    prompts = load_prompts(name)
    assert len(prompts.prompts) == 32
    assert all(len(prompt.ids) > prompts.scored for prompt in prompts.prompts)
    assert all(prompt.source for prompt in prompts.prompts)
    assert any(len(prompt.ids) > 128 for prompt in prompts.prompts), "none is longer than the sliding window"
    assert max(max(prompt.ids) for prompt in prompts.prompts) < 201_088


def test_the_embedded_models_prompts_use_only_ids_that_its_compact_vocabulary_knows():
    used = json.loads((Path(gate.embedded.__file__).parent / "checkpoint/used_ids.json").read_text())
    assert {i for prompt in load_prompts("tiny-gpt-oss").prompts for i in prompt.ids} <= set(used)


def valid() -> dict:
    prompts = [{"source": "s", "ids": [1, 2, 3], "continue_at": 2}] * 3
    return {
        "schema": "vllm-eval-gate/probe-prompts/1",
        "name": "own",
        "vocabulary": "v",
        "scored": 2,
        "continuation": 2,
        "prompts": prompts,
    }


def test_a_file_of_ones_own_is_read(tmp_path):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(valid()))
    assert load_prompts(str(path)).name == "own"


def test_how_much_is_kept_is_part_of_what_is_asked(tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps(valid()))
    second.write_text(json.dumps(valid() | {"scored": 1}))
    assert load_prompts(str(first)).sha256 != load_prompts(str(second)).sha256


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ({"source": "s", "ids": [1, 2], "continue_at": 3}, "continue_at is 3, but there are 2 ids"),
        ({"source": "s", "ids": [1, -2], "continue_at": 1}, "an id lies outside 0 to"),
        ({"source": "s", "ids": [1, 2**24], "continue_at": 1}, "an id lies outside 0 to"),
        ({"source": "s", "ids": [1, 2], "continue_at": 1, "text": "no"}, "prompts.0.text"),
    ],
)
def test_a_wrong_prompt_is_named(tmp_path, prompt, said):
    path = tmp_path / "own.json"
    path.write_text(json.dumps(valid() | {"prompts": [prompt] * 3}))
    with pytest.raises(ConfigError, match=said):
        load_prompts(str(path))


def test_an_unknown_set_names_those_there_are():
    with pytest.raises(ConfigError, match=r"no probe prompts 'gpt-os'(.|\n)*gpt-oss, tiny-gpt-oss"):
        load_prompts("gpt-os")
