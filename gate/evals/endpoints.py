"""The three endpoints: what a request's body holds, and where its reply keeps the answer.

Keys were read in vLLM 0.32 (`vllm/entrypoints/openai/*/protocol.py`): all three take seed and top_k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gate.errors import ConfigError
from gate.evals.task import Answer, Endpoint, Request
from gate.model.sample import Finish

if TYPE_CHECKING:
    from gate.settings import Sampling

_PATHS: Final[Mapping[Endpoint, str]] = {
    "responses": "/v1/responses",
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
}
_LIMIT_KEYS: Final[Mapping[Endpoint, str]] = {
    "responses": "max_output_tokens",
    "chat": "max_completion_tokens",
    "completions": "max_tokens",
}
_FINISHES: Final = {"stop": Finish.STOP, "length": Finish.LENGTH, "repetition": Finish.REPETITION}
# The engine gave the request up; that is its failure, not an answer.
_GIVEN_UP: Final = frozenset({"abort", "error", "cancelled", "failed", "queued", "in_progress"})


class ReplyError(Exception):
    """A 200 whose body is not an answer; says what is wrong with it, never what it holds."""


class Asker(NamedTuple):
    """Builds requests for one endpoint, model and set of sampling parameters."""

    endpoint: Endpoint
    model: str
    sampling: Sampling
    reasoning_effort: str | None

    def limited(self, max_tokens: int | None) -> Asker:
        """The same with a token limit for where the config sets none.

        Raises:
            ConfigError: no limit for an endpoint whose own default (16 tokens) truncates every answer.
        """
        limit = self.sampling.max_tokens or max_tokens
        if limit is None and self.endpoint == "completions":
            raise ConfigError(
                "the completions endpoint stops after 16 tokens unless it is told otherwise",
                hint="set `sampling: {max_tokens: N}`",
            )
        return self._replace(sampling=self.sampling.model_copy(update={"max_tokens": limit}))

    def request(self, prompt: str, seed: int, stop: Sequence[str] = ()) -> Request:
        """One request; sampling parameters are all sent, or the model's generation_config.json decides."""
        sampling = self.sampling
        body: dict[str, object] = {
            "model": self.model,
            **_prompt(self.endpoint, prompt),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "seed": seed,
        }
        if sampling.max_tokens is not None:
            body[_LIMIT_KEYS[self.endpoint]] = sampling.max_tokens
        if stop:
            body["stop"] = list(stop)
        if self.reasoning_effort is not None and self.endpoint != "completions":
            key = "reasoning" if self.endpoint == "responses" else "reasoning_effort"
            body[key] = {"effort": self.reasoning_effort} if key == "reasoning" else self.reasoning_effort
        return Request(_PATHS[self.endpoint], body)


def _prompt(endpoint: Endpoint, prompt: str) -> dict[str, object]:
    message = [{"role": "user", "content": prompt}]
    match endpoint:
        case "responses":
            return {"input": message, "store": False}
        case "chat":
            return {"messages": message}
        case "completions":
            return {"prompt": prompt}


def read_answer(path: str, reply: object) -> Answer:
    """The answer in a decoded 200 reply of the endpoint at `path`.

    Raises:
        ReplyError: the reply is not one, or the engine gave the request up.
    """
    if not isinstance(reply, dict):
        raise ReplyError("the reply is not a JSON object")
    if path == _PATHS["responses"]:
        return _read_response(reply)
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ReplyError("the reply has no choice")
    choice = choices[0]
    message = choice if path == _PATHS["completions"] else choice.get("message")
    if not isinstance(message, dict):
        raise ReplyError("the choice has no message")
    # The final channel alone: a harmony model's reasoning is in a field of its own, and when it never
    # came to an answer the content is null.
    text = message.get("text" if message is choice else "content")
    if not isinstance(text, str | None):
        raise ReplyError("the choice's text is not a string")
    reason = choice.get("finish_reason")
    if not isinstance(reason, str) or reason in _GIVEN_UP:
        raise ReplyError("the engine gave the request up")
    return Answer(text or "", _FINISHES.get(reason, Finish.OTHER), _tokens(reply, "completion_tokens"))


def _read_response(reply: dict[str, Any]) -> Answer:
    status, output = reply.get("status"), reply.get("output")
    if not isinstance(output, list):
        raise ReplyError("the reply has no output")
    if not isinstance(status, str) or status in _GIVEN_UP:
        raise ReplyError("the engine gave the request up")
    messages = [item for item in output if isinstance(item, dict) and item.get("type") == "message"]
    contents = [item.get("content") for item in messages]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    parts = [part for part in parts if isinstance(part, dict) and part.get("type") == "output_text"]
    texts = [text for part in parts if isinstance(text := part.get("text"), str)]
    if len(texts) != len(parts):
        raise ReplyError("the output's text is not a string")
    if status == "completed":
        finish = Finish.STOP
    else:
        details = reply.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, dict) else None
        finish = Finish.LENGTH if reason == "max_output_tokens" else Finish.OTHER
    return Answer("".join(texts), finish, _tokens(reply, "output_tokens"))


def _tokens(reply: dict[str, Any], key: str) -> int:
    usage = reply.get("usage")
    count = usage.get(key) if isinstance(usage, dict) else None
    return count if isinstance(count, int) and count >= 0 else 0
