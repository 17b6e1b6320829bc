"""The options that several commands share: each is described once."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gate.collect import Collection
    from gate.engine import EngineChoice
    from gate.request import RunRequest
    from gate.serving.remote import Address

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
ContainerCli = Annotated[
    str,
    typer.Option(envvar="GATE_CONTAINER_CLI", help="client of the container engine, e.g. podman; no shell"),
]
ContainerUser = Annotated[
    str | None,
    typer.Option(metavar="UID:GID", help="the engine's user in its container; default: gate's"),
]
ContainerGroups = Annotated[
    list[str] | None,
    typer.Option(
        "--container-group",
        metavar="GROUP",
        help="a group of the engine in its container, by name or number; default: video",
    ),
]
AtOnce = Annotated[
    int,
    typer.Option("--jobs", min=1, help="cells at once, each on GPUs of its own (on a CPU: sharing it)"),
]
EngineEnv = Annotated[
    list[str] | None,
    typer.Option("--engine-env", metavar="NAME=VALUE", help="a variable for the engine"),
]
BaseUrl = Annotated[
    str | None, typer.Option(help="a server that runs already, http://HOST:PORT; no engine is started")
]
ServedModel = Annotated[str | None, typer.Option(help="with --base-url: which of its models is under test")]
ConversationDate = Annotated[
    str | None, typer.Option(help="with --base-url: the date it tells the model, YYYY-MM-DD or none")
]
EngineLog = Annotated[Path | None, typer.Option(help="with --base-url: its log, the proof of what ran")]
AcceptUnproven = Annotated[
    list[str] | None,
    typer.Option(metavar="FACT", help="go on though nothing confirms this fact; the report says so"),
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
AcceptedBy = Annotated[
    str | None, typer.Option(envvar="GITHUB_ACTOR", help="who answers for it; default: git's user")
]
Cells = Annotated[
    list[str] | None,
    typer.Option("--cell", metavar="CELL", help="only these cells: arch/config/backend or a part, * and ?"),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="only the report at the end")]
OfEvent = Annotated[
    str | None, typer.Option("--event", help="GitHub's event: only the cells that `when:` selects")
]
ChangedFile = Annotated[
    Path | None,
    typer.Option("--changed-file", help="paths that the pull request changes, one a line, for `when:`"),
]
FailOn = Annotated[str | None, typer.Option(help="exit 0 unless the verdict is one of these, or `strict`")]
FamilySize = Annotated[
    int | None, typer.Option(min=1, help="cells that share alpha (C); default: those at hand")
]


def given(arch: str) -> str | None:
    """The arch that was asked for; None for `auto`."""
    return None if arch == "auto" else arch


@dataclass(frozen=True)
class Measuring:
    """The options of every command that starts an engine; see `grouped`."""

    backend: Backends = None
    arch: Arch = "auto"
    baselines: Baselines = Path("baselines")
    out: Out = Path("out")
    engine_command: EngineCommand = "vllm"
    engine_image: EngineImage = None
    engine_env: EngineEnv = None
    container_cli: ContainerCli = "docker"
    container_user: ContainerUser = None
    container_group: ContainerGroups = None
    base_url: BaseUrl = None
    served_model: ServedModel = None
    conversation_date: ConversationDate = None
    engine_log: EngineLog = None
    accept_unproven: AcceptUnproven = None
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
        from gate.request import RunRequest

        return RunRequest(
            paths=tuple(paths),
            origins=Origins(self.baselines, self.cache, self.model, self.dataset_path, self.hf_home),
            out=self.out,
            backends=tuple(self.backend or ()),
            arch=self.arch,
            engine=EngineChoice(
                self.engine_command,
                self.engine_image,
                tuple(self.engine_env or ()),
                self._address(),
                container_cli=self.container_cli,
                container_user=self.container_user,
                container_groups=tuple(self.container_group or ()),
            ),
            accept_unproven=unproven(self.accept_unproven),
            concurrency=self.concurrency,
            hang_seconds=self.hang_seconds,
            **more,
        )

    def base_build(self, command: str | None, image: str | None) -> EngineChoice | None:
        """The engine that confirms a regression, with the same variables; None where none is given."""
        from gate.engine import EngineChoice

        if not command and not image:
            return None
        return EngineChoice(
            command or "",
            image,
            tuple(self.engine_env or ()),
            container_cli=self.container_cli,
            container_user=self.container_user,
            container_groups=tuple(self.container_group or ()),
        )

    def _address(self) -> Address | None:
        from gate.errors import UsageError
        from gate.serving.remote import API_KEY_VARIABLE, Address

        if self.base_url is not None:
            key = os.environ.get(API_KEY_VARIABLE)
            return Address(self.base_url, self.served_model, self.conversation_date, self.engine_log, key)
        if self.served_model or self.conversation_date or self.engine_log:
            raise UsageError(
                "--served-model, --conversation-date and --engine-log describe a server that runs already",
                hint="name it with --base-url",
            )
        return None


@dataclass(frozen=True)
class Accepting:
    """The options of every command that adds runs to the store."""

    accepted_by: AcceptedBy = None
    runs: Annotated[int, typer.Option(min=1, help="runs of each cell, one after the other")] = 1
    new_epoch: Annotated[
        bool, typer.Option("--new-epoch", help="from these runs on nothing older counts; it stays pinned")
    ] = False
    new_fingerprint: Annotated[
        bool, typer.Option("--new-fingerprint", help="what is measured has changed: begin anew where it has")
    ] = False
    keep: Annotated[int | None, typer.Option(min=1, help="let at most so many runs count, the newest")] = None
    max_age: Annotated[
        int | None, typer.Option(min=1, metavar="DAYS", help="let no run count that was measured before")
    ] = None
    allow_dirty: Annotated[
        bool, typer.Option("--allow-dirty", help="store runs of unreviewed code, too: they never count")
    ] = False
    default_branch: Annotated[
        str | None, typer.Option(metavar="REF", help="where reviewed code is; default: origin's HEAD, main")
    ] = None
    accepted_head: Annotated[
        str | None, typer.Option(metavar="SHA", help="this commit was accepted before it is merged")
    ] = None

    def collection(self, repeats: int | None, reason: str | None) -> Collection:
        """What the code takes."""
        from gate.baseline.collect import Terms
        from gate.baseline.source import Policy
        from gate.collect import Collection

        return Collection(
            repeats,
            self.runs,
            self.accepted_by,
            reason,
            terms=Terms(self.new_epoch, self.new_fingerprint, self.keep, self.max_age),
            policy=Policy(self.default_branch, self.accepted_head, self.allow_dirty),
        )


def unproven(names: Sequence[str] | None) -> tuple[str, ...]:
    """The facts of --accept-unproven; raises UsageError for one that no check has."""
    from gate.errors import UsageError
    from gate.problems import suggestion
    from gate.serving.engine_log import UNPROVEN

    for name in names or ():
        if name not in UNPROVEN:
            raise UsageError(f"--accept-unproven {name!r} is no check", hint=suggestion(name, UNPROVEN))
    return tuple(names or ())


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option for each field of those parameters that are dataclasses, in their place."""
    own = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        n: p.annotation for n, p in own.parameters.items() if is_dataclass(p.annotation)
    }
    options = {name: inspect.signature(group, eval_str=True).parameters for name, group in groups.items()}

    @functools.wraps(command)
    def called(**given: Any) -> None:  # noqa: ANN401 - what typer parsed
        for name, group in groups.items():
            given[name] = group(**{option: given.pop(option) for option in options[name]})
        command(**given)

    parameters = [p for name, p in own.parameters.items() if name not in groups]
    parameters += [p for group in options.values() for p in group.values()]
    keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    called.__signature__ = own.replace(parameters=keywords)  # type: ignore[attr-defined]
    return called
