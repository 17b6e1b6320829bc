"""A stand-in engine: a real process that speaks vLLM's HTTP, with faults that can be switched while it runs.

    python tests/support/engine_stub.py serve MODEL --port 0 [--served-model-name NAME] [--accuracy 0.6]

Prints `listening on PORT` when it accepts connections. Answers `(X)` for the option that holds `--marker`
with probability `--accuracy` (drawn from the request's seed), another option otherwise.

POST /stub {"fault": "500", "first": 3} switches a fault on for the next three requests ("first": null: for
all), {"reset": true} forgets everything; GET /stub counts what was asked. Faults: 400, 404, 429, 500, 503,
garbage, no_choice, empty, length, slow (writes tokens for ever), hangs (writes none), drop, wrong_model,
"says: MESSAGE" (500), echo_400 and echo_500 (quote the prompt), dies.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import os
import random
import re
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

from aiohttp import web

CHATTER_FROM = 4
"""The request from which on `--log-megabytes` are printed; later ones are answered once all are."""

STATE: web.AppKey[Stub] = web.AppKey("stub")


class Stub:
    """What the stub does now and what it was asked so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.model: str = options.served_model_name or options.model
        self.accuracy: float = options.accuracy
        self.marker: str = options.marker
        self.delay: float = options.delay
        self.text: str | None = options.text
        self.drift: float = options.drift
        self.decode_drift: float = options.decode_drift
        self.fault: str | None = options.fault
        self.first: int | None = None
        self.retry_after: str | None = None
        self.dies_after: int | None = options.dies_after
        self.hangs_after: int | None = options.hangs_after
        self.healthy = not options.never_healthy
        self.metrics = not options.no_metrics
        self.tokens = 0
        self.version: str = options.version
        self.root: str | None = None
        self.length: int | None = None
        self.info: dict[str, Any] = {}
        self.requests = 0
        self.in_flight = 0
        self.most_in_flight = 0
        self.bodies: list[dict[str, Any]] = []
        self.chatter = threading.Thread(target=chatter, args=(options.log_megabytes,), daemon=True)

    def counts(self) -> dict[str, Any]:
        return {
            "requests": self.requests,
            "most_in_flight": self.most_in_flight,
            "in_flight": self.in_flight,
            "bodies": self.bodies,
        }

    async def until_it_goes_on(self) -> None:
        """It hangs: no answer and no token."""
        while self.options.until is None or not self.options.until.exists():
            await asyncio.sleep(0.01)

    def next_fault(self) -> str | None:
        if self.fault is None or self.first == 0:
            return None
        if self.first is not None:
            self.first -= 1
        return self.fault


def chatter(megabytes: int) -> None:
    """Print so much of a log, in lines as vLLM writes them."""
    line = "(EngineCore pid=7) INFO 11-23 21:00:00 [loggers.py:257] Engine 000: " + "throughput " * 86 + "\n"
    for _ in range(megabytes):
        sys.stdout.write(line * (2**20 // len(line)))
    sys.stdout.flush()


def prompt_of(body: dict[str, Any]) -> str:
    if "prompt" in body:
        return str(body["prompt"])
    return str((body.get("messages") or body["input"])[0]["content"])


def text_for(stub: Stub, body: dict[str, Any]) -> str:
    if stub.text is not None:
        return stub.text
    prompt = prompt_of(body)
    options = re.findall(r"^\(([A-J])\) (.*)$", prompt, re.MULTILINE)
    right = [letter for letter, option in options if stub.marker in option]
    if not right:
        return "Answer: A"
    digest = hashlib.sha256(f"{body.get('seed')}\n{prompt}".encode()).digest()
    draw = random.Random(digest)  # noqa: S311
    wrong = [letter for letter, option in options if stub.marker not in option]
    letter = right[0] if draw.random() < stub.accuracy else draw.choice(wrong or right)
    return f"**Answer: {letter}**"


def reply_to(path: str, model: str, text: str, finish: str, tokens: int) -> dict[str, Any]:
    if path == "/v1/responses":
        reasoning = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "(A) ?"}]}
        message = {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": text}],
        }
        length = finish == "length"
        return {
            "object": "response",
            "model": model,
            "status": "incomplete" if length else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if length else None,
            "output": [reasoning, message],
            "usage": {"input_tokens": 9, "output_tokens": tokens},
        }
    choice: dict[str, Any] = {"index": 0, "finish_reason": finish}
    if path == "/v1/completions":
        choice["text"] = text
    else:
        choice["message"] = {"role": "assistant", "content": text, "reasoning": "(A) ?"}
    usage = {"prompt_tokens": 9, "completion_tokens": tokens}
    return {"model": model, "choices": [choice], "usage": usage}


