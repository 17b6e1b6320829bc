"""What `gate run` and its kin are asked for: which cells, of which engine, from where."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from gate.cells import CellSpec, cells_of
from gate.engine import EngineChoice, Found, check_served, find_out
from gate.errors import UsageError
from gate.fingerprint import git_in, provenance
from gate.plan import Heads, Origins

Answer = TypeVar("Answer")
ExecutorName = Literal["sequential", "jobs", "ray"]


class There(Protocol):
    """Calls a function on a machine like those that the cells are measured on."""

    def __call__(self, function: Callable[..., Answer], *arguments: Any) -> Answer:  # noqa: ANN401
        """What it returns."""


def here(function: Callable[..., Answer], *arguments: Any) -> Answer:  # noqa: ANN401 - the function's
    """Here, where the cells are measured on this machine."""
    return function(*arguments)


@dataclass(frozen=True)
class RunRequest:
    """What the command line asked for."""

    paths: tuple[Path, ...]
    origins: Origins
    out: Path
    backends: tuple[str, ...] = ()
    arch: str = "auto"
    engine: EngineChoice = field(default_factory=EngineChoice)
    concurrency: int | None = None
    hang_seconds: float | None = None
    heads: Heads = field(default_factory=Heads)
    family_size: int | None = None
    accept_wider_margin: bool = False
    accept_unproven: tuple[str, ...] = ()
    fail_on: str | None = None
    jobs: int = 1
    executor: ExecutorName | None = None
    address: str = "auto"
    store: str | None = None
    confirm_with: EngineChoice | None = None
    probe: bool = True


def select(request: RunRequest, there: There = here) -> tuple[tuple[CellSpec, ...], Found]:
    """The cells asked for, and what the engine's own environment says of itself.

    Raises:
        EngineError: the engine cannot be asked, or nobody can tell the arch.
        UsageError: the engine's command does not exist; a list belongs to another arch than this machine.
    """
    given = None if request.arch == "auto" else request.arch
    # Read before the engine is asked: a misspelt config must not hide behind an engine that is not there.
    cells_of(request.paths, arch=given, backends=request.backends, unknown_arch="any")
    found = there(find_out, request.engine)
    arch = given or found.arch()
    specs = cells_of(request.paths, arch=arch, backends=request.backends)
    if found.remote is not None and len(specs) > 1:
        raise UsageError(
            f"one server serves one cell, and these are {len(specs)}",
            hint=f"name one config, and one of its backends: --backend {specs[0].cell.backend}",
        )
    if found.remote is not None and request.confirm_with is not None:
        raise UsageError(
            "--confirm-with measures the base build on the machine of the build under test",
            hint="leave it out: with --base-url that machine is somebody else's",
        )
    for spec in specs:
        check_served(spec, found, request.origins.model)
    return specs, found


def provenance_of(spec: CellSpec, request: RunRequest, found: Found) -> dict[str, str]:
    """Where a run of this cell comes from."""
    return provenance(
        git=git_in(Path.cwd()),
        environ=os.environ,
        now=datetime.now(UTC),
        server_args=spec.server_args,
        store=request.origins.baselines,
        extra={**found.provenance(), **request.engine.provenance()},
    )
