"""Commands that prepare a runner: `prefetch`, `doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.options import (
    Arch,
    AsJson,
    Cache,
    ContainerCli,
    ContainerGroups,
    ContainerUser,
    DatasetPath,
    EngineCommand,
    EngineImage,
    HfHome,
    Model,
    Out,
    Sources,
    given,
)
from gate.cli.output import print_json, print_table


def prefetch(
    paths: Sources,
    model: Model = None,
    hf_home: HfHome = None,
    dataset_path: DatasetPath = None,
    cache: Cache = Path(".cache"),
    check: Annotated[
        bool, typer.Option("--check", help="verify what is there, every byte of it, and ask nobody")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fill and verify the caches of models and question sets; HF_TOKEN comes from the environment."""
    import os

    from gate.prefetch import PrefetchRequest, prefetch

    request = PrefetchRequest(tuple(paths), cache, hf_home, model, dataset_path, check)
    rows = prefetch(request, os.environ)
    if as_json:
        print_json([row._asdict() for row in rows])
    else:
        print_table([(row.state, row.what, row.name, *row.detail.splitlines()[:1]) for row in rows])
        for row in rows:
            for line in row.detail.splitlines()[1:]:
                typer.echo(f"{row.name}: {line.strip()}")
    raise typer.Exit(2 if any(row.state == "failed" for row in rows) else 0)


def doctor(
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[CONFIG_OR_LIST...]", help="what is to be measured here")
    ] = None,
    arch: Arch = "auto",
    out: Out = Path("out"),
    engine_command: EngineCommand = "vllm",
    engine_image: EngineImage = None,
    container_cli: ContainerCli = "docker",
    container_user: ContainerUser = None,
    container_group: ContainerGroups = None,
    model: Model = None,
    hf_home: HfHome = None,
    dataset_path: DatasetPath = None,
    cache: Cache = Path(".cache"),
    allow_persistent: Annotated[
        bool, typer.Option("--allow-persistent", help="a runner that is not ephemeral is wanted")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say whether this runner is ready to measure, and what to do where it is not; exit 2 then."""
    import os

    from gate.doctor.checks import examine, exit_of
    from gate.doctor.gather import DoctorRequest, gather
    from gate.engine import EngineChoice

    request = DoctorRequest(
        paths=tuple(paths or ()),
        engine=EngineChoice(
            engine_command,
            engine_image,
            container_cli=container_cli,
            container_user=container_user,
            container_groups=tuple(container_group or ()),
        ),
        arch=given(arch),
        out=out,
        cache=cache,
        hf_home=hf_home,
        model=model,
        dataset_path=dataset_path,
        allow_persistent=allow_persistent,
    )
    findings = examine(gather(request, os.environ))
    if as_json:
        print_json({"exit": int(exit_of(findings)), "checks": [finding._asdict() for finding in findings]})
    else:
        for finding in findings:
            typer.echo(f"{finding.status:<5} {finding.name:<13} {finding.said}")
            if finding.do:
                typer.echo(f"{'':<19} -> {finding.do}")
    raise typer.Exit(int(exit_of(findings)))