def listed(context: list[int], own: int | None, drift: float) -> tuple[int, dict[int, float]]:
    """The likeliest token after a context of ids, and the log-probabilities of 20 and of `own`.

    `drift` is the noise of a logit, the same for the same context.
    """
    draw = random.Random(str(context))  # noqa: S311
    noise = random.Random(f"noise {context}")  # noqa: S311
    ids = draw.sample(range(1000), 40)
    ids += [own] if own is not None and own not in ids else []
    logits = {token: draw.gauss(0, 2) + drift * noise.gauss(0, 1) for token in ids}
    total = math.log(sum(math.exp(value) for value in logits.values()))
    ranked = sorted(logits, key=logits.__getitem__, reverse=True)
    shown = [*ranked[:20], *([own] if own is not None and own not in ranked[:20] else [])]
    return ranked[0], {token: logits[token] - total for token in shown}


def sabotage() -> tuple[float, float]:
    """What a drill has broken now: noise of a logit in both paths, and in continuations only."""
    path = os.environ.get("GATE_SABOTAGE_FILE")
    name = Path(path).read_text() if path else ""
    if name.startswith("decode_"):
        return 0.0, 0.3
    return {"": 0.0, "swap_nibbles": 8.0, "bf16": 0.02, "bf16_activations": 0.01}.get(name, 0.3), 0.0


def reply_with_logprobs(stub: Stub, body: dict[str, Any]) -> dict[str, Any]:
    """What vLLM answers where a prompt is token ids and log-probabilities are asked for."""
    ids: list[int] = body["prompt"]
    both, decode = (
        mine + broken for mine, broken in zip((stub.drift, stub.decode_drift), sabotage(), strict=True)
    )
    choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": "length"}
    if "prompt_logprobs" in body:
        rows = [listed(ids[:n], ids[n], both)[1] for n in range(1, len(ids))]
        shown = [{str(token): {"logprob": lp} for token, lp in row.items()} for row in rows]
        choice["prompt_logprobs"] = [None, *shown]
    else:
        context, tokens, tops = list(ids), [], []
        for _ in range(body["max_tokens"]):
            token, row = listed(context, None, both + decode)
            tokens.append(f"token_id:{token}")
            tops.append({f"token_id:{one}": lp for one, lp in row.items()})
            context.append(token)
        choice["logprobs"] = {"tokens": tokens, "top_logprobs": tops}
    return {"model": stub.model, "choices": [choice], "usage": {"completion_tokens": body["max_tokens"]}}


async def answer(request: web.Request) -> web.StreamResponse:
    stub = request.app[STATE]
    body = await request.json()
    stub.requests += 1
    stub.in_flight += 1
    stub.most_in_flight = max(stub.most_in_flight, stub.in_flight)
    stub.bodies = [*stub.bodies[-99:], body]
    try:
        if stub.dies_after is not None and stub.requests > stub.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        if stub.options.log_megabytes and stub.requests == CHATTER_FROM:
            stub.chatter.start()
        if stub.options.log_megabytes and stub.requests > CHATTER_FROM:
            await asyncio.to_thread(stub.chatter.join)
        if stub.hangs_after is not None and stub.requests > stub.hangs_after:
            await stub.until_it_goes_on()
        if stub.delay:
            await asyncio.sleep(stub.delay)
        return await faulty(request, stub, body, stub.next_fault())
    finally:
        stub.in_flight -= 1


