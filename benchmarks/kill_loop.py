"""`kill -9` of the real engine's own processes at random moments: nothing wrong, nothing left, nothing hangs.

    python -m benchmarks.kill_loop [--rounds 20] [--first-round 1] [--seed 1] [--out DIR]

An undisturbed `gate run` of the embedded model is the reference. Each round runs the same commit again and
kills one of the engine's `VLLM::` processes while it starts or after a random number of samples, in every
fourth round once more after the restart. A round is right when it ends with the reference's outcomes to the
letter, or as `not_measured`; when not one sample in its journal differs from the reference's; and when no
process of it is left. Exits 1 when a round is not. The margin is 10 points instead of the config's 5: the
verdict comes after a few hundred samples, and a round is mostly the engine's two starts. What round N does
depends on the seed and N alone, so twenty rounds can be played in pieces: `--first-round 5 --rounds 4` with
the same --out, where the reference is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

import psutil

ROOT: Final = Path(__file__).resolve().parents[1]
CONFIG: Final = ROOT / "configs/tiny-gpt-oss-w4a8.yaml"
BACKEND: Final = "emulation"
STEM: Final = f"cpu__{CONFIG.stem}__{BACKEND}"
COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
SHARE_AT_START: Final = 0.2
LAST_SHARE: Final = 0.9
POLL_SECONDS: Final = 0.05
ROUND_SECONDS: Final = 1800.0

Samples = dict[tuple[str, int], str]


class Moment(NamedTuple):
    """When to kill: `seconds` after the engine's first process is seen, or once `samples` are in."""

    seconds: float | None
    samples: int

    def __str__(self) -> str:
        return f"{self.samples} samples" if self.seconds is None else f"{self.seconds:.0f} s into its start"


class Round(NamedTuple):
    """What became of one run."""

    moments: tuple[Moment, ...]
    killed: tuple[str, ...]
    noticed: tuple[float, ...]
    seconds: float
    code: int
    verdict: str
    restarts: int
    outcomes: tuple[str, ...]
    samples: Samples
    orphans: tuple[str, ...]

    def faults(self, reference: Round) -> list[str]:
        """What is wrong with it; empty where it is right."""
        found = [f"left behind: {name}" for name in self.orphans]
        differing = [k for k, v in self.samples.items() if reference.samples.get(k, v) != v]
        if differing:
            found.append(f"{len(differing)} of {len(self.samples)} samples differ from the reference's")
        if self.verdict == "not_measured":
            return found if self.code == 4 else [*found, f"not_measured, but exit {self.code}"]
        if (self.code, self.verdict, self.outcomes) != (
            reference.code,
            reference.verdict,
            reference.outcomes,
        ):
            found.append(f"{self.verdict} (exit {self.code}) with other outcomes than the reference's")
        return found


class Watched:
    """A `gate run` in progress, and every process that was ever seen below it."""

    def __init__(self, out: Path) -> None:
        self.out = out
        config = out.parent / "configs" / CONFIG.name
        config.parent.mkdir(exist_ok=True)
        config.write_text(CONFIG.read_text().replace("margin: 0.05", "margin: 0.1"))
        self.log = out / "logs" / f"{STEM}.restart-1.log"
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "gate", "run", str(config), "--backend", BACKEND, "--arch", "cpu"),
                *("--engine-command", str(ROOT / ".venv-engine/bin/vllm")),
                *("--model", str(ROOT / ".cache/tiny-gpt-oss-w4a8")),
                *("--dataset-path", str(ROOT / ".cache/tiny-questions.csv")),
                *("--baselines", str(ROOT / "baselines"), "--head-sha", COMMIT, "--out", str(out)),
                "--no-probe",
            ],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=(out.parent / f"{out.name}.txt").open("wb"),
        )
        self._root = psutil.Process(self.process.pid)
        self._seen: dict[int, psutil.Process] = {}

    def running(self) -> bool:
        """Look at the processes; whether gate still runs."""
        try:
            self._seen.update({p.pid: p for p in self._root.children(recursive=True) if p.is_running()})
        except psutil.NoSuchProcess:
            return False
        return self.process.poll() is None

    def workers(self) -> list[psutil.Process]:
        """The engine's own named processes that run now."""
        return [p for p in self._seen.values() if title(p).startswith("VLLM::")]

    def journal(self) -> bytes:
        """The journal of the commit so far; the folder is fresh, so there is only one."""
        return b"".join(path.read_bytes() for path in self.out.glob(f"journals/{STEM}@*.jsonl"))

    def sampled(self) -> int:
        """Samples in the journal."""
        return max(0, self.journal().count(b"\n") - 1)

    def left(self) -> tuple[str, ...]:
        """Processes that outlived gate."""
        return tuple(f"{p.pid} {title(p)}" for p in self._seen.values() if title(p))


def title(process: psutil.Process) -> str:
    """The first word of its command line; empty once it has ended."""
    try:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return ""
        return (process.cmdline() or [""])[0]
    except psutil.NoSuchProcess:
        return ""


