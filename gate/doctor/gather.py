"""Gathers the facts of `gate doctor`: asks this machine, and GitHub only about a token that is there."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psutil

from gate.cells import CellSpec, cells_of
from gate.decide.words import count
from gate.doctor import facts as told
from gate.engine import EngineChoice, Found, find_out
from gate.errors import GateError, UsageError
from gate.evals.dataset import refuse_to_fetch
from gate.executors import visibility_variables
from gate.fingerprint import HUB_ID, model_revision
from gate.model_cache import hub_folder, snapshot_of
from gate.question_sets import asked_of, question_set
from gate.serving import gpu
from gate.serving.confinement import client_environment
from gate.serving.engine_facts import ENCODINGS_BASE, encoding_in
from gate.serving.probe import free_port

TOKENS: Final = ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_PAT", "GH_PAT")
KINDS: Final = {
    "ghp_": "a classic personal token",
    "github_pat_": "a fine-grained personal token",
    "ghs_": "a job's or an App's token",
    "gho_": "an OAuth token",
}
PORT_RANGE: Final = Path("proc/sys/net/ipv4/ip_local_port_range")
ASK_SECONDS: Final = 10.0
CLIENT_SECONDS: Final = 20.0


@dataclass(frozen=True)
class DoctorRequest:
    """What the command line asked for; `paths` may be empty: then no model or question set is looked at."""

    paths: tuple[Path, ...] = ()
    engine: EngineChoice = field(default_factory=EngineChoice)
    arch: str | None = None
    out: Path = Path("out")
    cache: Path = Path(".cache")
    hf_home: Path | None = None
    model: str | None = None
    dataset_path: Path | None = None
    allow_persistent: bool = False


def gather(request: DoctorRequest, environ: Mapping[str, str], root: Path = Path("/")) -> told.Facts:
    """Everything the checks look at; what cannot be found out is a fact too.

    Args:
        request: the command line.
        environ: the environment; tokens in it are used once, and never kept.
        root: / except in tests.

    Raises:
        ConfigError, UsageError: a config is wrong.
    """
    specs = cells_of(request.paths, arch=request.arch, unknown_arch="any") if request.paths else ()
    named = [_named_encodings(spec, request.engine) for spec in specs] or [None]
    found, engine = _engine(request.engine, tuple(dict.fromkeys(filter(None, named))))
    arch, arch_problem = _arch(request.arch, found)
    hub = hub_folder(request.hf_home, environ)
    memory = psutil.virtual_memory()
    return told.Facts(
        specs=specs,
        engine=engine,
        image=request.engine.image,
        arch=arch,
        arch_problem=arch_problem,
        gpus=found.gpus(),
        gpu_processes=found.gpu_processes(),
        gpu_choice=_gpu_choice(arch, environ),
        memory_total=memory.total,
        memory_available=memory.available,
        disks=tuple(_disks({"results": request.out, told.MODELS: hub, "kernels": Path.home() / ".cache"})),
        models=tuple(_models(specs, request, hub)),
        datasets=tuple(_datasets(specs, request)),
        encodings=tuple(_encodings(named, request.engine, environ, found)),
        ports=_port_range(root / PORT_RANGE),
        port_problem=_port_problem(),
        container_engine=_container_engine(request.engine, environ) if request.engine.image else None,
        now=time.time(),
        moments=tuple(_moments(request.paths, environ)),
        hf_token=bool(environ.get("HF_TOKEN")),
        token=_token(environ),
        actions=_actions(environ),
        allow_persistent=request.allow_persistent,
    )


def _engine(choice: EngineChoice, folders: Sequence[str]) -> tuple[Found, told.EngineFacts]:
    try:
        found = find_out(choice, folders=folders)
    except GateError as error:
        machine = Found(None, gpu.ask_machine())
        return machine, told.EngineFacts(choice.command, {}, problem=error.message, do=error.hint or "")
    if found.engine is None:
        return found, told.EngineFacts(choice.command, {})
    return found, told.EngineFacts(choice.command, found.engine.versions, found.engine.importable)


def _arch(given: str | None, found: Found) -> tuple[str | None, str | None]:
    try:
        return given or found.arch(), None
    except GateError as error:
        return None, error.message


def _gpu_choice(arch: str | None, environ: Mapping[str, str]) -> told.GpuChoice | None:
    # nvidia-smi and the driver list every GPU, whatever these variables say; an empty one shows none.
    for variable in visibility_variables(arch or "cpu"):
        if (value := environ.get(variable)) is not None:
            named = [one for one in value.split(",") if one.strip()]
            return told.GpuChoice(variable, value, len(named))
    return None


def _disks(folders: Mapping[str, Path]) -> Iterator[told.Disk]:
    for what, folder in folders.items():
        there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
        yield told.Disk(what, there, shutil.disk_usage(there).free)


def _models(specs: Sequence[CellSpec], request: DoctorRequest, hub: Path) -> Iterator[told.ModelFacts]:
    wanted = dict.fromkeys((request.model or spec.model_name, spec.model_revision) for spec in specs)
    for name, pinned in wanted:
        facts = told.ModelFacts(name, pinned, is_harmony="gpt-oss" in name.lower())
        if Path(name).is_dir():
            yield _given(facts, Path(name))
        elif not HUB_ID.fullmatch(name) or name.startswith("local/"):
            yield facts._replace(problem="is on no hub: give its folder with --model")
        else:
            yield _cached(facts, hub)


def _given(facts: told.ModelFacts, folder: Path) -> told.ModelFacts:
    try:
        model_revision(folder, facts.pinned)
    except GateError as error:
        return facts._replace(folder=folder, problem=error.message)
    size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return facts._replace(folder=folder, size=size, is_harmony=facts.is_harmony or _is_harmony(folder))


def _cached(facts: told.ModelFacts, hub: Path) -> told.ModelFacts:
    try:
        snapshot = snapshot_of(hub, facts.name, facts.pinned or "main")
    except GateError as error:
        return facts._replace(problem=str(error))
    if snapshot is None:
        return facts._replace(problem=f"not in {hub} at {facts.pinned or 'main'}")
    missing = snapshot.missing()
    sizes = {file.path: file.size or 0 for file in snapshot.files()}
    return facts._replace(
        commit=snapshot.commit,
        listed=snapshot.manifest is not None,
        problem=f"{count(len(missing), 'file')} missing, {missing[0]} among them" if missing else None,
        to_fetch=sum(sizes[path] for path in missing),
        size=sum(path.stat().st_size for path in snapshot.folder.rglob("*.safetensors")),
        is_harmony=facts.is_harmony or _is_harmony(snapshot.folder),
    )


def _is_harmony(folder: Path) -> bool:
    config = folder / "config.json"
    return config.is_file() and _json(config).get("model_type") == "gpt_oss"


def _datasets(specs: Sequence[CellSpec], request: DoctorRequest) -> Iterator[told.DatasetFacts]:
    for spec in asked_of(specs):
        try:
            task = question_set(spec, request.dataset_path, request.cache, refuse_to_fetch)
        except GateError as error:
            yield told.DatasetFacts(spec.task.name, problem=str(error).splitlines()[0])
        else:
            yield told.DatasetFacts(spec.task.name, len(task.questions))


def _named_encodings(spec: CellSpec, choice: EngineChoice) -> str | None:
    """The folder that the cell's own variables name; it is one of the image, where there is one."""
    return {**spec.env, **choice.environment()}.get(ENCODINGS_BASE)


