"""What a drill does, one exercise after the other, and the file that lets an interrupted one go on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import ValidationError

from gate.embedded import faults
from gate.errors import RecordError, UsageError
from gate.files import invalid_field
from gate.model.fields import Frozen
from gate.model.probe import Probe, ProbeFingerprint
from gate.numerics.selftest import ScoreTest

CONCURRENCY: Final = 32


class Server(NamedTuple):
    """How an engine is served: a backend, an option left out with its value, and options put in its place."""

    backend: str = "emulation"
    without: str = ""
    more: tuple[str, ...] = ()


USUAL: Final = Server()
PLAIN_CACHE: Final = Server(without="--kv-cache-dtype")
SMALL_BATCHES: Final = Server(more=("--max-num-seqs", "8"))


class Exercise(NamedTuple):
    """One thing to measure.

    `part`: the `base` that all is compared with, a `rerun` of it, a healthy `variant`, the same `again`, a
    `fault`, or the `score` of a fault (of the healthy engine where `sabotage` is empty).
    """

    name: str
    part: Literal["base", "rerun", "variant", "again", "fault", "score"]
    server: Server = USUAL
    sabotage: str = ""
    concurrency: int = CONCURRENCY

    @property
    def key(self) -> str:
        """What tells it from every other."""
        return f"{self.part} {self.name}"


@dataclass(frozen=True)
class Drill:
    """What to try. `score_minutes` 0 leaves out the score's test; `only` names faults, all where empty."""

    score_minutes: float = 1.5
    only: tuple[str, ...] = ()
    healthy: bool = True

    @property
    def faults(self) -> dict[str, str]:
        """The faults to try, with what they do.

        Raises:
            UsageError: a name is no fault.
        """
        unknown = sorted(set(self.only) - set(faults.FAULTS))
        if unknown:
            raise UsageError(f"no fault is named {unknown[0]!r}", hint=f"one of {', '.join(faults.FAULTS)}")
        return {name: what for name, what in faults.FAULTS.items() if not self.only or name in self.only}

    @property
    def exercises(self) -> tuple[Exercise, ...]:
        """All of it: first the probes, server by server, then the scores, which take longer."""
        done = [Exercise("baseline", "base"), Exercise("concurrency 8", "rerun", concurrency=8)]
        if self.healthy:
            for name, what in faults.HEALTHY.items():
                done += _twice(f"{name}: {what}", sabotage=name)
        done += [Exercise(name, "fault", sabotage=name) for name in self.faults]
        done += [Exercise("after every fault", "rerun"), Exercise("concurrency 1", "rerun", concurrency=1)]
        if self.healthy:
            done.append(Exercise("another server, batches of at most 8", "rerun", SMALL_BATCHES))
            done += _twice("KV cache in BF16", server=PLAIN_CACHE)
        if self.score_minutes:
            scores = [Exercise(name, "score", sabotage=name) for name in self.faults]
            done += [*scores, *([Exercise("healthy", "score")] if self.healthy else [])]
        return tuple(done)


def _twice(name: str, server: Server = USUAL, sabotage: str = "") -> list[Exercise]:
    """Healthy arithmetic of another kind: part of the floor, and compared with its own baseline."""
    return [
        Exercise(name, "variant", server, sabotage),
        Exercise(name, "again", server, sabotage, concurrency=8),
    ]


class Done(Frozen):
    """What an exercise found: a probe, or a test of the score."""

    exercise: str
    probe: Probe | None = None
    score: ScoreTest | None = None
    load: float = 0.0


class _Heading(Frozen):
    fingerprint: ProbeFingerprint
    engine: str


class Notebook:
    """What a drill has done so far, one line each: the same drill in the same folder goes on from here.

    Args:
        path: a JSON Lines file.
        fingerprint, engine: what all of its lines must have in common.

    Raises:
        UsageError: the file is of another drill.
        RecordError: the file is damaged, other than by a torn last line.
    """

    def __init__(self, path: Path, fingerprint: ProbeFingerprint, engine: str) -> None:
        self._path = path
        heading = _Heading(fingerprint=fingerprint, engine=engine)
        self.done: dict[str, Done] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1].splitlines()
        try:
            lines = [Done.model_validate_json(line) for line in whole[1:]]
            other = whole and _Heading.model_validate_json(whole[0]) != heading
        except ValidationError as problem:
            raise RecordError(invalid_field(problem), where=str(path), hint=_ANEW) from problem
        if other:
            raise UsageError("this folder holds another drill", where=str(path), hint=_ANEW)
        self.done = {line.exercise: line for line in lines}
        if len(whole) != text.count("\n") or not whole or not text.endswith("\n"):
            path.write_text("".join(f"{line}\n" for line in whole or [heading.model_dump_json()]), "utf-8")

    def pending(self, exercises: Sequence[Exercise]) -> tuple[Exercise, ...]:
        """Those that are not done."""
        return tuple(one for one in exercises if one.key not in self.done)

    def add(self, exercise: Exercise, probe: Probe | None = None, score: ScoreTest | None = None) -> None:
        """Note what an exercise found."""
        done = Done(exercise=exercise.key, probe=probe, score=score, load=round(os.getloadavg()[0], 1))
        with self._path.open("a", encoding="utf-8") as file:
            file.write(done.model_dump_json() + "\n")
        self.done[exercise.key] = done


_ANEW: Final = "remove the file, or give another folder with --out"
