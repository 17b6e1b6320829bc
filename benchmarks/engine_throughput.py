"""The client's tokens per second beside `vllm bench serve`, on the same real engine in the same run.

    python -m benchmarks.engine_throughput http://127.0.0.1:8000 --model FOLDER --served-model NAME

Both ask the same prompts (GPQA's template around invented questions) through /v1/completions, with the same
token limit and the same number of requests in flight, in turn: A B A B. Tokens are what the engine counts
(`vllm:generation_tokens_total`), time is from before the first request to after the last. Serve with
`--no-enable-prefix-caching`, or the second turn finds its prompts computed. Ends with status 1 below 97 %.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from benchmarks.client import write_questions
from gate.evals.client import EngineClient
from gate.evals.journal import Journal
from gate.evals.load import load_task
from gate.evals.task import Task
from gate.sequence import blocks
from gate.settings import Sampling, TaskSettings

TARGET = 0.97
STREAM = "5" * 32
GENERATED = re.compile(r"^vllm:generation_tokens_total\{[^}]*\} ([0-9.e+]+)$", re.MULTILINE)


def generated(url: str) -> float:
    """Tokens that the engine has generated so far."""
    with urllib.request.urlopen(f"{url}/metrics", timeout=30) as reply:  # noqa: S310 - http, given by the caller
        return sum(float(count) for count in GENERATED.findall(reply.read().decode()))


def rate(url: str, work: Callable[[], object]) -> float:
    """Tokens per second that the engine generates while `work` runs."""
    before, began = generated(url), time.perf_counter()
    work()
    return (generated(url) - before) / (time.perf_counter() - began)


async def ask(url: str, task: Task, concurrency: int, journal: Path) -> None:
    """Our side: every question once, graded and journalled."""
    (block,) = blocks(task.questions, STREAM, 2)[3:]
    async with EngineClient(url, concurrency=concurrency, timeout_seconds=900) as client:
        with Journal.open(journal, {}) as kept:
            await client.ask_block(task, block, STREAM, already={}, on_sample=kept.append)


def main() -> int:
    """Print a line a turn, then medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--model", required=True, help="where `vllm bench serve` finds the tokenizer")
    parser.add_argument("--served-model", required=True)
    parser.add_argument("--vllm", default="vllm", help="command of vLLM")
    parser.add_argument("--requests", type=int, default=1024)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--max-tokens", type=int, default=256)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        task = load_task(
            TaskSettings(name="gpqa_diamond", endpoint="completions"),
            Sampling(max_tokens=options.max_tokens),
            reasoning_effort=None,
            served_model=options.served_model,
            dataset_path=write_questions(folder / "questions.csv", options.requests),
            cache_dir=folder,
        )
        prompts = folder / "prompts.jsonl"
        with prompts.open("w") as file:
            for question in task.questions:
                body = task.request(question, 1, STREAM).body
                print(json.dumps({"prompt": body["prompt"]}), file=file)
        bench = [
            *shlex.split(options.vllm),
            *("bench", "serve", "--backend", "openai", "--endpoint", "/v1/completions"),
            *("--base-url", options.url, "--model", options.model),
            *("--served-model-name", options.served_model),
            *("--dataset-name", "custom", "--dataset-path", str(prompts), "--skip-chat-template"),
            *("--custom-output-len", str(options.max_tokens), "--num-prompts", str(options.requests)),
            *("--max-concurrency", str(options.concurrency), "--temperature", "1.0", "--disable-tqdm"),
            *("--top-p", "1.0", "--extra-body", json.dumps({"top_k": 0, "seed": 1})),
        ]
        ours: list[float] = []
        theirs: list[float] = []
        for turn in range(options.turns):
            journal = folder / f"journal-{turn}.jsonl"
            ours.append(
                rate(
                    options.url,
                    lambda to=journal: asyncio.run(ask(options.url, task, options.concurrency, to)),
                )
            )
            print(f"turn {turn + 1}: gate {ours[-1]:.0f} tokens/s", flush=True)
            run = subprocess.run(bench, check=True, capture_output=True, text=True)
            found = re.search(r"Output token throughput \(tok/s\):\s+([0-9.]+)", run.stdout)
            if found is None:
                sys.exit(f"`vllm bench serve` printed no throughput:\n{run.stdout[-2000:]}")
            # Its own figure, which leaves out its start: the one that is hardest to reach.
            theirs.append(float(found[1]))
            print(f"turn {turn + 1}: vllm bench serve {theirs[-1]:.0f} tokens/s", flush=True)
    ratio = statistics.median(ours) / statistics.median(theirs)
    print(
        f"median: gate {statistics.median(ours):.0f}, vllm bench serve {statistics.median(theirs):.0f} "
        f"tokens/s, ratio {ratio:.3f} (target {TARGET})"
    )
    return int(ratio < TARGET)


if __name__ == "__main__":
    sys.exit(main())
