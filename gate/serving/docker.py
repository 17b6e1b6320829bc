"""The engine in a container: `docker run`, locked down, killed by name.

Written from the Docker command line reference and tested against a recording stand-in; docs/serving.md
says what has not met a real Docker engine yet.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Literal

from gate.errors import UsageError
from gate.serving.environment import engine_environment, inherited
from gate.serving.launch import check_model, check_server_args, serve_arguments

_PORT_INSIDE: Final = 8000
_MODEL_INSIDE: Final = "/model"
_HF_INSIDE: Final = "/hf"
# Belongs to the machine or to the client, not to the engine in the image.
_NOT_INSIDE: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH"),
        *("VIRTUAL_ENV", "CC", "CXX", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HUB_CACHE"),
    }
)
_CLIENT: Final = (
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_CERT_PATH",
    "XDG_RUNTIME_DIR",
)


@dataclass(frozen=True)
class DockerContainer:
    """`vllm serve` in a container of `image`.

    Args:
        image: reference, best by digest (`repo@sha256:...`).
        name: unique container name; it is what is killed.
        model: Hub id (then `hf_home` is mounted) or folder (then it is mounted at /model).
        served_model: the name requests use.
        server_args: the config's arguments, already split.
        env: the config's variables.
        hf_home: Hugging Face cache on this machine, mounted read-only.
        accelerator: which devices go in.
        groups: supplementary groups; numeric ids of the render nodes' group where the image lacks the name.
        shm_size: size of /dev/shm.
        command: what runs inside the image instead of its entry point.
        docker: the client, as a list.
    """

    image: str
    name: str
    model: str
    served_model: str
    server_args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    hf_home: Path | None = None
    accelerator: Literal["rocm", "cuda", "cpu"] = "rocm"
    groups: Sequence[str] = ("video",)
    shm_size: str = "16g"
    command: Sequence[str] = ("vllm",)
    docker: Sequence[str] = ("docker",)
    preset: str = "plain"
    trust_remote_code: bool = False
    offline: bool = True
    user: str = field(default_factory=lambda: f"{os.getuid()}:{os.getgid()}")
    outer: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def listens_itself(self) -> bool:
        """The container engine's proxy holds the port."""
        return False

    def check(self) -> None:
        """Raise `UsageError` if the client, the user, a mount or an argument is wrong."""
        check_server_args(self.server_args)
        self.environment()
        if shutil.which(self.docker[0], path=self.outer.get("PATH")) is None:
            raise UsageError(f"{self.docker[0]} not found", hint="install Docker, or give --engine-command")
        if self.user.split(":")[0] in ("0", "root"):
            raise UsageError(
                "the engine's container would run as root",
                hint="run the gate as an unprivileged user that may use Docker",
            )
        check_model(self.model)
        for source in self._mounts():
            if "," in source:
                raise UsageError(f"cannot mount {source}: a comma separates Docker's mount options")

    def argv(self, port: int) -> list[str]:
        """`docker run` that publishes the engine on 127.0.0.1:port."""
        return [
            *(*self.docker, "run", "--rm", "--init", "--name", self.name),
            *("--user", self.user, "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *(*self._devices(), "--ipc", "host", "--shm-size", self.shm_size),
            *("--publish", f"127.0.0.1:{port}:{_PORT_INSIDE}"),
            *(part for mount in self._mounts().items() for part in _read_only(*mount)),
            *(part for name in sorted(self._inside()) for part in ("--env", name)),
            *("--entrypoint", self.command[0], self.image, *self.command[1:]),
            *serve_arguments(
                _MODEL_INSIDE if self._is_folder() else self.model,
                ["--host", "0.0.0.0", "--port", str(_PORT_INSIDE)],  # noqa: S104 - inside the container
                self,
            ),
        ]

    def environment(self) -> dict[str, str]:
        """The client's environment; values of `--env NAME` are taken from it, so none is in `ps`."""
        client = {name: self.outer[name] for name in _CLIENT if name in self.outer}
        host = {k: v for k, v in inherited(self.outer).items() if k in ("PATH", "USER", "LOGNAME")}
        if "HOME" in self.outer and "DOCKER_CONFIG" not in client:
            client["DOCKER_CONFIG"] = str(Path(self.outer["HOME"]) / ".docker")
        return {**host, **client, **self._inside()}

    def cleanup(self) -> list[list[str]]:
        """Remove the container by name, running or not: killing the client does not stop it."""
        return [[*self.docker, "rm", "--force", self.name]]

    def placed(self, environment: Mapping[str, str]) -> DockerContainer:
        """The same engine with these variables over the config's: it sees all devices, and uses these."""
        return replace(self, env={**self.env, **environment})

    def _inside(self) -> dict[str, str]:
        whole = engine_environment(self.env, outer=self.outer, command="vllm", offline=self.offline)
        inside = {k: v for k, v in whole.items() if k not in _NOT_INSIDE or k in self.env}
        inside["HOME"] = "/tmp"  # noqa: S108 - an unprivileged user's only sure place for JIT caches
        inside.pop("HF_HOME", None)
        if self.hf_home is not None:
            inside["HF_HOME"] = _HF_INSIDE
            inside["HF_MODULES_CACHE"] = "/tmp/hf-modules"  # noqa: S108 - the cache is mounted read-only
        return inside

    def _is_folder(self) -> bool:
        return Path(self.model).expanduser().is_dir()

    def _mounts(self) -> dict[str, str]:
        mounts: dict[str, str] = {}
        if self._is_folder():
            mounts[str(Path(self.model).expanduser().resolve())] = _MODEL_INSIDE
        if self.hf_home is not None:
            mounts[str(self.hf_home.expanduser().resolve())] = _HF_INSIDE
        return mounts

    def _devices(self) -> list[str]:
        if self.accelerator == "cuda":
            return ["--gpus", "all"]
        if self.accelerator == "cpu":
            return []
        groups = [part for group in self.groups for part in ("--group-add", group)]
        return ["--device", "/dev/kfd", "--device", "/dev/dri", *groups]


def _read_only(source: str, target: str) -> tuple[str, str]:
    return ("--mount", f"type=bind,source={source},target={target},readonly")
