"""A server for other people's harnesses: OpenAI's HTTP, and answers to multiple-choice questions it knows.

    python -m tests.support.answering_server QUESTIONS.csv --port 18765 --accuracy 0.9 --style "Answer: {}"

QUESTIONS.csv has GPQA's columns. The n-th time it is asked a question it draws anew, so that repeats differ
even where a harness sends the same seed every time. Some questions are easier than others; now and then an
answer names no option, or is cut off.
"""

from __future__ import annotations

import argparse
import csv
import re
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from aiohttp import web

from gate.evals.gpqa import COLUMNS
from tests.support.engine_stub import prompt_of

NO_ANSWER, CUT_OFF, EASE = 0.04, 0.04, 0.05
OPTION = re.compile(r"^\s*\(?([A-D])\)\s*(.*)$", re.MULTILINE)


class Reply(NamedTuple):
    """What is answered, why it ends, and how long it is."""

    text: str
    finish: str
    tokens: int


class Server:
    """What is known of the questions, and how often each was asked."""

    def __init__(self, options: argparse.Namespace) -> None:
        with options.questions.open(newline="", encoding="utf-8") as file:
            self.right = {row[COLUMNS[0]]: row[COLUMNS[1]] for row in csv.DictReader(file)}
        self.options = options
        self.asked: Counter[str] = Counter()

    def answer(self, prompt: str) -> Reply:
        """The next answer to the question in a prompt."""
        question = max((known for known in self.right if known in prompt), key=len)
        self.asked[question] += 1
        draw = Random(f"{self.options.seed} {question} {self.asked[question]}")  # noqa: S311
        tokens, kind = draw.randrange(40, 400), draw.random()
        if kind < NO_ANSWER:
            return Reply("I cannot say.", "stop", tokens)
        if kind < NO_ANSWER + CUT_OFF:
            return Reply("Let me think. First", "length", 512)
        ease = EASE if sorted(self.right).index(question) % 2 else -EASE
        letters = {text.strip(): letter for letter, text in OPTION.findall(prompt)}
        right = letters[self.right[question]]
        letter = right
        if draw.random() >= self.options.accuracy + ease:
            letter = draw.choice([other for other in "ABCD" if other != right])
        return Reply(f"I worked it out. {self.options.style.format(letter)}", "stop", tokens)


def response(model: str, reply: Reply) -> dict[str, Any]:
    """A reply of /v1/responses."""
    content = [{"type": "output_text", "text": reply.text, "annotations": []}]
    message = {"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": content}
    whole = reply.finish == "stop"
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": model,
        "status": "completed" if whole else "incomplete",
        "incomplete_details": None if whole else {"reason": "max_output_tokens"},
        "output": [message],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 60,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": reply.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 60 + reply.tokens,
        },
    }


def completion(model: str, reply: Reply) -> dict[str, Any]:
    """A reply of /v1/chat/completions."""
    message = {"role": "assistant", "content": reply.text}
    return {
        "id": "chat_1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": reply.finish, "logprobs": None}],
        "usage": {
            "prompt_tokens": 60,
            "completion_tokens": reply.tokens,
            "total_tokens": 60 + reply.tokens,
        },
    }


def application(options: argparse.Namespace) -> web.Application:
    """The server's routes."""
    server = Server(options)

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        shape = response if request.path.endswith("responses") else completion
        return web.json_response(shape(body["model"], server.answer(prompt_of(body))))

    app = web.Application()
    for path in ("/v1/responses", "/v1/chat/completions"):
        app.router.add_post(path, answer)
    return app


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("questions", type=Path)
    parser.add_argument("--accuracy", type=float, default=0.9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--style", default="Answer: {}", help="how a letter is said")
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    web.run_app(application(options), host="127.0.0.1", port=options.port, access_log=None)


if __name__ == "__main__":
    main()