async def faulty(  # noqa: PLR0911, PLR0912 - one line a fault
    request: web.Request, stub: Stub, body: dict[str, Any], fault: str | None
) -> web.StreamResponse:
    if isinstance(body.get("prompt"), list):
        return web.json_response(reply_with_logprobs(stub, body))
    path, text = request.path, text_for(stub, body)
    if fault is not None and fault.isdigit():
        headers = {"Retry-After": stub.retry_after} if stub.retry_after else {}
        return error(int(fault), "the engine quotes nothing", headers)
    if fault is not None and fault.startswith("says: "):
        return error(500, fault.removeprefix("says: "), {})
    match fault:
        case "echo_500":
            return error(500, f"failed on: {prompt_of(body)}", {})
        case "echo_400":
            return error(400, f"too long: {prompt_of(body)}", {})
        case "garbage":
            return web.Response(text='{"choices": [', content_type="application/json")
        case "no_choice":
            return web.json_response({"model": stub.model, "choices": [], "output": None})
        case "wrong_model":
            return web.json_response(reply_to(path, "another-model", text, "stop", 7))
        case "empty":
            return web.json_response(reply_to(path, stub.model, "", "stop", 7))
        case "length":
            return web.json_response(reply_to(path, stub.model, text, "length", 7))
        case "slow":
            while True:
                stub.tokens += 1
                await asyncio.sleep(0.01)
        case "hangs":
            await stub.until_it_goes_on()
        case "drop":
            assert request.transport is not None
            request.transport.abort()
        case "dies":
            os.kill(os.getpid(), signal.SIGKILL)
    stub.tokens += 7
    return web.json_response(reply_to(path, stub.model, text, "stop", 7))


def error(status: int, message: str, headers: dict[str, str]) -> web.Response:
    kind = "BadRequestError" if status < 500 else "InternalServerError"
    content = {"error": {"message": message, "type": kind, "param": "temperature", "code": status}}
    return web.json_response(content, status=status, headers=headers)


async def health(request: web.Request) -> web.Response:
    return web.Response(status=200 if request.app[STATE].healthy else 503)


async def metrics(request: web.Request) -> web.Response:
    stub = request.app[STATE]
    if not stub.metrics:
        return web.Response(status=404)
    label = '{engine="0",model_name="stub"}'
    return web.Response(
        text=f"vllm:num_requests_running{label} {stub.in_flight}.0\n"
        f"vllm:num_requests_waiting{label} 0.0\n"
        f"vllm:prompt_tokens_total{label} {9 * stub.requests}.0\n"
        f"vllm:generation_tokens_total{label} {stub.tokens}.0\n"
    )


async def models(request: web.Request) -> web.Response:
    """What vLLM lists: the model, and an adapter, which nobody means."""
    stub = request.app[STATE]
    root = stub.root or stub.options.model
    model = {"id": stub.model, "object": "model", "root": root, "parent": None, "max_model_len": stub.length}
    adapter = {"id": "adapter", "object": "model", "root": "/adapter", "parent": stub.model}
    return web.json_response({"object": "list", "data": [model, adapter]})


async def version(request: web.Request) -> web.Response:
    return web.json_response({"version": request.app[STATE].version})


async def server_info(request: web.Request) -> web.Response:
    """As with VLLM_SERVER_DEV_MODE=1: the answer of a real vLLM, with the changes asked for."""
    stub = request.app[STATE]
    if stub.options.server_info is None:
        return web.Response(status=404)
    answer = json.loads(stub.options.server_info.read_text())
    for path, value in stub.info.items():
        section, key = path.rsplit(".", 1)
        inside = answer
        for part in section.split("."):
            inside = inside[part]
        inside[key] = value
    return web.json_response(answer)


