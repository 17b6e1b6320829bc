"""A Ray cluster that loses nodes, workers, the driver and its head: the verdicts are those of a quiet run.

    python -m benchmarks.cluster kills [--cells 200] [--seed 1] [--first node]
    python -m benchmarks.cluster speed [--cells 40] [--answer 0.5] [--nodes 1 3]
    python -m benchmarks.cluster real
    python -m benchmarks.cluster million [--samples 1000000] [--workers 8]

`kills` measures the cells one after the other without Ray, and beside it on three nodes while it kills, at
random moments, a node, a worker, the driver and the head in turn; what the driver's death or the head's
leaves, the same command goes on from. Right is: every record has the outcomes of the quiet run, no journal
holds a sample twice, no engine is left. `speed` compares the sequential executor with so many nodes of one
CPU, the engines answering after `--answer` seconds; a cell ends when it is decided, one sooner than another,
so few cells cannot keep three nodes busy to the end, whoever places them. `real` measures the embedded model
with the real vLLM (`make engine`), without Ray and then on three nodes, where it kills the worker on the way.
`million` measures the driver alone: its workers are played in the same process, without HTTP, and hand in
samples as fast as it takes them. Exits 1 where something is not right.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.cluster_driver import drive
from gate import records
from gate.baseline import store
from gate.baseline.collect import add_run
from gate.errors import Exit
from gate.model.cell import Cell
from tests.support.project import ROOT, STUB, Project, environment
from tests.support.ray_cluster import LocalCluster, local_cluster

HEAD = "0123456789abcdef0123456789abcdef01234567"
GOOD = ("--accuracy", "0.6")
NODES = 3
REPEATS = 1024
"""Of the baseline: with fewer, the cells' shares of alpha rule no drop out and the run is refused."""
KINDS = ("node", "worker", "driver", "head")
ENGINE = ROOT / ".venv-engine/bin/vllm"
SAMPLES_BEFORE = 150
"""Of the real engine's cell, when its worker is killed: a look was taken, and no verdict reached."""
PAUSE = (0.1, 0.3)
"""Seconds a cell, and those of ten cells at least, between two kills, drawn evenly.

A run that goes on reads the journals of all cells before it starts the engines of those that are not decided:
in a shorter life it would get no further than the one before.
"""


class Many(Project):
    """A project of so many cells with one baseline."""

    def __init__(self, folder: Path, cells: int) -> None:
        folder.mkdir()
        super().__init__(folder)
        done = self.collect(*GOOD, repeats=REPEATS)
        assert done.code == 0, done.err
        record = records.read(folder / "out/run-1/records/cpu__stub__default.json")
        self.names = [f"cell{number:03}" for number in range(cells)]
        for name in self.names:
            (folder / f"configs/{name}.yaml").write_text(self.config.read_text())
            cell = Cell(arch="cpu", config=name, backend="default")
            mark = record.fingerprint.model_copy(update={"cell": cell})
            same = record.model_copy(update={"cell": cell, "fingerprint": mark})
            made = add_run(None, same, accepted_by="tester", reason="first", date="2026-11-24")
            store.save(store.baseline_path(folder / "baselines", cell), made, replaces=None)

    def start(self, out: str, *options: str, engine: str) -> subprocess.Popen[str]:
        """`gate run` of all cells for one commit."""
        configs = [f"configs/{name}.yaml" for name in self.names]
        with self.log(out).open("a") as log:  # a pipe that nobody reads would fill, and stop the run
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "gate", "run", *configs, "--engine-command", engine),
                    *("--model", str(self.model), "--dataset-path", str(self.dataset), "--arch", "cpu"),
                    *("--baselines", "baselines", "--out", out, "--head-sha", HEAD, "--concurrency", "8"),
                    *options,
                ],
                cwd=self.folder,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=log,
                text=True,
            )

    def log(self, out: str) -> Path:
        """What `start` says into this folder's name."""
        return self.folder / f"{out}.log"

    def outcomes(self, out: str) -> dict[str, tuple[str, ...]]:
        """Cell -> what it was decided from."""
        return {
            record.cell.config: record.outcomes for record in records.read_all(self.folder / out / "records")
        }

    def twice(self, out: str) -> list[str]:
        """Journals that hold a sample twice."""
        found = []
        for journal in (self.folder / out / "journals").glob("*.jsonl"):
            samples = [line.split(',"q":')[1] for line in journal.read_text().splitlines()[1:]]
            places = [text.split(',"t":')[0] for text in samples]
            found += [journal.name] if len(places) != len(set(places)) else []
        return found

    def engines(self) -> list[psutil.Process]:
        """Stand-in engines that serve this project's model."""
        return [
            process
            for process in psutil.process_iter(["cmdline", "status"])
            if {str(self.model), str(STUB)} <= set(process.info["cmdline"] or [])
            and process.info["status"] != psutil.STATUS_ZOMBIE
        ]


