"""The engine in a container: `docker run`, locked down, killed by name.

Tried with a real Podman (benchmarks/container.py) and, in the tests, a recording stand-in; docs/serving.md
says what has not been met yet, Docker's own daemon above all.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from gate.errors import UsageError
from gate.serving.confinement import Confinement, client_environment
from gate.serving.engine_facts import ENCODINGS_BASE
from gate.serving.environment import engine_environment, inherited, is_secret
from gate.serving.launch import check_model, check_server_args, serve_arguments
from gate.serving.probe import Endpoint

_SOCKET: Final = "s"
_SOCKET_FOLDER_INSIDE: Final = "/gate"
_LONGEST_ROOT: Final = 80
_MODEL_INSIDE: Final = "/model"
_HF_INSIDE: Final = "/hf"
_ENCODINGS: Final = ENCODINGS_BASE  # where openai-harmony finds its encoding without a network
_ENCODINGS_INSIDE: Final = "/encodings"
# Belongs to the machine or to the client, not to the engine in the image.
_NOT_INSIDE: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH", "LD_PRELOAD", "PYTHONPATH"),
        *("VIRTUAL_ENV", "CC", "CXX", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HF_HUB_CACHE", _ENCODINGS),
    }
)
# Without a network the only interface is lo; NCCL, gloo and vLLM look for another one unless they are told.
_LOOPBACK: Final = {
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}


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
        command: what runs inside the image instead of its entry point.
        confinement: what shuts it in.
    """

    image: str
    name: str
    model: str
    served_model: str
    server_args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    hf_home: Path | None = None
    command: Sequence[str] = ("vllm",)
    confinement: Confinement = field(default_factory=Confinement)
    preset: str = "plain"
    trust_remote_code: bool = False
    offline: bool = True
    outer: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def listens_itself(self) -> bool:
        """Inside the container, out of our sight; the socket's folder is ours alone."""
        return False

    def check(self) -> None:
        """Raise `UsageError` if the client, the user, a mount or an argument is wrong."""
        check_server_args(self.server_args)
        self.environment()
        self.confinement.check(self.outer.get("PATH"))
        check_model(self.model)
        for source, _ in self._mounts():
            if "," in source:
                raise UsageError(
                    f"cannot mount {source}: a comma separates Docker's mount options",
                    hint="use a path without a comma",
                )

    @contextmanager
    def socket(self) -> Iterator[Path]:
        """A folder that only the container's user can enter, for its socket; gone with the engine."""
        # A socket's path holds at most 107 bytes, and a runner's temporary folder may be deep.
        roots = [path for path in (tempfile.gettempdir(), "/tmp") if len(path) <= _LONGEST_ROOT]  # noqa: S108
        with tempfile.TemporaryDirectory(prefix="gate-", dir=roots[0]) as folder:
            if os.getuid() == 0:  # only root can give the folder to the container's user
                os.chown(folder, *map(int, self.confinement.user.split(":")))
            yield Path(folder) / _SOCKET

    def argv(self, endpoint: Endpoint) -> list[str]:
        """`docker run` without a network: the engine answers on a socket in a folder that both sides see."""
        if endpoint.socket is None:
            raise UsageError(
                "a container serves on a socket",
                hint="report this as a bug of the gate: it starts a container with a socket",
            )
        folder = endpoint.socket.parent
        return [
            *self.confinement.run(self.name),
            *("--mount", f"type=bind,source={folder},target={_SOCKET_FOLDER_INSIDE}"),
            *(part for mount in self._mounts() for part in _read_only(*mount)),
            *self.confinement.variables(self._inside(), by_name=self._by_name()),
            *("--entrypoint", self.command[0], self.image, *self.command[1:]),
            *serve_arguments(
                _MODEL_INSIDE if self._is_folder() else self.model,
                ["--uds", f"{_SOCKET_FOLDER_INSIDE}/{endpoint.socket.name}"],
                self,
            ),
        ]

    def environment(self) -> dict[str, str]:
        """The client's environment; values of `--env NAME` are taken from it, so none of those is in `ps`."""
        return {**client_environment(self.outer), **self._by_name()}

    def cleanup(self) -> list[list[str]]:
        """Remove the container by name."""
        return [self.confinement.remove(self.name)]

    def placed(self, environment: Mapping[str, str]) -> DockerContainer:
        """The same engine with these variables over the config's: it sees all devices, and uses these."""
        return replace(self, env={**self.env, **environment})

    def started_from(self, outer: Mapping[str, str]) -> DockerContainer:
        """The same engine started by a process with this environment."""
        return replace(self, outer=outer)

    def _by_name(self) -> dict[str, str]:
        """Variables that mean something to an engine only.

        Any other one of the config (LD_PRELOAD, DOCKER_HOST, HOME) would act on the client, out here.
        """
        inside = self._inside()
        engines = inherited(inside).keys() - _NOT_INSIDE
        return {name: value for name, value in inside.items() if name in engines or is_secret(name)}

    def _inside(self) -> dict[str, str]:
        whole = engine_environment(
            {**_LOOPBACK, **self.env}, outer=self.outer, command="vllm", offline=self.offline
        )
        inside = {k: v for k, v in whole.items() if k not in _NOT_INSIDE or k in self.env}
        inside["HOME"] = "/tmp"  # noqa: S108 - an unprivileged user's only sure place for JIT caches
        # Python finds no name of a user whom the image does not list, and torch wants one for a folder.
        inside.setdefault("USER", "gate")
        inside.pop("HF_HOME", None)
        if self.hf_home is not None:
            inside["HF_HOME"] = _HF_INSIDE
            inside["HF_MODULES_CACHE"] = "/tmp/hf-modules"  # noqa: S108 - the cache is mounted read-only
        if self._encodings() is not None:
            inside[_ENCODINGS] = _ENCODINGS_INSIDE
        return inside

    def _is_folder(self) -> bool:
        return Path(self.model).expanduser().is_dir()

    def _encodings(self) -> Path | None:
        """The folder of this machine; a config's variable names one of the image, and wins."""
        here = Path(self.outer.get(_ENCODINGS) or "/nowhere")
        return here.resolve() if here.is_dir() and _ENCODINGS not in self.env else None

    def _mounts(self) -> Iterator[tuple[str, str]]:
        """Folders of this machine and where each is inside; one may be there for two purposes."""
        if self._is_folder():
            yield str(Path(self.model).expanduser().resolve()), _MODEL_INSIDE
        if self.hf_home is not None:
            yield str(self.hf_home.expanduser().resolve()), _HF_INSIDE
        if (encodings := self._encodings()) is not None:
            yield str(encodings), _ENCODINGS_INSIDE


def _read_only(source: str, target: str) -> tuple[str, str]:
    return ("--mount", f"type=bind,source={source},target={target},readonly")
