"""The command `gate import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gate.cli.options import AcceptUnproven, Arch, AsJson, Baselines, HfHome, Model, Out, given, unproven
from gate.cli.output import print_json


def import_log(
    harness: Annotated[
        Literal["lm-eval", "inspect", "gpt-oss", "evalscope"], typer.Argument(help="who wrote the log")
    ],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="the log, or the folder it is in")],
    config: Annotated[Path, typer.Option(help="the config of the cell: `task: {name: imported, ...}`")],
    backend: Annotated[str | None, typer.Option(help="its backend, where it has several")] = None,
    arch: Arch = "auto",
    purpose: Annotated[
        Literal["gate", "baseline"], typer.Option(help="judge the run, or add it to the baseline")
    ] = "gate",
    repeats: Annotated[
        int | None, typer.Option(min=2, help="size of a run for the baseline, if it is not the config's")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="why the run is accepted into the baseline")] = None,
    accepted_by: Annotated[
        str | None, typer.Option(envvar="GITHUB_ACTOR", help="who answers for it; default: git's user")
    ] = None,
    baselines: Baselines = Path("baselines"),
    out: Out = Path("out"),
    engine_log: Annotated[
        Path | None, typer.Option(help="what the engine logged during the run: proves what ran")
    ] = None,
    accept_unproven: AcceptUnproven = None,
    served_model: Annotated[
        str | None, typer.Option(help="what the harness called the config's model")
    ] = None,
    model: Model = None,
    hf_home: HfHome = None,
    accept_empty: Annotated[
        bool, typer.Option("--accept-empty", help="empty answers are answers, not refused requests (gpt-oss)")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Turn another harness's log into a run record."""
    from gate import importing
    from gate.collect import Collection

    request = importing.ImportRequest(
        harness=harness,
        paths=tuple(paths),
        config=config,
        out=out,
        baselines=baselines,
        purpose=purpose,
        arch=given(arch),
        backend=backend,
        repeats=repeats,
        collection=Collection(repeats=repeats, accepted_by=accepted_by, reason=reason),
        served_model=served_model,
        engine_log=engine_log,
        model=model,
        hf_home=hf_home,
        accept_empty=accept_empty,
        accept_unproven=unproven(accept_unproven),
    )
    done = importing.import_log(request)
    if as_json:
        print_json({"record": str(done.record), "baseline": str(done.added.path) if done.added else None})
    else:
        typer.echo(done.added or done.record)
