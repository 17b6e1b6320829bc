"""The options that several commands share: each is described once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gate.run import RunRequest

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
HangSeconds = Annotated[
    float | None,
    typer.Option(min=1, help="no token and no answer for so long: the engine hangs; default: the config's"),
]
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


@dataclass(frozen=True)
class Measuring:
    """The options of every command that starts an engine; `measures` turns each field into one."""

    backend: Backends = None
    arch: Arch = "auto"
    baselines: Baselines = Path("baselines")
    out: Out = Path("out")
    engine_command: EngineCommand = "vllm"
    engine_image: EngineImage = None
    engine_env: EngineEnv = None
    model: Model = None
    hf_home: HfHome = None
    dataset_path: DatasetPath = None
    cache: Cache = Path(".cache")
    concurrency: Concurrency = None
    hang_seconds: HangSeconds = None
    quiet: Quiet = False

    def request(self, paths: Sequence[Path], **more: Any) -> RunRequest:  # noqa: ANN401 - fields of RunRequest
        """What the code takes; `more` are fields that only some commands have."""
        from gate.engine import EngineChoice
        from gate.plan import Origins
        from gate.run import RunRequest

        return RunRequest(
            paths=tuple(paths),
            origins=Origins(self.baselines, self.cache, self.model, self.dataset_path, self.hf_home),
            out=self.out,
            backends=tuple(self.backend or ()),
            arch=self.arch,
            engine=EngineChoice(self.engine_command, self.engine_image, tuple(self.engine_env or ())),
            concurrency=self.concurrency,
            hang_seconds=self.hang_seconds,
            **more,
        )


def measures(command: Callable[..., None]) -> Callable[..., None]:
    """Replace the parameter `measuring` of a command by an option for each field of `Measuring`."""
    ours = inspect.signature(Measuring, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def called(**given: Any) -> None:  # noqa: ANN401 - what typer parsed
        command(measuring=Measuring(**{name: given.pop(name) for name in ours}), **given)

    parameters = [p for p in own.parameters.values() if p.name != "measuring"] + list(ours.values())
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    called.__signature__ = own.replace(parameters=keywords)  # type: ignore[attr-defined]
    return called
