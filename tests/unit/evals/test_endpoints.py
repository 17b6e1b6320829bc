"""Requests hold what each endpoint of vLLM 0.32 expects; replies are read or refused, never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.errors import ConfigError
from gate.evals.endpoints import Asker, ReplyError, read_answer
from gate.evals.task import Answer
from gate.model.sample import Finish
from gate.settings import Sampling

RESPONSES, CHAT, COMPLETIONS = "/v1/responses", "/v1/chat/completions", "/v1/completions"
SAMPLING = Sampling(temperature=0.7, top_p=0.9, top_k=20, max_tokens=99)
COMMON = {"model": "m", "temperature": 0.7, "top_p": 0.9, "top_k": 20, "seed": 5}
MESSAGE = [{"role": "user", "content": "hello"}]


def message(*texts):
    return {"type": "message", "content": [{"type": "output_text", "text": text} for text in texts]}


def response(*items, status="completed", reason=None, **others):
    details = {"reason": reason} if reason else None
    return {"status": status, "incomplete_details": details, "output": list(items), **others}


def chat(content, finish="stop", **others):
    return {"choices": [{"message": {"content": content}, "finish_reason": finish}], **others}


@pytest.mark.parametrize(
    ("endpoint", "path", "own"),
    [
        (
            "responses",
            RESPONSES,
            {"input": MESSAGE, "store": False, "max_output_tokens": 99, "reasoning": {"effort": "low"}},
        ),
        (
            "chat",
            CHAT,
            {"messages": MESSAGE, "max_completion_tokens": 99, "reasoning_effort": "low"},
        ),
        ("completions", COMPLETIONS, {"prompt": "hello", "max_tokens": 99}),
    ],
)
def test_each_endpoint_gets_its_own_keys(endpoint, path, own):
    request = Asker(endpoint, "m", SAMPLING, "low").request("hello", 5)
    assert request == (path, {**COMMON, **own})


def test_without_a_limit_an_effort_or_stop_strings_none_is_sent():
    body = Asker("chat", "m", Sampling(), None).request("hello", 5).body
    assert body.keys() == {"model", "messages", "temperature", "top_p", "top_k", "seed"}
    assert body["top_k"] == 0


def test_stop_strings_are_sent():
    assert Asker("chat", "m", SAMPLING, None).request("hello", 5, ("x",)).body["stop"] == ["x"]


def test_a_tasks_own_limit_gives_way_to_the_configs():
    assert Asker("completions", "m", SAMPLING, None).limited(7).sampling.max_tokens == 99
    assert Asker("completions", "m", Sampling(), None).limited(7).sampling.max_tokens == 7
    assert Asker("chat", "m", Sampling(), None).limited(None).sampling.max_tokens is None


def test_completions_without_a_limit_are_refused():
    with pytest.raises(ConfigError, match="16 tokens"):
        Asker("completions", "m", Sampling(), None).limited(None)


@pytest.mark.parametrize(
    ("path", "reply", "answer"),
    [
        (
            RESPONSES,
            response({"type": "reasoning", "content": [{"text": "B?"}]}, message("A", "!"), message("?")),
            Answer("A!?", Finish.STOP, 0),
        ),
        (
            RESPONSES,
            response(message("A"), usage={"output_tokens": 12}),
            Answer("A", Finish.STOP, 12),
        ),
        (
            RESPONSES,
            response(message("A"), status="incomplete", reason="max_output_tokens"),
            Answer("A", Finish.LENGTH, 0),
        ),
        (
            RESPONSES,
            response(status="incomplete", reason="content_filter"),
            Answer("", Finish.OTHER, 0),
        ),
        (RESPONSES, response(status="incomplete"), Answer("", Finish.OTHER, 0)),
        (CHAT, chat("A", usage={"completion_tokens": 12}), Answer("A", Finish.STOP, 12)),
        (CHAT, chat(None), Answer("", Finish.STOP, 0)),
        (CHAT, chat("A", "length"), Answer("A", Finish.LENGTH, 0)),
        (CHAT, chat("A", "repetition"), Answer("A", Finish.REPETITION, 0)),
        (CHAT, chat("A", "tool_calls"), Answer("A", Finish.OTHER, 0)),
        (CHAT, chat("A", usage={"completion_tokens": -1}), Answer("A", Finish.STOP, 0)),
        (COMPLETIONS, {"choices": [{"text": "A", "finish_reason": "stop"}]}, Answer("A", Finish.STOP, 0)),
    ],
)
def test_an_answer_is_the_final_text_its_length_and_why_it_ended(path, reply, answer):
    assert read_answer(path, reply) == answer


@pytest.mark.parametrize(
    ("path", "reply", "what"),
    [
        (CHAT, [], "not a JSON object"),
        (CHAT, {}, "no choice"),
        (CHAT, {"choices": []}, "no choice"),
        (CHAT, {"choices": ["A"]}, "no choice"),
        (CHAT, {"choices": [{"text": "A", "finish_reason": "stop"}]}, "no message"),
        (CHAT, chat(3), "not a string"),
        (CHAT, chat("A", None), "gave the request up"),
        (CHAT, chat("A", "abort"), "gave the request up"),
        (RESPONSES, {"status": "completed"}, "no output"),
        (RESPONSES, response(message("A"), status="cancelled"), "gave the request up"),
        (RESPONSES, response(message("A"), status=None), "gave the request up"),
        (RESPONSES, response(message(3)), "not a string"),
    ],
)
def test_what_is_no_answer_is_refused(path, reply, what):
    with pytest.raises(ReplyError, match=what):
        read_answer(path, reply)


KEYS = ["choices", "message", "content", "text", "output", "type", "status", "usage", "finish_reason"]
LEAVES = st.none() | st.integers() | st.sampled_from(["message", "output_text", "stop", "completed", "A"])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@given(st.sampled_from([RESPONSES, CHAT, COMPLETIONS]), JSON, st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_json_is_an_answer_or_refused(path, anything, reply):
    for content in (anything, reply):
        try:
            answer = read_answer(path, content)
        except ReplyError:
            continue
        assert isinstance(answer.text, str)
        assert answer.tokens >= 0