class Turn:
    """What is killed next: all kinds in turn, from `first` on."""

    def __init__(self, first: str) -> None:
        self._at = KINDS.index(first)
        self.killed: collections.Counter[str] = collections.Counter()

    def next(self) -> str:
        """Take the next kind, and count it as killed."""
        kind = KINDS[self._at % len(KINDS)]
        self._at += 1
        self.killed[kind] += 1
        return kind


@contextmanager
def cluster_of(nodes: int) -> Iterator[LocalCluster]:
    with (
        tempfile.TemporaryDirectory(prefix="gr", dir="/tmp", ignore_cleanup_errors=True) as temp,
        local_cluster(temp, nodes=nodes) as cluster,
    ):
        yield cluster


def kills(cells: int, seed: int, first: str) -> int:
    draw = random.Random(seed)  # noqa: S311 - moments, not secrets
    with tempfile.TemporaryDirectory(prefix="gate-cluster-") as folder:
        project = Many(Path(folder) / "project", cells)
        engine = project.engine(*GOOD, "--delay", "0.02")
        began = time.monotonic()
        quiet = project.start("quiet", engine=engine)
        turn = Turn(first)
        going_on = True
        while going_on:
            heads = turn.killed["head"]
            with cluster_of(NODES) as cluster:
                code = disturbed(project, cluster, engine, draw, turn)
            # A head that was killed before the run had connected leaves an address without a cluster.
            unconnected = code == Exit.USAGE and turn.killed["head"] > heads
            going_on = code in {-signal.SIGKILL, Exit.NOT_MEASURED} or unconnected
        print(
            f"{cells} cells on {NODES} nodes: exit {code}, {since(began)}, killed {dict(turn.killed)}",
            flush=True,
        )
        print(f"one after the other, beside it: exit {quiet.wait()}", flush=True)
        for out, ended in (("quiet", quiet.returncode), ("disturbed", code)):
            if ended == Exit.USAGE:
                sys.exit(f"the {out} run was refused: {project.log(out).read_text()[-1000:]}")
        left = lingering(project)
        same = project.outcomes("quiet") == project.outcomes("disturbed")
        twice = project.twice("disturbed")
        print(f"outcomes equal to the quiet run's: {same}; samples twice: {twice}; engines left: {left}")
        return 0 if same and not twice and not left and code == quiet.returncode else 1


def disturbed(
    project: Many,
    cluster: LocalCluster,
    engine: str,
    draw: random.Random,
    turn: Turn,
) -> int:
    """The exit code of a run for as long as its cluster lives."""
    ray = ("--executor", "ray", "--address", cluster.address)
    with project.start("disturbed", *ray, engine=engine) as run:
        while run.poll() is None:
            try:
                run.wait(draw.uniform(*PAUSE) * max(10, len(project.names)))
            except subprocess.TimeoutExpired:
                kind = turn.next()
                kill(kind, cluster, run, draw)
                if kind == "node":
                    cluster.add()
                elif kind == "head":  # there is nothing left that could be killed
                    run.wait()
            else:
                break
        return run.wait()


def kill(kind: str, cluster: LocalCluster, run: subprocess.Popen[str], draw: random.Random) -> None:
    if kind == "node":
        cluster.kill(draw.choice(cluster.nodes))
    elif kind == "worker":
        workers = [p for p in psutil.process_iter(["cmdline"]) if is_worker(p)]
        if workers:
            draw.choice(workers).kill()
    elif kind == "driver":
        run.send_signal(signal.SIGKILL)
    else:
        cluster.kill_head()


def is_worker(process: psutil.Process) -> bool:
    return (process.info["cmdline"] or [""])[0].startswith("ray::EngineHost") and is_ours(process)


def is_ours(process: psutil.Process) -> bool:
    try:
        return os.getpid() in {parent.pid for parent in process.parents()}
    except psutil.NoSuchProcess:
        return False


