"""What shuts a container of the engine in and which devices it gets, whether it serves or is only asked."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from gate.errors import UsageError

Accelerator = Literal["rocm", "cuda", "cpu"]

_USER: Final = re.compile(r"[1-9]\d*:\d+")
_GROUP: Final = re.compile(r"[a-z_][a-z0-9_-]*|\d+")
# Podman has no daemon: its images are where the user's own HOME, XDG folders and files say.
_CLIENT: Final = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"),
    *("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"),
    *("CONTAINERS_CONF", "CONTAINERS_STORAGE_CONF", "CONTAINERS_REGISTRIES_CONF", "REGISTRY_AUTH_FILE"),
    *("DOCKER_API_VERSION", "CONTAINER_HOST", "DBUS_SESSION_BUS_ADDRESS"),
)
PROXIES: Final = tuple(
    spelt
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY")
    for spelt in (name, name.lower())
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
        uid: who starts the container.
        gid: the same user's group.
    """

    docker: Sequence[str] = ("docker",)
    user: str = field(default_factory=lambda: f"{os.getuid()}:{os.getgid()}")
    accelerator: Accelerator = "rocm"
    groups: Sequence[str] = ("video",)
    shm_size: str = "16g"
    uid: int = field(default_factory=os.getuid)
    gid: int = field(default_factory=os.getgid)

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
            *("--security-opt", "no-new-privileges", *self._mapping()),
            # Gate keeps the log. Podman would allow 2048 threads, which eight GPUs' workers can exceed.
            *("--log-driver", "none", "--pids-limit", "-1", *self._devices()),
        ]

    def variables(self, values: Mapping[str, str], by_name: Collection[str]) -> list[str]:
        """`--env` for each; those `by_name` are taken from the client's own environment.

        A proxy, with its password, would be added by the clients' own settings: no name, no value.
        """
        settled = {*values, *by_name}
        return [
            *(part for name in PROXIES if name not in settled for part in ("--env", name)),
            *(
                part
                for name in sorted(settled)
                for part in ("--env", name if name in by_name else f"{name}={values[name]}")
            ),
        ]

    def remove(self, name: str) -> list[str]:
        """Remove the container, running or not: killing the client does not stop it."""
        return [*self.docker, "rm", "--force", name]

    def _mapping(self) -> list[str]:
        """Podman without root would make the user inside another one, who owns neither model nor socket."""
        if Path(self.docker[0]).name != "podman" or self.uid == 0:
            return []
        inside = self.user.split(":")
        same = inside == [str(self.uid), str(self.gid)]
        return ["--userns", "keep-id" if same else "keep-id:uid={},gid={}".format(*inside)]

    def _devices(self) -> list[str]:
        shared = ["--shm-size", self.shm_size]
        if self.accelerator == "cuda":
            # Podman takes --gpus and does nothing.
            podman = any(Path(word).name == "podman" for word in self.docker)
            return [*(("--device", "nvidia.com/gpu=all") if podman else ("--gpus", "all")), *shared]
        if self.accelerator == "cpu":
            return shared
        groups = [part for group in self.groups for part in ("--group-add", group)]
        # ROCm's tensor parallelism exchanges buffers over the host's IPC namespace, which has the host's
        # /dev/shm: Docker ignores a size for it, Podman refuses one.
        return ["--device", "/dev/kfd", "--device", "/dev/dri", *groups, "--ipc", "host"]


def client_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """What the container engine's client needs of the surrounding environment."""
    return {name: outer[name] for name in _CLIENT if name in outer}


def puller_environment(outer: Mapping[str, str]) -> dict[str, str]:
    """The same for a client that fetches an image: Podman itself goes through the proxy, not a daemon."""
    return client_environment(outer) | {name: outer[name] for name in PROXIES if name in outer}
