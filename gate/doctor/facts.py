"""What `gate doctor` looks at: everything it found out about a runner, and nothing decided yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from gate.cells import CellSpec
from gate.serving.gpu import Gpu, GpuProcess

MODELS: Final = "models"


class Disk(NamedTuple):
    """A folder the gate writes to or reads from, and the bytes free there."""

    what: str
    path: Path
    free: int


class GpuChoice(NamedTuple):
    """A variable that says which GPUs an engine sees, and how many it names."""

    variable: str
    value: str
    shown: int


class ModelFacts(NamedTuple):
    """One model of the configs.

    `folder` is where it was given instead of fetched; `problem` why it cannot be used; `size` bytes of the
    weights that are there, `to_fetch` of what is missing as far as it is known; `listed` whether
    `gate prefetch` kept a list of what belongs to the commit.
    """

    name: str
    pinned: str | None
    folder: Path | None = None
    commit: str | None = None
    problem: str | None = None
    size: int | None = None
    to_fetch: int = 0
    listed: bool = False
    is_harmony: bool = False


class DatasetFacts(NamedTuple):
    """One question set: how many questions, or why it cannot be read."""

    name: str
    questions: int = 0
    problem: str | None = None


class EngineFacts(NamedTuple):
    """The engine under test, as its own Python describes it; where it cannot be asked, why and what to do."""

    command: str
    versions: Mapping[str, str]
    importable: bool = False
    problem: str | None = None
    do: str = ""


class ContainerEngine(NamedTuple):
    """Asked only where an image is measured, by the client that a run would use.

    `server` is None where it did not answer or a run would be refused; then why, and what to do.
    """

    client: str
    server: str | None
    has_image: bool = False
    problem: str | None = None
    do: str | None = None


class Encodings(NamedTuple):
    """The file that older harmony packages read: where it should be, and its SHA-256 if it is there.

    `base` is the folder that the engine is told, in its image where `in_image`; None where nothing names one.
    """

    base: str | None
    sha256: str | None
    in_image: bool = False


class Moment(NamedTuple):
    """A time that has certainly passed: something else's clock wrote it."""

    what: str
    seconds: float


class Actions(NamedTuple):
    """What a GitHub Actions job says of itself; None where it does not say.

    `ephemeral` is what the runner's own settings say, `public` what the event says of the repository.
    """

    self_hosted: bool = False
    public: bool | None = None
    ephemeral: bool | None = None


class Token(NamedTuple):
    """A GitHub token in the environment: its variable, its kind, and what GitHub says it may do.

    `scopes` are those of a classic token; `may_push` is what the repository's entry says; `problem` why
    nothing is known. Never the token.
    """

    variable: str
    kind: str
    scopes: tuple[str, ...] = ()
    may_push: bool | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Facts:
    """A runner. Sizes in bytes, times in seconds since 1970."""

    specs: tuple[CellSpec, ...]
    engine: EngineFacts | None
    image: str | None
    arch: str | None
    arch_problem: str | None
    gpus: tuple[Gpu, ...]
    gpu_processes: tuple[GpuProcess, ...]
    gpu_choice: GpuChoice | None
    memory_total: int
    memory_available: int
    disks: tuple[Disk, ...]
    models: tuple[ModelFacts, ...]
    datasets: tuple[DatasetFacts, ...]
    encodings: tuple[Encodings, ...]
    ports: tuple[int, int] | None
    port_problem: str | None
    container_engine: ContainerEngine | None
    now: float
    moments: tuple[Moment, ...]
    hf_token: bool
    token: Token | None
    actions: Actions | None
    allow_persistent: bool = False