def play(out: Path, moments: tuple[Moment, ...], chance: random.Random) -> Round:
    """One run, disturbed at these moments."""
    watched, began = Watched(out), time.monotonic()
    killed: list[str] = []
    noticed: list[float] = []
    before: set[int] = set()
    for moment in moments:
        if not _await(watched, moment, before):
            break
        target = chance.choice([p for p in watched.workers() if p.pid not in before])
        before |= {p.pid for p in watched.workers()}
        name, kept = title(target), watched.sampled()
        os.kill(target.pid, signal.SIGKILL)
        killed.append(f"{name} after {kept}")
        at = time.monotonic()
        while watched.running() and not (len(killed) == 1 and watched.log.exists()):
            time.sleep(POLL_SECONDS)
        noticed.append(time.monotonic() - at)
    while watched.running():
        if time.monotonic() - began > ROUND_SECONDS:
            watched.process.kill()
        time.sleep(POLL_SECONDS)
    return _round(watched, moments, killed, noticed, time.monotonic() - began)


def _await(watched: Watched, moment: Moment, before: set[int]) -> bool:
    """Wait until the moment has come and there is a process to kill; False if the run ended first."""
    first: float | None = None
    while watched.running():
        fresh = [p for p in watched.workers() if p.pid not in before]
        first = first or (time.monotonic() if fresh else None)
        late = moment.seconds is None or (first and time.monotonic() - first >= moment.seconds)
        if fresh and late and watched.sampled() >= moment.samples:
            return True
        time.sleep(POLL_SECONDS)
    return False


def _round(
    watched: Watched, moments: tuple[Moment, ...], killed: list[str], noticed: list[float], seconds: float
) -> Round:
    code = watched.process.wait()
    record = json.loads((watched.out / "records" / f"{STEM}.json").read_text())
    report = json.loads((watched.out / "report.json").read_text())
    lines = watched.journal().splitlines()[1:]
    samples = {(s["q"], s["r"]): s["o"] for s in map(json.loads, lines)}
    return Round(
        moments=moments,
        killed=tuple(killed),
        noticed=tuple(noticed),
        seconds=seconds,
        code=code,
        verdict=report["cells"][0]["verdict"],
        restarts=len(record["restarts"]),
        outcomes=tuple(record["outcomes"]),
        samples=samples,
        orphans=watched.left(),
    )


def reference_in(out: Path) -> Round:
    """The undisturbed run: that of an earlier piece, or a new one; exits where it was not measured."""
    kept = out / "reference.json"
    if kept.exists():
        stored = json.loads(kept.read_text())
        samples = {(question, repeat): outcome for question, repeat, outcome in stored.pop("samples")}
        return Round(**{name: _frozen(value) for name, value in stored.items()}, samples=samples)
    made = play(out / "reference", (), random.Random())  # noqa: S311 - nothing is drawn
    if made.verdict == "not_measured":
        sys.exit(f"the undisturbed run was not measured: see {out / 'reference.txt'}")
    samples = [[*place, outcome] for place, outcome in made.samples.items()]
    kept.write_text(json.dumps(made._asdict() | {"samples": samples}))
    return made


def _frozen(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def moments_of(number: int, reference: Round, chance: random.Random) -> tuple[Moment, ...]:
    """Random moments of one round, counted from 1: one, in every fourth round two."""
    found = []
    for _ in range(2 if number % 4 == 0 else 1):
        at_start = chance.random() < SHARE_AT_START
        share = chance.random()
        found.append(
            Moment(
                share * 20 if at_start else None,
                0 if at_start else int(LAST_SHARE * share * len(reference.samples)),
            )
        )
    return tuple(found)


def row(number: int, done: Round, faults: list[str]) -> str:
    """One line of the table."""
    killed = ", then ".join(done.killed) or "nothing: it ended first"
    times = ", ".join(f"{seconds:.1f}" for seconds in done.noticed)
    cells = [
        number,
        killed,
        times,
        done.verdict,
        done.restarts,
        f"{done.seconds:.0f}",
        "; ".join(faults) or "nothing",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> int:
    """Play the rounds and print a table; 1 where one of them is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--first-round", type=int, default=1, help="go on where an earlier piece ended")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="keep the runs' folders, and the reference, here")
    options = parser.parse_args()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        out = options.out or Path(scratch)
        out.mkdir(parents=True, exist_ok=True)
        reference = reference_in(out)
        print(f"reference: {reference.verdict}, {len(reference.samples)} samples, {reference.seconds:.0f} s")
        print("\n| round | killed | noticed after s | verdict | restarts | seconds | wrong |", flush=True)
        print("| --- | --- | --- | --- | --- | --- | --- |")
        rounds = []
        for number in range(options.first_round, options.first_round + options.rounds):
            chance = random.Random(f"{options.seed} {number}")  # noqa: S311
            done = play(out / f"round-{number}", moments_of(number, reference, chance), chance)
            rounds.append(done)
            faults = done.faults(reference)
            wrong += faults
            print(row(number, done, faults), flush=True)
    resumed = sum(r.verdict != "not_measured" and r.restarts > 0 for r in rounds)
    unmeasured = sum(r.verdict == "not_measured" for r in rounds)
    print(
        f"\n{len(rounds)} rounds: {resumed} correct resumes, {unmeasured} not_measured, {len(wrong)} faults"
    )
    return int(bool(wrong) or not all(r.killed for r in rounds))


if __name__ == "__main__":
    sys.exit(main())
