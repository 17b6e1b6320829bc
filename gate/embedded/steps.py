"""Steps that are done once: each leaves a stamp with the hash of what it was made from.

A stamp is written only after its step has finished, and a mark `<step>.begun` stands while the step
runs. So an interrupted step is known on the next call, and a finished one costs a hash.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from gate.errors import EngineError

LAST_LINES = 15


class Finished(NamedTuple):
    """How a command ended: its exit code and its output, stdout and stderr together."""

    code: int
    output: str


class Runner(Protocol):
    """Runs a command to its end."""

    def __call__(self, argv: Sequence[str], environment: Mapping[str, str]) -> Finished:
        """Run `argv` with `environment` added to this process's own."""
        ...


class Step(NamedTuple):
    """One thing to do.

    Attributes:
        name: what the stamp and the messages call it.
        digest: hash of everything that the result depends on.
        do: does it, and says in a few words what was done.
        intact: whether what it made is still there.
    """

    name: str
    digest: str
    do: Callable[[], str]
    intact: Callable[[], bool] = lambda: True


class Stamps:
    """The stamps of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def is_done(self, step: Step) -> bool:
        """Whether `step` has finished with these very inputs and what it made is still there."""
        stamp = self._folder / step.name
        return stamp.is_file() and stamp.read_text(encoding="ascii") == step.digest and step.intact()

    def is_untouched(self, step: Step) -> bool:
        """Whether `step` was never even begun."""
        return not (self._folder / step.name).exists() and not self._begun(step).exists()

    def forget(self) -> None:
        """Take every step for never begun."""
        for mark in self._folder.glob("*"):
            mark.unlink()

    def begin(self, step: Step) -> None:
        """Note that `step` is under way."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / step.name).unlink(missing_ok=True)
        self._begun(step).touch()

    def finish(self, step: Step) -> None:
        """Note that `step` is done."""
        (self._folder / step.name).write_text(step.digest, encoding="ascii")
        self._begun(step).unlink()

    def _begun(self, step: Step) -> Path:
        return self._folder / f"{step.name}.begun"


def perform(steps: Iterable[Step], stamps: Stamps, say: Callable[[str], None]) -> int:
    """Do the steps that are not done, in order; the number of those."""
    count = 0
    for step in steps:
        if stamps.is_done(step):
            continue
        say(f"{step.name}: ...")
        started = time.monotonic()
        stamps.begin(step)
        done = step.do()
        stamps.finish(step)
        say(f"{step.name}: {done} ({time.monotonic() - started:.1f} s)")
        count += 1
    return count


def digest_of(*parts: str | Path) -> str:
    """SHA-256 over texts, files and folders (names and contents, no bytecode), in this order.

    A missing path counts as nothing: the step that needs it will say so.
    """
    total = hashlib.sha256()
    for part in parts:
        for label, content in _contents(part):
            total.update(f"{label}\0{len(content)}\0".encode())
            total.update(content)
    return total.hexdigest()


def _contents(part: str | Path) -> Iterable[tuple[str, bytes]]:
    if isinstance(part, str):
        yield "", part.encode()
    elif part.is_dir():
        for path in sorted(part.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(part).as_posix(), path.read_bytes()
    elif part.is_file():
        yield part.name, part.read_bytes()


def must(step: str, argv: Sequence[str], run: Runner, environment: Mapping[str, str]) -> str:
    """The output of a command that has to succeed.

    Raises:
        EngineError: it did not; names the step, the command and the last lines of its output.
    """
    finished = run(argv, environment)
    if finished.code == 0:
        return finished.output
    raise failure(step, argv, finished)


def failure(step: str, argv: Sequence[str], finished: Finished) -> EngineError:
    """The error for a command that failed."""
    tail = "\n  ".join(finished.output.rstrip().splitlines()[-LAST_LINES:])
    return EngineError(
        f"step {step!r} failed: exit {finished.code} from: {' '.join(argv)}\n  {tail}",
        hint="Mend the cause and call the same command again.",
    )
