"""Requests hold token ids and nothing else; replies are read or refused, never guessed."""

from __future__ import annotations

import numpy as np
import pytest

from gate.errors import EngineError
from gate.evals.endpoints import ReplyError
from gate.evals.task import Request
from gate.numerics.ask import ask_prompts, packed
from gate.numerics.codec import TOP, unpack
from gate.numerics.prompts import PromptSet
from tests.support import probes

PROMPTS = PromptSet.model_validate(
    {
        "schema": "vllm-eval-gate/probe-prompts/1",
        "name": "own",
        "vocabulary": "v",
        "scored": 2,
        "continuation": 3,
        "prompts": [{"source": "s", "ids": [5, 6, 7, 8 + n], "continue_at": 3} for n in range(3)],
    }
)
LISTED = {token: -1.0 - token / 10 for token in range(100, 100 + TOP)}


class Client:
    """Answers with what it is given, and keeps what it was asked."""

    def __init__(self, **changes: object) -> None:
        self.asked: list[Request] = []
        self.changes = changes

    async def fetch(self, request, read):
        self.asked.append(request)
        return read(self.reply(request.body))

    def reply(self, body):
        if "prompt_logprobs" in body:
            return {"choices": [{"prompt_logprobs": self.changes.get("prefill", prefill(body["prompt"]))}]}
        return {"choices": [{"logprobs": self.changes.get("decode", decode())}]}


def prefill(ids):
    rows = [{**LISTED, token: -0.5} for token in ids[1:]]
    return [None, *({str(t): {"logprob": lp, "rank": 1} for t, lp in row.items()} for row in rows)]


def decode(number=3):
    top = {f"token_id:{t}": lp for t, lp in LISTED.items()}
    return {"tokens": ["token_id:100"] * number, "top_logprobs": [top] * number}


async def test_every_prompt_is_asked_for_both_paths_in_token_ids():
    client = Client()
    await ask_prompts(client, PROMPTS, "m")
    first = client.asked[0].body
    assert {request.path for request in client.asked} == {"/v1/completions"}
    assert first == {
        "model": "m",
        "prompt": [5, 6, 7, 8],
        "temperature": 0.0,
        "add_special_tokens": False,
        "prompt_logprobs": TOP,
        "max_tokens": 1,
    }
    assert client.asked[3].body == {
        "model": "m",
        "prompt": [5, 6, 7],
        "temperature": 0.0,
        "add_special_tokens": False,
        "logprobs": TOP,
        "max_tokens": 3,
        "ignore_eos": True,
        "return_tokens_as_token_ids": True,
    }
    assert len(client.asked) == 6


async def test_the_last_positions_are_kept_with_their_own_token_and_the_likeliest():
    said = await ask_prompts(Client(), PROMPTS, "m")
    rows = said.prefill[1]
    assert rows.token.tolist() == [7, 9]
    assert rows.logprob.tolist() == [-0.5, -0.5]
    assert rows.top_ids[0].tolist()[:3] == [7, 100, 101]
    assert rows.top_ids.shape == (2, TOP)
    assert said.decode[0].token.tolist() == [100, 100, 100]
    assert said.decode[0].logprob[0] == LISTED[100]


async def test_of_a_prompt_that_is_shorter_than_what_is_kept_the_first_position_is_left_out():
    said = await ask_prompts(Client(), PROMPTS.model_copy(update={"scored": 9}), "m")
    assert said.prefill[0].token.tolist() == [6, 7, 8]


async def test_equals_are_ordered_by_id_whatever_the_engine_lists_first():
    backwards = dict.fromkeys(sorted(LISTED, reverse=True), -3.0)
    top = {f"token_id:{t}": lp for t, lp in backwards.items()}
    client = Client(decode={"tokens": ["token_id:100"] * 3, "top_logprobs": [top] * 3})
    said = await ask_prompts(client, PROMPTS, "m")
    assert said.decode[0].top_ids[0].tolist() == sorted(LISTED)