def lingering(project: Many, seconds: float = 30.0) -> int:
    """Engines that are left when those that were told to end have had the time to."""
    deadline = time.monotonic() + seconds
    while project.engines() and time.monotonic() < deadline:
        time.sleep(0.5)
    return len(project.engines())


def speed(cells: int, answer: float, sizes: Sequence[int]) -> int:
    with tempfile.TemporaryDirectory(prefix="gate-cluster-") as folder:
        project = Many(Path(folder) / "project", cells)
        engine = project.engine(*GOOD, "--delay", str(answer))
        alone = timed(project, "alone", engine)
        print(f"sequential, {cells} cells, an answer after {answer} s: {alone:.1f} s", flush=True)
        for nodes in sizes:
            with cluster_of(nodes) as cluster:
                took = timed(project, f"on{nodes}", engine, "--executor", "ray", "--address", cluster.address)
            print(f"Ray, {nodes} node(s): {took:.1f} s, {alone / took:.2f} times as fast", flush=True)
    return 0


def real() -> int:
    with tempfile.TemporaryDirectory(prefix="gate-cluster-") as folder:
        alone, hosted = Path(folder) / "alone", Path(folder) / "hosted"
        began = time.monotonic()
        without = measuring(alone).wait()
        print(f"sequential: exit {without}, {since(began)}", flush=True)
        with cluster_of(NODES) as cluster:
            began = time.monotonic()
            run = measuring(hosted, "--executor", "ray", "--address", cluster.address)
            journal = hosted / "journals"
            while run.poll() is None and samples_in(journal) < SAMPLES_BEFORE:
                time.sleep(0.2)
            workers = [p for p in psutil.process_iter(["cmdline"]) if is_worker(p)]
            for worker in workers:
                worker.kill()
            code = run.wait()
            print(f"Ray, {len(workers)} worker(s) killed: exit {code}, {since(began)}", flush=True)
        (one,), (other,) = records.read_all(alone / "records"), records.read_all(hosted / "records")
        asked = list(zip("".join(one.outcomes), "".join(other.outcomes), strict=True))
        differing = sum(left != right for left, right in asked)
        print(f"{differing} of {len(asked)} outcomes differ; restarts: {[r.reason for r in other.restarts]}")
        left = [p for p in psutil.process_iter(["cmdline"]) if str(ENGINE) in (p.info["cmdline"] or [])]
        print(f"engines left: {len(left)}")
        return 0 if code == without == Exit.PASS and len(workers) == 1 and not left else 1


def measuring(out: Path, *options: str) -> subprocess.Popen[bytes]:
    """`gate run` of the embedded cell."""
    cache = Path(".cache")
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "gate", "run", "configs/tiny-gpt-oss-w4a8.yaml"),
            *("--backend", "emulation"),
            *("--engine-command", str(ENGINE), "--model", str(cache / "tiny-gpt-oss-w4a8"), "--arch", "cpu"),
            *("--dataset-path", str(cache / "tiny-questions.csv"), "--head-sha", HEAD, "--no-probe"),
            *("--out", str(out), *options),
        ],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
    )


def samples_in(journals: Path) -> int:
    """Samples that have arrived so far."""
    return sum(len(path.read_text().splitlines()) - 1 for path in journals.glob("*.jsonl"))


def timed(project: Many, out: str, engine: str, *options: str) -> float:
    began = time.monotonic()
    with project.start(out, *options, engine=engine) as run:
        run.wait()
    assert run.returncode in {0, 1, 3}, project.log(out).read_text()[-2000:]
    return time.monotonic() - began


def since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


def million(samples: int, workers: int) -> int:
    return asyncio.run(drive(samples, workers))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=["kills", "speed", "real", "million"])
    parser.add_argument("--cells", type=int, default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", choices=KINDS, default=KINDS[0], help="what is killed first")
    parser.add_argument("--answer", type=float, default=0.5, help="seconds after which an engine answers")
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, NODES], help="of speed")
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--workers", type=int, default=8)
    given: Any = parser.parse_args(argv)
    if given.part == "kills":
        return kills(given.cells or 200, given.seed, given.first)
    if given.part == "speed":
        return speed(given.cells or 40, given.answer, given.nodes)
    if given.part == "real":
        return real()
    return million(given.samples, given.workers)


if __name__ == "__main__":
    sys.exit(main())
