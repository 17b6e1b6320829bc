"""A cell for each GPU of one host at once, with the real engine.

    python -m benchmarks.gpus --engine VLLM --model FOLDER --out DIR [--gpus 2] [--ray ARCH]

`--model` is the embedded model as these GPUs can serve it (`python -m benchmarks.bf16_model`). In a
repository made for it: baselines of as many backends as GPUs, which differ in the engine's batch size; then
`gate run --jobs`, which must pass; with `--ray` once more on a Ray cluster with a node for each GPU.
Meanwhile nvidia-smi is asked twice a second which process is on which GPU. Exits 1 where an exit code is not
0, two processes shared a GPU, or the GPUs never all worked at once.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from benchmarks.cluster import cluster_of
from gate import records
from gate.embedded.questions import write_csv
from tests.support.checkout import commit, repository
from tests.support.project import ROOT

QUERY = ("nvidia-smi", "--query-compute-apps=pid,gpu_uuid", "--format=csv,noheader")
REPEATS = 8
SERVER = (
    "--dtype bfloat16 --max-model-len 512 --gpu-memory-utilization 0.3 --enforce-eager --moe-backend triton"
)
CONFIG: dict[str, Any] = {
    "reasoning_effort": "low",
    "server_args": SERVER,
    "startup_max_wait_seconds": 600,
    "task": "gpqa_diamond",
    # As it was measured, when the answers that vLLM 0.22.1 cannot parse still ended a cell.
    "sampling": {"temperature": 0.7, "top_p": 0.9, "max_tokens": 128},
    "gate": {"margin": 0.1, "alpha": 0.01, "max_minutes": 10},
    "expect": {"tp": 1},
}


class Seen(NamedTuple):
    """What was on the GPUs while a command ran."""

    most: int
    """GPUs that worked at the same moment."""
    shared: int
    """Moments at which two processes were on one GPU."""


class Watch(threading.Thread):
    """Asks every half second which processes are on which GPU."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.moments: list[tuple[float, dict[str, set[int]]]] = []
        self._over = threading.Event()

    def run(self) -> None:
        """Until `end`."""
        while not self._over.wait(0.5):
            told = subprocess.run(QUERY, capture_output=True, text=True, check=True).stdout
            found: dict[str, set[int]] = collections.defaultdict(set)
            for line in told.splitlines():
                pid, uuid = line.split(", ")
                found[uuid].add(int(pid))
            self.moments.append((time.time(), dict(found)))

    def end(self) -> Seen:
        """Stop, and say what was seen."""
        self._over.set()
        self.join()
        found = [moment for _, moment in self.moments]
        shared = sum(any(len(pids) > 1 for pids in moment.values()) for moment in found)
        return Seen(max(map(len, found), default=0), shared)


class Host:
    """A repository with the configs, and what is done in it."""

    def __init__(self, out: Path, engine: str, model: Path, gpus: int) -> None:
        self.folder, self.engine, self.model, self.gpus = out / "project", engine, model.resolve(), gpus
        repository(self.folder)
        (self.folder / ".gitignore").write_text("out*\nquestions.csv\n")
        (self.folder / "configs").mkdir()
        batches = [64 * (number + 1) for number in range(gpus)]
        backends = {f"batch{size}": {"server_args": f"--max-num-seqs {size}"} for size in batches}
        settings = {"model_name": "local/tiny-gpt-oss-bf16", **CONFIG, "backends": backends}
        (self.folder / "configs/tiny.yaml").write_text(yaml.safe_dump(settings))
        write_csv(self.folder / "questions.csv")
        commit(self.folder)

    def gate(self, *command: str, out: str) -> bool:
        """Run `gate COMMAND`; whether all was as expected."""
        options = [
            *("configs/tiny.yaml", "--engine-command", self.engine, "--model", str(self.model)),
            *("--dataset-path", "questions.csv", "--out", out),
        ]
        log, watch, began = self.folder / f"{out}.log", Watch(), time.monotonic()
        watch.start()
        with log.open("a") as kept:
            done = subprocess.run(
                [sys.executable, "-m", "gate", *command, *options],
                cwd=self.folder,
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
                stdout=kept,
                stderr=subprocess.STDOUT,
                check=False,
            )
        took, seen = time.monotonic() - began, watch.end()
        (self.folder / f"{out}.gpus.json").write_text(json.dumps(watch.moments, default=sorted))
        right = done.returncode == 0 and not seen.shared and seen.most == self.gpus
        print(
            f"{log.name}: exit {done.returncode} after {took:.0f} s; "
            f"{seen.most} GPUs at once, {seen.shared} moments with two processes on one GPU",
            flush=True,
        )
        for path in sorted((self.folder / out).rglob("records/*.json")):
            record = records.read(path)
            answers = "".join(record.outcomes)
            failed = f"; {record.failure.message}" if record.failure else ""
            print(f"  {record.cell}: {answers.count('1')} of {len(answers)} right{failed}")
        return right


def main(argv: Sequence[str] | None = None) -> int:
    """Everything that was asked for, and whether it was as expected."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", required=True, help="the build under test, as for --engine-command")
    parser.add_argument("--model", type=Path, required=True, help="the embedded model in BF16")
    parser.add_argument("--gpus", type=int, default=2, help="of this host, and cells measured at once")
    parser.add_argument("--ray", metavar="ARCH", help="also on a Ray cluster whose nodes are of this arch")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to keep everything in; must not be there"
    )
    given = parser.parse_args(argv)
    host = Host(given.out, given.engine, given.model, given.gpus)
    jobs = ("--jobs", str(given.gpus))
    accepted = ("--repeats", str(REPEATS), "--accepted-by", "tester", "--reason", "first")
    if not host.gate("baseline", "collect", *jobs, *accepted, out="out-collect"):
        return 1
    commit(host.folder)
    right = [host.gate("run", *jobs, out="out-run")]
    if given.ray:
        with cluster_of(0) as cluster:
            for number in range(given.gpus):
                only = {"CUDA_VISIBLE_DEVICES": str(number)}
                cluster.add(gpus=1, resources={given.ray: 1}, environment=only)
            placed = ("--executor", "ray", "--address", cluster.address, "--arch", given.ray)
            right.append(host.gate("run", *placed, out="out-ray"))
    return 0 if all(right) else 1


if __name__ == "__main__":
    sys.exit(main())