async def switch(request: web.Request) -> web.Response:
    """Set what POST /stub names; a fault without `first` is for good."""
    stub, changes = request.app[STATE], await request.json()
    if changes.pop("reset", False):
        stub.__init__(stub.options)
    if "fault" in changes:
        stub.first = None
    for name, value in changes.items():
        assert hasattr(stub, name), name
        setattr(stub, name, value)
    return web.json_response(stub.counts())


async def counts(request: web.Request) -> web.Response:
    return web.json_response(request.app[STATE].counts())


@web.middleware
async def guarded(request: web.Request, handler: Any) -> web.StreamResponse:
    """Like vLLM's --api-key, which guards /v1 only."""
    key = request.app[STATE].options.api_key
    if key and request.path.startswith("/v1/") and request.headers.get("Authorization") != f"Bearer {key}":
        return web.Response(status=401)
    return await handler(request)


def application(options: argparse.Namespace) -> web.Application:
    app = web.Application(client_max_size=1 << 24, middlewares=[guarded])
    app[STATE] = Stub(options)
    for path in ("/v1/responses", "/v1/chat/completions", "/v1/completions"):
        app.router.add_post(path, answer)
    app.router.add_get("/health", health)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/v1/models", models)
    app.router.add_get("/version", version)
    app.router.add_get("/server_info", server_info)
    app.router.add_get("/stub", counts)
    app.router.add_post("/stub", switch)
    return app


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", nargs="?", default="serve")
    parser.add_argument("model", nargs="?", default="stub")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--uds", help="listen on this Unix socket instead")
    parser.add_argument("--served-model-name")
    parser.add_argument("--accuracy", type=float, default=1.0)
    parser.add_argument("--marker", default="right")
    parser.add_argument("--text", help="answer this to everything")
    parser.add_argument("--drift", type=float, default=0.0, help="noise of a logit, in nats")
    parser.add_argument("--decode-drift", type=float, default=0.0, help="the same, in continuations only")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    parser.add_argument("--fault", default=os.environ.get("STUB_FAULT"))
    parser.add_argument("--dies-after", type=int, help="requests, then SIGKILL")
    parser.add_argument("--hangs-after", type=int, help="requests, then no answer and no token any more")
    parser.add_argument("--until", type=Path, help="no longer than until there is this file")
    parser.add_argument("--once", type=Path, help="one start has faults; this file counts the starts")
    parser.add_argument("--faulty-start", type=int, default=1, help="which one")
    parser.add_argument("--log", type=Path, help="print this file's lines first, as the engine's own log")
    parser.add_argument("--second-log", type=Path, help="instead of --log, from the second start on")
    parser.add_argument("--log-megabytes", type=int, default=0, help="print so much while it is asked")
    parser.add_argument("--exit", type=int, help="exit with this status instead of serving")
    parser.add_argument("--never-healthy", action="store_true")
    parser.add_argument("--deaf", action="store_true", help="ignore SIGTERM")
    parser.add_argument("--server-info", type=Path, help="answer /server_info with this file")
    parser.add_argument("--version", default="0.32.0")
    parser.add_argument("--api-key", help="refuse requests without it")
    parser.add_argument("--no-metrics", action="store_true")
    return parser.parse_known_args(argv)[0]  # an engine takes many options that mean nothing here


def main() -> None:
    options = arguments(sys.argv[1:])
    if options.once:
        with options.once.open("ab") as starts:
            starts.write(b".")
            start = starts.tell()
        if start != options.faulty_start:
            options.dies_after = options.hangs_after = options.exit = None
        if start > 1:
            options.log = options.second_log or options.log
    if options.log:
        print(options.log.read_text(encoding="utf-8"), flush=True)
    if options.exit is not None:
        sys.exit(options.exit)
    if options.uds:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(options.uds)
        listening.listen(1024)
    else:
        listening = socket.create_server((options.host, options.port), backlog=1024)
    print(f"listening on {options.uds or listening.getsockname()[1]}", flush=True)
    if options.deaf:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    web.run_app(
        application(options),
        sock=listening,
        print=None,
        access_log=None,
        handler_cancellation=True,
        handle_signals=not options.deaf,
    )


if __name__ == "__main__":
    main()