def _encodings(
    named: Sequence[str | None], choice: EngineChoice, environ: Mapping[str, str], found: Found
) -> Iterator[told.Encodings]:
    """What each cell's engine will be told: by the cell, else by this machine, else by its image."""
    here = environ.get(ENCODINGS_BASE)
    for base in dict.fromkeys(named):
        if choice.image is None:
            folder = here if base is None else base
            yield told.Encodings(folder, encoding_in(folder) if folder else None)
        elif base is None and here and Path(here).is_dir():
            yield told.Encodings(here, encoding_in(here))
        else:
            inside = found.engine
            folder = base if base is not None or inside is None else inside.encodings_base
            known = inside.encodings if inside else {}
            yield told.Encodings(folder, known.get(folder or ""), in_image=folder is not None)


def _port_range(path: Path) -> tuple[int, int] | None:
    if not path.is_file():
        return None
    first, last = path.read_text(encoding="ascii").split()
    return int(first), int(last)


def _port_problem() -> str | None:
    try:
        with socket.create_server(("127.0.0.1", free_port())):
            return None
    except OSError as error:
        return f"no port can be had on 127.0.0.1: {error.strerror}"


def _container_engine(choice: EngineChoice, environ: Mapping[str, str]) -> told.ContainerEngine:
    confinement = choice.confinement("rocm")
    found = told.ContainerEngine(choice.container_cli, None)
    try:
        confinement.check(environ.get("PATH"))
    except UsageError as error:
        return found._replace(problem=error.message, do=error.hint)
    environment = client_environment(environ)
    asked = ["version", "--format", "{{.Server.Os}} {{.Server.Version}}"]
    code, version, problem = _said([*confinement.docker, *asked], environment)
    if code != 0:
        return found._replace(problem=problem)
    inspect = ["image", "inspect", "--format", "{{.Id}}", "--", str(choice.image)]
    code, _, _ = _said([*confinement.docker, *inspect], environment)
    return found._replace(server=version or None, has_image=code == 0)


