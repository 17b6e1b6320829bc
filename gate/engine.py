"""Which engine is under test: how it is started, and what its own environment says of itself."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gate.errors import UsageError
from gate.fingerprint import HUB_ID
from gate.model.canonical import sha256_of
from gate.served import SERVED_MODEL, Served
from gate.serving import gpu
from gate.serving.confinement import (
    Accelerator,
    Confinement,
    client_environment,
    puller_environment,
)
from gate.serving.docker import DockerContainer
from gate.serving.environment import CONVERSATION_DATE_VARIABLE, inherited, is_secret
from gate.serving.gpu_memory import VISIBLE
from gate.serving.image import Image, ask_image, image_of
from gate.serving.launch import Launcher, LocalProcess
from gate.serving.remote import Address, Remote, RemoteEngine, RemoteServer, introduce, remote_engine
from gate.serving.server import OnLine, Server, serve

if TYPE_CHECKING:  # a node of a cluster starts engines, and needs no plan and no statistics for it
    from gate.cells import CellSpec
    from gate.plan import Plan

Running = Server | RemoteEngine


@dataclass(frozen=True)
class Found:
    """What was found out before anything was started."""

    engine: gpu.Engine | None
    machine: gpu.Machine
    remote: Remote | None = None
    image: Image | None = None

    def arch(self) -> str:
        """The arch of this machine as the engine sees it; raises EngineError where nobody can tell."""
        if self.remote is not None:
            raise UsageError(
                "which architecture the server runs on must be said",
                where=self.remote.address.host,
                hint="pass --arch, for example --arch gfx950",
            )
        return gpu.detect_arch(self.engine, self.machine)

    def provenance(self) -> dict[str, str]:
        """Versions, driver and GPUs; `unknown` where nobody answers."""
        if self.remote is not None:
            return self.remote.provenance()
        image = self.image.provenance() if self.image else {}
        return {**gpu.provenance(self.engine, self.machine), **image}

    def engine_name(self) -> str:
        """The engine with its version, for a page."""
        return f"vLLM {self.provenance().get('engine_version', 'unknown')}"

    def gpu_count(self) -> int:
        """How many GPUs this machine has; 0 where nobody describes one."""
        return gpu.count(self.engine, self.machine)

    def gpus(self) -> tuple[gpu.Gpu, ...]:
        """The GPUs, from the source that also tells how much of their memory is in use."""
        return gpu.occupied_of(self.engine, self.machine)

    def gpu_processes(self) -> tuple[gpu.GpuProcess, ...]:
        """Whoever holds memory on them, as far as anybody tells."""
        return (self.engine.processes if self.engine else ()) + self.machine.processes

    def identity(self) -> dict[str, str]:
        """What of that is the engine's own, and not this machine's."""
        if self.remote is not None:
            return {**self.remote.provenance(), "served": self.remote.model.id}
        image = {"image_id": self.image.id} if self.image else {}
        return {**gpu.identity(self.engine, self.machine), **image}

    def served(self) -> Served:
        """Under which name the engine serves, and which date it tells the model."""
        if self.remote is None:
            return Served()
        return Served(self.remote.model.id, self.remote.address.declared_date, by_config=False)


@dataclass(frozen=True)
class EngineChoice:
    """A command on this machine, a container image, or a server elsewhere; `env` holds NAME=VALUE words."""

    command: str = "vllm"
    image: str | None = None
    env: tuple[str, ...] = ()
    address: Address | None = None
    container_cli: str = "docker"
    container_user: str | None = None
    container_groups: tuple[str, ...] = ()

    def confinement(self, accelerator: Accelerator) -> Confinement:
        """What shuts its container in; raises UsageError where the client cannot be split."""
        made = Confinement(_words(self.container_cli, "--container-cli"), accelerator=accelerator)
        made = replace(made, user=self.container_user) if self.container_user else made
        return replace(made, groups=self.container_groups) if self.container_groups else made

    def argv(self) -> list[str]:
        """The command as a list; raises UsageError where it cannot be split, found or executed."""
        words = _words(self.command, "--engine-command")
        if words and shutil.which(words[0]) is not None:
            return words
        if words and Path(words[0]).is_file():
            raise UsageError(
                f"the engine's command {self.command!r} is a file that cannot be executed",
                hint="name the program itself, or allow it with chmod +x",
            )
        at_a_path = bool(words) and "/" in words[0]
        raise UsageError(
            f"the engine's command {self.command!r} is not found",
            hint=f"nothing is at {words[0]}: install the engine there, or correct --engine-command"
            if at_a_path
            else "install vLLM so that `vllm` is on PATH, or say what starts it with --engine-command",
        )

    def environment(self) -> dict[str, str]:
        """The variables; raises UsageError for a word that is not NAME=VALUE, or belongs in the config."""
        pairs = [text.partition("=") for text in self.env]
        for name, equals, _ in pairs:
            if not name or not equals:
                raise UsageError(f"--engine-env {name!r} has no value", hint="write --engine-env NAME=VALUE")
            if name == CONVERSATION_DATE_VARIABLE:
                raise UsageError(
                    f"--engine-env {name} would change the prompts", hint="set it in the config's env"
                )
        return {name: value for name, _, value in pairs}

    def provenance(self) -> dict[str, str]:
        """How it ran, and its variables as a run record keeps them: no value of one named like a secret."""
        given = self.environment().items()
        variables = {f"engine_env.{name}": "***" if is_secret(name) else value for name, value in given}
        return {"launcher": "container" if self.image else "process", **variables}

    def identity(self, found: Found) -> str:
        """One word for this engine with these variables and versions: another engine has another."""
        return sha256_of([self.command, self.image, sorted(self.env), found.identity()])[:16]


def find_out(choice: EngineChoice, *, folders: Sequence[str] = ()) -> Found:
    """Ask the engine's own Python, inside its image where it has one, and the machine.

    Args:
        choice: which engine.
        folders: of the image, which may hold harmony's encoding.

    Raises:
        UsageError: the engine's command does not exist, or a server contradicts what is declared of it.
        EngineError: its Python, or the server, does not answer.
    """
    if choice.address is not None:
        if choice.image or choice.env:
            raise UsageError(
                "--base-url is a server that runs already, where --engine-image and --engine-env do nothing",
                hint="leave them out",
            )
        return Found(None, gpu.Machine((), (), (), None), introduce(choice.address))
    if choice.image:
        return _find_out_image(choice, choice.image, folders)
    python = gpu.engine_python(choice.argv())
    return Found(gpu.ask_engine(python, inherited(os.environ)), gpu.ask_machine())


def _find_out_image(choice: EngineChoice, reference: str, folders: Sequence[str]) -> Found:
    machine, client = gpu.ask_machine(), client_environment(os.environ)
    confinement = choice.confinement(_accelerator_here(machine))
    image = image_of(reference, confinement.docker, puller_environment(os.environ))
    confinement.check(os.environ.get("PATH"))
    visible = {name: os.environ[name] for name in VISIBLE if name in os.environ}
    asked = ask_image(image, confinement, client, visible=visible, folders=folders)
    return Found(asked, machine, image=image)


def launcher_for(plan: Plan, choice: EngineChoice, hf_home: Path | None) -> Launcher | RemoteServer:
    """How the engine of one cell is started, or reached; `--engine-env` wins over the config's variables."""
    if choice.address is not None:
        return RemoteServer(choice.address)
    spec = plan.spec
    env = {**spec.env, **choice.environment()}
    if choice.image:
        return DockerContainer(
            image=choice.image,
            # Two runs of one cell may be collected at once.
            name=f"gate-{os.getpid()}-{spec.cell.config}-{spec.cell.backend}-{plan.stream[:8]}",
            model=plan.model,
            served_model=SERVED_MODEL,
            server_args=spec.server_args,
            env=env,
            hf_home=hf_home,
            preset=spec.launch_preset,
            trust_remote_code=spec.trust_remote_code,
            confinement=choice.confinement(_accelerator(spec.cell.arch)),
        )
    return LocalProcess(
        command=choice.argv(),
        model=plan.model,
        served_model=SERVED_MODEL,
        server_args=spec.server_args,
        env={**env, "HF_HOME": str(hf_home)} if hf_home else env,
        preset=spec.launch_preset,
        trust_remote_code=spec.trust_remote_code,
    )