@pytest.mark.parametrize("number", [100, 110])
async def test_what_is_no_number_is_kept_as_such_before_all_others(number):
    odd = {f"token_id:{t}": lp for t, lp in LISTED.items()} | {f"token_id:{number}": None}
    client = Client(decode={"tokens": ["token_id:101"] * 3, "top_logprobs": [odd] * 3})
    said = await ask_prompts(client, PROMPTS, "m")
    assert np.isnan(said.decode[0].top_logprobs).nonzero()[1].tolist() == [0, 0, 0]
    assert said.decode[0].top_ids[0].tolist() == [number, *(t for t in LISTED if t != number)]


async def test_what_is_stored_is_each_path_in_its_place_and_the_time_it_took():
    said = await ask_prompts(Client(), PROMPTS, "m")
    probe = packed(said, probes.fingerprint(), 1.2345)
    assert [len(unpack(text, where="").token) for text in probe.prefill] == [2, 2, 2]
    assert [len(unpack(text, where="").token) for text in probe.decode] == [3, 3, 3]
    assert probe.seconds == 1.23


def changed(**changes):
    return {**decode(), **changes}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prefill": None}, "no log-probability for each token"),
        ({"prefill": [None, {}, {}]}, "no log-probability for each token"),
        ({"prefill": prefill([5, 6, 7, 8, 9])}, "no log-probability for each token"),
        ({"prefill": [None, {}, {}, {}]}, "does not list its own token|lists 0 tokens"),
        ({"prefill": [None, None, None, None]}, "a position has no list"),
        ({"prefill": [None, *[{"8": {"logprob": "x"}}] * 3]}, "not a number"),
        ({"prefill": [None, *[{"8": {"logprob": True}}] * 3]}, "not a number"),
        ({"prefill": [None, *[{"eight": {"logprob": 0.0}}] * 3]}, "not given by its id"),
        ({"prefill": [None, *[{"\u00b2": {"logprob": 0.0}}] * 3]}, "not given by its id"),
        ({"decode": None}, "no log-probabilities"),
        ({"decode": changed(tokens=3)}, "no log-probabilities"),
        ({"decode": changed(top_logprobs=None)}, "no log-probabilities"),
        ({"decode": decode(2)}, "2 tokens and 2 lists of the likeliest, not 3 of each"),
        ({"decode": changed(tokens=["token_id:100"] * 4)}, "4 tokens and 3 lists"),
        ({"decode": changed(top_logprobs=decode(2)["top_logprobs"])}, "3 tokens and 2 lists"),
        ({"decode": changed(tokens=[100] * 3)}, "not given by its id"),
        ({"decode": changed(tokens=["token_id:7"] * 3)}, "does not list its own token"),
        ({"decode": changed(tokens=["word"] * 3)}, "not given by its id"),
        ({"decode": changed(top_logprobs=[{"token_id:100": -1.0}] * 3)}, "lists 1 tokens, not 20"),
        (
            {"decode": changed(top_logprobs=[{f"token_id:{t}": -1.0 for t in range(100, 119)}] * 3)},
            "lists 19 tokens, not 20",
        ),
    ],
)
async def test_a_reply_that_is_none_is_refused(changes, said):
    with pytest.raises(ReplyError, match=said):
        await ask_prompts(Client(**changes), PROMPTS, "m")


@pytest.mark.parametrize("reply", [None, {}, {"choices": []}, {"choices": [7]}])
async def test_a_reply_without_a_choice_is_refused(reply):
    client = Client()
    client.reply = lambda _body: reply
    with pytest.raises(ReplyError, match="no choice"):
        await ask_prompts(client, PROMPTS, "m")


async def test_one_failed_request_ends_the_probe_with_its_own_error():
    class Dead(Client):
        async def fetch(self, request, read):
            raise EngineError("the engine is dead", hint="read its log")

    with pytest.raises(EngineError, match="the engine is dead"):
        await ask_prompts(Dead(), PROMPTS, "m")