def _said(command: Sequence[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=CLIENT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, "", type(error).__name__
    return done.returncode, done.stdout.strip(), " ".join(done.stderr.split())[:200]


def _moments(paths: Sequence[Path], environ: Mapping[str, str]) -> Iterator[told.Moment]:
    """Times by other clocks: files that are there, and what GitHub wrote into the event."""
    yield told.Moment("gate's own files", Path(__file__).stat().st_mtime)
    for path in paths:
        if path.is_file():
            yield told.Moment(f"the file {path.name}", path.stat().st_mtime)
    event = _event(environ)
    stamps = {
        "the push": (event.get("head_commit") or {}).get("timestamp"),
        "the pull request's last change": (event.get("pull_request") or {}).get("updated_at"),
        "the repository's last change": (event.get("repository") or {}).get("updated_at"),
    }
    for what, stamp in stamps.items():
        if isinstance(stamp, str):
            yield told.Moment(what, datetime.fromisoformat(stamp).timestamp())


def _actions(environ: Mapping[str, str]) -> told.Actions | None:
    if environ.get("GITHUB_ACTIONS") != "true":
        return None
    private = (_event(environ).get("repository") or {}).get("private")
    return told.Actions(
        self_hosted=environ.get("RUNNER_ENVIRONMENT") != "github-hosted",
        public=None if private is None else not private,
        ephemeral=_ephemeral(environ.get("RUNNER_WORKSPACE")),
    )


def _ephemeral(workspace: str | None) -> bool | None:
    """Whether the runner's own settings (`.runner`, above its work folder) say that it takes one job only."""
    for folder in Path(workspace).parents if workspace else ():
        settings = folder / ".runner"
        if settings.is_file():
            # Written with a byte order mark; the key is left out where it is false.
            found = _json(settings)
            return str(found.get("ephemeral", found.get("Ephemeral", False))).lower() == "true"
    return None


def _event(environ: Mapping[str, str]) -> dict[str, Any]:
    path = Path(environ.get("GITHUB_EVENT_PATH") or "/nowhere")
    return _json(path) if path.is_file() else {}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _token(environ: Mapping[str, str]) -> told.Token | None:
    variable = next((name for name in TOKENS if environ.get(name)), None)
    if variable is None:
        return None
    secret = environ[variable]
    kind = next((kind for prefix, kind in KINDS.items() if secret.startswith(prefix)), "of an unknown kind")
    asked = told.Token(variable, kind)
    repository = environ.get("GITHUB_REPOSITORY")
    if not repository:
        return asked._replace(problem="GITHUB_REPOSITORY does not say where")
    address = f"{environ.get('GITHUB_API_URL', 'https://api.github.com')}/repos/{repository}"
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {secret}"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=ASK_SECONDS) as reply:  # noqa: S310 - the runner's own API
            scopes = reply.headers.get("X-OAuth-Scopes", "")
            entry = json.loads(reply.read(1 << 20))
    except urllib.error.HTTPError as error:
        return asked._replace(problem=f"GitHub answered {error.code}")
    except (OSError, ValueError) as error:
        return asked._replace(problem=type(error).__name__)
    return asked._replace(
        scopes=tuple(scope.strip() for scope in scopes.split(",") if scope.strip()),
        may_push=bool((entry.get("permissions") or {}).get("push")),
    )
