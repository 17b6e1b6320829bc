"""Commands that set a repository up: `init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(help="the repository to set up")] = Path(),
    gate: Annotated[
        str | None, typer.Option(metavar="OWNER/NAME@COMMIT", help="the gate to use, at a full commit")
    ] = None,
    config: Annotated[
        str, typer.Option(help="which of the gate's configs to begin with")
    ] = "gpt-oss-20b-rocm-mxfp4-fp8",
    arch: Annotated[str, typer.Option(help="GPU architecture of the runners")] = "gfx950",
    runs_on: Annotated[
        list[str] | None, typer.Option(metavar="LABEL", help="labels of the runners; repeatable")
    ] = None,
    gpus: Annotated[int, typer.Option(min=0, help="GPUs of one runner")] = 1,
    owner: Annotated[
        list[str] | None,
        typer.Option(
            metavar="@USER_OR_TEAM", help="who reviews configs, baselines and workflows; repeatable"
        ),
    ] = None,
    engine_command: Annotated[
        str, typer.Option(help="what starts the engine on the runner")
    ] = "/opt/engine/bin/vllm",
    hf_home: Annotated[str, typer.Option(help="Hugging Face cache on the runner")] = "/data/huggingface",
) -> None:
    """Set up a repository: config, list, workflows, code owners, a README section.

    Asks for the gate's commit where there is a terminal to ask on; overwrites nothing.
    """
    import sys

    from gate.errors import UsageError
    from gate.setup import Setup, remaining, set_up

    if gate is None:
        if not sys.stdin.isatty():
            raise UsageError(
                "--gate OWNER/NAME@COMMIT is needed: which gate the workflows use",
                hint="the gate's repository and the commit of its release: "
                "git ls-remote https://github.com/OWNER/NAME prints both",
            )
        gate = typer.prompt("The gate to use (OWNER/NAME@COMMIT)")
    labels = tuple(runs_on or ("self-hosted", "linux", arch))
    setup = Setup(folder, gate, config, arch, labels, gpus, tuple(owner or ()), engine_command, hf_home)
    for path in set_up(setup):
        typer.echo(path)
    for number, step in enumerate(remaining(setup), start=1):
        typer.echo(f"Next, {number}: {step}.")