def check_served(spec: CellSpec, found: Found, model: str | None) -> None:
    """Refuse a server that says of itself that it serves something else than the config.

    Raises:
        UsageError: another model, or another longest context.
    """
    if found.remote is None:
        return
    root, length = found.remote.model.root, found.remote.model.max_model_len
    # A path tells nothing: the same model lies elsewhere on every machine.
    if root and HUB_ID.fullmatch(root) and root not in {spec.model_name, model}:
        raise UsageError(
            f"the server serves {root}, but the config's model is {spec.model_name}",
            where=found.remote.address.host,
            hint="start it with the config's model, or say with --model that this is the same one",
        )
    if None not in {spec.max_model_len, length} and spec.max_model_len != length:
        raise UsageError(
            f"the server's --max-model-len is {length}, the config's {spec.max_model_len}",
            where=found.remote.address.host,
            hint="start it with the config's server_args: `gate plan` prints them",
        )


def engine_of(
    launcher: Launcher | RemoteServer, *, log_path: Path, startup_seconds: float, on_line: OnLine
) -> AbstractAsyncContextManager[Running]:
    """The engine for the length of the block: started and stopped, or only reached."""
    if isinstance(launcher, RemoteServer):
        return remote_engine(launcher.address)
    return serve(launcher, log_path=log_path, startup_seconds=startup_seconds, on_line=on_line)


def _words(command: str, option: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(
            f"{option} cannot be split: {error}", hint="close the quote; the words are split as a shell would"
        ) from error


def _accelerator_here(machine: gpu.Machine) -> Accelerator:
    if "/dev/kfd" in machine.device_nodes:
        return "rocm"
    return "cuda" if machine.device_nodes else "cpu"


def _accelerator(arch: str) -> Accelerator:
    if arch == "cpu":
        return "cpu"
    return "rocm" if arch.startswith("gfx") else "cuda"
