"""How fast the client asks, and whether its memory stays flat, beside gpt_oss.evals on the same server.

    python -m benchmarks.client [--requests 100000] [--gpt-oss-python PYTHON]

A server in a process of its own answers every request at once. Our side is the whole way of a sample: the
GPQA task renders and seeds the request, the client asks, the answer is graded and written to a journal. The
other side is gpt_oss.evals 0.0.9's GPQA evaluation over the same invented questions, installed in a
throw-away environment unless --gpt-oss-python names one that has it.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import subprocess
import sys
import tempfile
import time
import venv
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from gate.evals.client import EngineClient
from gate.evals.journal import Journal
from gate.evals.load import load_task
from gate.sequence import blocks
from gate.settings import Sampling, TaskSettings

IN_FLIGHT = 512
QUESTIONS = 1319
GPT_OSS_QUESTIONS, GPT_OSS_REPEATS, GPT_OSS_THREADS = 198, 8, 200
PACKAGES = ("pandas", "numpy", "jinja2", "tqdm", "openai")

REPLY = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": "model",
    "status": "completed",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "**Answer: B**", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 200,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 300,
        "output_tokens_details": {"reasoning_tokens": 290},
        "total_tokens": 500,
    },
}

GPT_OSS = """
import json, resource, sys, time
import pandas
from gpt_oss.evals.gpqa_eval import GPQAEval
from gpt_oss.evals.responses_sampler import ResponsesSampler
url, questions, repeats, threads = sys.argv[1:]
read = pandas.read_csv
pandas.read_csv = lambda _url: read(questions)
evaluation = GPQAEval(n_repeats=int(repeats), n_threads=int(threads))
sampler = ResponsesSampler(model="model", reasoning_model=True, reasoning_effort="low", base_url=url + "/v1")
started, cpu = time.perf_counter(), time.process_time()
result = evaluation(sampler)
print(json.dumps({"requests": len(evaluation.examples), "seconds": time.perf_counter() - started,
                  "cpu_seconds": time.process_time() - cpu, "score": result.score}))
"""


class Figures(NamedTuple):
    """What one client did."""

    requests: int
    seconds: float
    cpu_seconds: float
    grown_mb: float | None = None

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds

    @property
    def rate_per_core(self) -> float:
        """Requests a second of CPU time, which other work on the machine does not change."""
        return self.requests / self.cpu_seconds

    def line(self, name: str) -> str:
        """One line for a person."""
        grown = "" if self.grown_mb is None else f", RSS grew by {self.grown_mb:.1f} MB"
        return (
            f"{name}: {self.requests} requests in {self.seconds:.1f} s = {self.rate:.0f}/s, "
            f"{self.rate_per_core:.0f}/s per core{grown}"
        )


class AtOnce(asyncio.Protocol):
    """Answers every request at once; HTTP/1.1 with keep-alive, as little as possible."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and the one reply there is."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""
        body = json.dumps(REPLY).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.reply = head.encode() + body

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self.received += data
        while True:
            head, found, rest = self.received.partition(b"\r\n\r\n")
            if not found:
                return
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            if len(rest) < length:
                return
            self.received = rest[length:]
            self.transport.write(self.reply)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(AtOnce, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def server() -> Iterator[str]:
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.client", "--serve"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def write_questions(path: Path, number: int) -> Path:
    columns = ["Question", "Correct Answer", *(f"Incorrect Answer {n}" for n in (1, 2, 3))]
    filler = "A question of GPQA diamond has about this many words, some 600 characters of them. " * 7
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([f"{n}: {filler}", *(f"{word} {n}" for word in "abcd")] for n in range(number))
    return path


async def ask(url: str, requests: int, folder: Path) -> Figures:
    """Our side, with one block ahead as `gate run` has it."""
    task = load_task(
        TaskSettings(name="gpqa_diamond"),
        Sampling(),
        reasoning_effort="low",
        served_model="model",
        dataset_path=write_questions(folder / "many.csv", QUESTIONS),
        cache_dir=folder,
    )
    waiting = deque(blocks(task.questions, "seed", -(-requests // QUESTIONS)))
    memory = psutil.Process().memory_info
    done = 0
    started, cpu, resident = time.perf_counter(), time.process_time(), memory().rss
    client = EngineClient(url, concurrency=IN_FLIGHT, timeout_seconds=60)
    with Journal.open(folder / "journal.jsonl", {}) as journal:
        async with client:
            flying: deque[asyncio.Task[tuple[object, ...]]] = deque()
            while waiting or flying:
                while waiting and len(flying) < 2:
                    block = waiting.popleft()
                    asked = client.ask_block(task, block, "s" * 32, already={}, on_sample=journal.append)
                    flying.append(asyncio.create_task(asked))
                done += len(await flying.popleft())
                if done < 2 * QUESTIONS:  # what a client needs at all is not growth
                    resident = memory().rss
                journal.sync()
    grown = (memory().rss - resident) / 1e6
    return Figures(done, time.perf_counter() - started, time.process_time() - cpu, grown)


def gpt_oss_python(folder: Path) -> Path:
    """A Python with gpt-oss 0.0.9 (made for 3.12, runs on 3.11) and what its evaluation imports."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/pip"), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--no-deps", "--ignore-requires-python", "gpt-oss==0.0.9"], check=True)
    subprocess.run([*pip, *PACKAGES], check=True)
    return folder / "bin/python"


def ask_with_gpt_oss(python: Path, url: str, folder: Path) -> Figures:
    questions = write_questions(folder / "gpqa.csv", GPT_OSS_QUESTIONS)
    arguments = [url, str(questions), str(GPT_OSS_REPEATS), str(GPT_OSS_THREADS)]
    run = subprocess.run(
        [str(python), "-c", GPT_OSS, *arguments],
        env={"OPENAI_API_KEY": "none", "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    figures = json.loads(run.stdout.splitlines()[-1])
    return Figures(figures["requests"], figures["seconds"], figures["cpu_seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--gpt-oss-python", type=Path)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve())
        return
    with tempfile.TemporaryDirectory() as temporary, server() as url:
        folder = Path(temporary)
        ours = asyncio.run(ask(url, options.requests, folder))
        print(ours.line("gate"))
        python = options.gpt_oss_python or gpt_oss_python(folder / "venv")
        theirs = ask_with_gpt_oss(python, url, folder)
        print(theirs.line("gpt_oss.evals 0.0.9"))
    per_core = ours.rate_per_core / theirs.rate_per_core
    print(f"ratio: {ours.rate / theirs.rate:.1f}x, per core {per_core:.1f}x")
    reached = ours.rate_per_core >= 2000 and per_core >= 20 and (ours.grown_mb or 0.0) < 50
    sys.exit(None if reached else "missed: 2,000/s per core, 20x gpt_oss.evals, 50 MB")


if __name__ == "__main__":
    main()
