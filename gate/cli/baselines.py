"""Commands below `gate baseline`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.options import (
    Arch,
    AsJson,
    Backends,
    Baselines,
    Cache,
    Concurrency,
    DatasetPath,
    EngineCommand,
    EngineEnv,
    EngineImage,
    HfHome,
    Model,
    Out,
    Quiet,
    Sources,
)
from gate.cli.output import progress


def baseline_collect(
    paths: Sources,
    repeats: Annotated[int, typer.Option(min=2, help="samples of each question in a run; declared here")],
    reason: Annotated[
        str | None, typer.Option(help="why these runs are accepted; needed where there is a baseline")
    ] = None,
    accepted_by: Annotated[
        str | None, typer.Option(envvar="GITHUB_ACTOR", help="who answers for them; default: git's user")
    ] = None,
    runs: Annotated[int, typer.Option(min=1, help="runs of each cell, one after the other")] = 1,
    backend: Backends = None,
    arch: Arch = "auto",
    baselines: Baselines = Path("baselines"),
    out: Out = Path("out"),
    engine_command: EngineCommand = "vllm",
    engine_image: EngineImage = None,
    engine_env: EngineEnv = None,
    model: Model = None,
    hf_home: HfHome = None,
    dataset_path: DatasetPath = None,
    cache: Cache = Path(".cache"),
    concurrency: Concurrency = None,
    quiet: Quiet = False,
) -> None:
    """Measure fixed-size runs of every cell and add them to the store."""
    from gate.collect import Collection, collect_baselines
    from gate.engine import EngineChoice
    from gate.plan import Origins
    from gate.run import RunRequest

    request = RunRequest(
        paths=tuple(paths),
        origins=Origins(baselines, cache, model, dataset_path, hf_home),
        out=out,
        backends=tuple(backend or ()),
        arch=arch,
        engine=EngineChoice(engine_command, engine_image, tuple(engine_env or ())),
        concurrency=concurrency,
    )
    collection = Collection(repeats, runs, accepted_by, reason)
    for path in collect_baselines(request, collection, progress(quiet=quiet)):
        typer.echo(path)


def baseline_show(
    pattern: Annotated[str, typer.Argument(help="cells, as arch/config/backend with * and ?")] = "*",
    baselines: Baselines = Path("baselines"),
    as_json: AsJson = False,
) -> None:
    """Show what the store holds."""
    from gate.baseline.show import show_command

    raise typer.Exit(int(show_command(baselines, pattern, as_json=as_json, write=typer.echo)))


def baseline_verify(baselines: Baselines = Path("baselines"), as_json: AsJson = False) -> None:
    """Check every file of the store: schema, hashes, and that its pools recompute."""
    from gate.baseline.verify import verify_command

    raise typer.Exit(int(verify_command(baselines, as_json=as_json, write=typer.echo)))
