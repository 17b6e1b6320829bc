"""What shuts a container of the engine in and which devices it gets, whether it serves or is only asked."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from gate.errors import UsageError
from gate.serving.environment import inherited

Accelerator = Literal["rocm", "cuda", "cpu"]

_USER: Final = re.compile(r"[1-9]\d*:\d+")
_GROUP: Final = re.compile(r"[a-z_][a-z0-9_-]*|\d+")
_CLIENT: Final = (
    "DOCKER_HOST",
    "DOCKER_CONFIG",
    "DOCKER_CONTEXT",
    "DOCKER_CERT_PATH",
    "XDG_RUNTIME_DIR",
)


@dataclass(frozen=True)
class Confinement:
    """No network, no capability, no root.

    Args:
        docker: the client, as a list.
        user: UID:GID inside.
        accelerator: which devices go in.
        groups: supplementary groups for ROCm's devices; a number where the image lacks the name.
        shm_size: size of /dev/shm.
    """

    docker: Sequence[str] = ("docker",)
    user: str = field(default_factory=lambda: f"{os.getuid()}:{os.getgid()}")
    accelerator: Accelerator = "rocm"
    groups: Sequence[str] = ("video",)
    shm_size: str = "16g"

    def check(self, path: str | None) -> None:
        """Raise `UsageError` if the client is not on `path`, or the user or a group is wrong."""
        if shutil.which(self.docker[0], path=path) is None:
            raise UsageError(f"{self.docker[0]} not found", hint="install Docker, or give --engine-command")
        if self.user.split(":")[0] in ("0", "root"):
            raise UsageError(
                "the engine's container would run as root",
                hint="run the gate as an unprivileged user, or give --container-user 1000:1000",
            )
        if not _USER.fullmatch(self.user):
            raise UsageError(f"--container-user {self.user!r} is not UID:GID", hint="for example 1000:1000")
        for group in self.groups:
            if not _GROUP.fullmatch(group):
                raise UsageError(
                    f"--container-group {group!r} is no group",
                    hint="a name of the image, or a number: `stat -c %g /dev/dri/renderD128`",
                )

    def run(self, name: str) -> list[str]:
        """`docker run` up to what is run: entry point, mounts and image follow."""
        return [
            *(*self.docker, "run", "--rm", "--init", "--pull", "never", "--name", name),
            *("--network", "none", "--user", self.user, "--cap-drop", "ALL"),
            *("--security-opt", "no-new-privileges", *self._devices()),
        ]

    def remove(self, name: str) -> list[str]:
        """Remove the container, running or not: killing the client does not stop it."""
        return [*self.docker, "rm", "--force", name]

    def _devices(self) -> list[str]:
        shared = ["--shm-size", self.shm_size]
        if self.accelerator == "cuda":
            return ["--gpus", "all", *shared]
        if self.accelerator == "cpu":
            return shared
        groups = [part for group in self.groups for part in ("--group-add", group)]
        # ROCm's tensor parallelism exchanges buffers over the host's IPC namespace.
        return ["--device", "/dev/kfd", "--device", "/dev/dri", *groups, "--ipc", "host", *shared]


def client_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """What the container engine's client needs of the surrounding environment."""
    client = {name: outer[name] for name in _CLIENT if name in outer}
    host = {k: v for k, v in inherited(outer).items() if k in ("PATH", "USER", "LOGNAME")}
    folder = Path(outer.get("HOME", "/")) / ".docker"
    # HOME will be the container's. Podman takes a folder without the file for an error.
    if "DOCKER_CONFIG" not in client and (folder / "config.json").is_file():
        client["DOCKER_CONFIG"] = str(folder)
    return {**host, **client}
