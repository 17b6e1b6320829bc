"""Asking an engine for the log-probabilities of the fixed prompts, over /v1/completions.

Teacher-forced through `prompt_logprobs` (the prefill path), and greedily continued (the decode path): a fault
in one of them is invisible in the other. Keys were read in vLLM 0.32,
`entrypoints/openai/completion/protocol.py`. Nothing here ever turns ids into text or back.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from gate.evals.asking import Fetcher
from gate.evals.endpoints import ReplyError
from gate.evals.task import Request
from gate.model.probe import Probe, ProbeFingerprint
from gate.numerics.codec import TOP, pack
from gate.numerics.prompts import ProbePrompt, PromptSet
from gate.stats.drift import Rows

_PATH: Final = "/v1/completions"
_TOKEN: Final = "token_id:"  # noqa: S105 - vLLM's spelling of an id


class Said(NamedTuple):
    """What an engine said of every prompt, in full precision; one entry a prompt."""

    prefill: tuple[Rows, ...]
    decode: tuple[Rows, ...]


async def ask_prompts(client: Fetcher, prompts: PromptSet, model: str) -> Said:
    """Ask for every prompt twice, as many at once as the client lets through.

    Raises:
        EngineError: the engine refused, died, or answered nonsense.
    """
    read_decode = _decode_reader(prompts.continuation)
    asking = [
        client.fetch(_prefill_request(prompt, model), _prefill_reader(prompt, prompts.scored))
        for prompt in prompts.prompts
    ] + [
        client.fetch(_decode_request(prompt, model, prompts.continuation), read_decode)
        for prompt in prompts.prompts
    ]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in asking]
    except BaseExceptionGroup as failed:
        # One error ended the probe; the others are its echoes.
        raise failed.exceptions[0] from None
    rows = tuple(task.result() for task in tasks)
    return Said(rows[: len(prompts.prompts)], rows[len(prompts.prompts) :])


def packed(said: Said, fingerprint: ProbeFingerprint, seconds: float) -> Probe:
    """The same as it is stored."""
    return Probe(
        fingerprint=fingerprint,
        prefill=tuple(map(pack, said.prefill)),
        decode=tuple(map(pack, said.decode)),
        seconds=round(seconds, 2),
    )


def _prefill_request(prompt: ProbePrompt, model: str) -> Request:
    return Request(
        _PATH,
        {
            **_common(model, prompt.ids),
            "prompt_logprobs": TOP,
            "max_tokens": 1,
        },
    )


def _decode_request(prompt: ProbePrompt, model: str, tokens: int) -> Request:
    return Request(
        _PATH,
        {
            **_common(model, prompt.ids[: prompt.continue_at]),
            "logprobs": TOP,
            "max_tokens": tokens,
            "ignore_eos": True,
            "return_tokens_as_token_ids": True,
        },
    )


def _common(model: str, ids: Sequence[int]) -> dict[str, object]:
    return {"model": model, "prompt": list(ids), "temperature": 0.0, "add_special_tokens": False}


def _prefill_reader(prompt: ProbePrompt, scored: int) -> Callable[[Any], Rows]:
    def read(reply: object) -> Rows:
        listed = _choice(reply).get("prompt_logprobs")
        if not isinstance(listed, list) or len(listed) != len(prompt.ids):
            raise ReplyError("the reply has no log-probability for each token of the prompt")
        last = range(max(1, len(listed) - scored), len(listed))
        return _rows([(prompt.ids[n], _by_id(listed[n])) for n in last])

    return read


def _decode_reader(tokens: int) -> Callable[[Any], Rows]:
    def read(reply: object) -> Rows:
        given = _choice(reply).get("logprobs")
        chosen, listed = ((given or {}).get(key) for key in ("tokens", "top_logprobs"))
        if not (isinstance(chosen, list) and isinstance(listed, list)):
            raise ReplyError("the reply has no log-probabilities")
        if not len(chosen) == len(listed) == tokens:
            raise ReplyError(
                f"the reply has {len(chosen)} tokens and {len(listed)} lists of the likeliest, "
                f"not {tokens} of each"
            )
        return _rows([(_id(token), _by_id(top)) for token, top in zip(chosen, listed, strict=True)])

    return read


def _choice(reply: object) -> dict[str, Any]:
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ReplyError("the reply has no choice")
    return choices[0]


def _by_id(listed: object) -> dict[int, float]:
    """Log-probabilities by id; prompts give an object a token, continuations the bare number."""
    if not isinstance(listed, dict):
        raise ReplyError("a position has no list of tokens")
    found = {}
    for token, value in listed.items():
        number = value.get("logprob") if isinstance(value, dict) else value
        if number is not None and (not isinstance(number, int | float) or isinstance(number, bool)):
            raise ReplyError("a log-probability is not a number")
        found[_id(token)] = math.nan if number is None else float(number)
    return found


def _id(token: object) -> int:
    text = token.removeprefix(_TOKEN) if isinstance(token, str) else ""
    if not (text.isascii() and text.isdigit()):
        raise ReplyError("a token is not given by its id")
    return int(text)


def _rows(positions: Sequence[tuple[int, Mapping[int, float]]]) -> Rows:
    tops = [_top(listed) for _, listed in positions]
    return Rows(
        np.array([token for token, _ in positions], np.int64),
        np.array([_own(token, listed) for token, listed in positions]),
        np.array([[token for token, _ in top] for top in tops], np.int64),
        np.array([[logprob for _, logprob in top] for top in tops]),
    )


def _own(token: int, listed: Mapping[int, float]) -> float:
    if token not in listed:
        raise ReplyError("a position does not list its own token")
    return listed[token]


def _top(listed: Mapping[int, float]) -> list[tuple[int, float]]:
    """The likeliest, the likeliest first; equals by id, so that the order does not depend on the engine's."""
    if len(listed) < TOP:
        raise ReplyError(f"a position lists {len(listed)} tokens, not {TOP}")
    return sorted(listed.items(), key=lambda item: (not math.isnan(item[1]), -item[1], item[0]))[:TOP]
