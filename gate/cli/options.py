"""The options that several commands share: each is described once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Sources = Annotated[
    list[Path], typer.Argument(metavar="CONFIG_OR_LIST...", help="configs (*.yaml) or lists (*.txt)")
]
Backends = Annotated[
    list[str] | None, typer.Option("--backend", metavar="NAME", help="only this backend; may be repeated")
]
Arch = Annotated[str, typer.Option(help="GPU architecture; auto asks runners.yaml, then the machine")]
Baselines = Annotated[Path, typer.Option(help="folder of the committed baselines")]
Out = Annotated[Path, typer.Option(help="folder for records, reports, journals and logs")]
AsJson = Annotated[bool, typer.Option("--json", help="for programs instead of people")]
EngineCommand = Annotated[
    str,
    typer.Option(
        envvar="GATE_ENGINE_COMMAND", help="what starts the engine under test; split into words, no shell"
    ),
]
EngineImage = Annotated[str | None, typer.Option(help="container image of the engine under test, by digest")]
EngineEnv = Annotated[
    list[str] | None,
    typer.Option("--engine-env", metavar="NAME=VALUE", help="a variable for the engine"),
]
Model = Annotated[str | None, typer.Option(help="folder (or id) of the model, instead of the config's")]
HfHome = Annotated[Path | None, typer.Option(help="Hugging Face home whose cache holds the model")]
DatasetPath = Annotated[Path | None, typer.Option(help="the question set, instead of the task's own")]
Cache = Annotated[Path, typer.Option(envvar="GATE_CACHE", help="folder of fetched question sets")]
Concurrency = Annotated[int | None, typer.Option(min=1, help="requests in flight; at most 256 by default")]
WiderMargin = Annotated[
    bool, typer.Option("--accept-wider-margin", help="go on where the cap proves only a wider margin")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="only the report at the end")]
FailOn = Annotated[str | None, typer.Option(help="exit 0 unless the verdict is one of these, or `strict`")]
FamilySize = Annotated[
    int | None, typer.Option(min=1, help="cells that share alpha (C); default: those at hand")
]


def given(arch: str) -> str | None:
    """The arch that was asked for; None for `auto`."""
    return None if arch == "auto" else arch
