"""How the engine is started: its command line and environment, as lists, never through a shell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from gate.errors import UsageError
from gate.serving.environment import engine_environment
from gate.serving.probe import Endpoint

# What vLLM's own two eval runners append for every config (tests/evals/{gpt_oss,gsm8k}/test_*.py).
PRESETS: Final[Mapping[str, tuple[str, ...]]] = {
    "plain": (),
    "vllm-eval": ("--trust-remote-code", "--enforce-eager", "--disable-uvicorn-access-log"),
    "vllm-eval-gsm8k": ("--trust-remote-code", "--disable-uvicorn-access-log"),
}

_RESERVED: Final = frozenset(
    {
        *("--host", "--port", "--uds", "--served-model-name", "--api-key", "--root-path", "--headless"),
        *("--ssl-keyfile", "--ssl-certfile", "--ssl-ca-certs", "--ssl-cert-reqs"),
        *("--enable-log-requests", "--enable-log-outputs", "--log-config-file"),
    }
)


class Launcher(Protocol):
    """What `gate.serving.server.serve` needs to know about a way to start the engine."""

    @property
    def listens_itself(self) -> bool:
        """Whether a process of our own tree holds the port (false behind a container engine)."""

    def check(self) -> None:
        """Raise `UsageError` for what can be seen to be wrong before anything is started."""

    def socket(self) -> AbstractContextManager[Path | None]:
        """A place for the Unix socket that it serves on, for as long as it runs; None: it takes the port."""

    def argv(self, endpoint: Endpoint) -> list[str]:
        """The command that serves on the endpoint and stays in the foreground."""

    def environment(self) -> dict[str, str]:
        """The whole environment of that command."""

    def cleanup(self) -> list[list[str]]:
        """Commands that end what signals to our own processes cannot reach."""

    def placed(self, environment: Mapping[str, str]) -> Launcher:
        """The same engine with these variables over the config's: what it may see of the machine."""

    def started_from(self, outer: Mapping[str, str]) -> Launcher:
        """The same engine started by a process with this environment: another one, on another machine."""


@dataclass(frozen=True)
class LocalProcess:
    """`vllm serve` as a process on this machine.

    Args:
        command: e.g. `["vllm"]` or `["/venv/bin/python", "-m", "vllm.entrypoints.cli.main"]`.
        model: Hub id or folder.
        served_model: the name requests use.
        server_args: the config's arguments, already split.
        env: the config's variables.
        preset: `plain` or `vllm-eval` (see `PRESETS`).
        trust_remote_code: adds `--trust-remote-code`.
        offline: never download (HF_HUB_OFFLINE=1).
        outer: where allow-listed variables come from.
    """

    command: Sequence[str]
    model: str
    served_model: str
    server_args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    preset: str = "plain"
    trust_remote_code: bool = False
    offline: bool = True
    outer: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def listens_itself(self) -> bool:
        """The server is our own child."""
        return True

    def check(self) -> None:
        """Raise `UsageError` if the command, the model folder or an argument is wrong."""
        check_server_args(self.server_args)
        if not self.command or shutil.which(self.command[0], path=self.outer.get("PATH")) is None:
            raise UsageError(
                f"engine command {' '.join(self.command) or '(empty)'!r} not found",
                hint="install the engine so that `vllm` is on PATH, or give --engine-command",
            )
        self.environment()
        check_model(self.model)

    def socket(self) -> AbstractContextManager[None]:
        """None: a process on this machine takes the port."""
        return nullcontext()

    def argv(self, endpoint: Endpoint) -> list[str]:
        """`vllm serve MODEL` on 127.0.0.1:port."""
        options = ["--host", "127.0.0.1", "--port", str(endpoint.port)]
        return [*self.command, *serve_arguments(self.model, options, self)]

    def environment(self) -> dict[str, str]:
        """Allow-listed variables, the config's, and ours."""
        return engine_environment(self.env, outer=self.outer, command=self.command[0], offline=self.offline)

    def cleanup(self) -> list[list[str]]:
        """Nothing: signals reach every process."""
        return []

    def placed(self, environment: Mapping[str, str]) -> LocalProcess:
        """The same engine with these variables over the config's."""
        return replace(self, env={**self.env, **environment})

    def started_from(self, outer: Mapping[str, str]) -> LocalProcess:
        """The same engine started by a process with this environment."""
        return replace(self, outer=outer)


class Serving(Protocol):
    """The part of a launcher that decides vLLM's own arguments."""

    @property
    def served_model(self) -> str:
        """The name requests use."""

    @property
    def server_args(self) -> Sequence[str]:
        """The config's arguments."""

    @property
    def preset(self) -> str:
        """A key of `PRESETS`."""

    @property
    def trust_remote_code(self) -> bool:
        """Whether the model's own code may run."""


def serve_arguments(model: str, options: Sequence[str], serving: Serving) -> list[str]:
    """`serve MODEL OPTIONS...` with the preset's and the config's arguments.

    `--no-enable-log-requests` comes last because the last one wins: prompts never reach the log.
    """
    remote_code = ["--trust-remote-code"] if serving.trust_remote_code else []
    return [
        *("serve", model, *options, "--served-model-name", serving.served_model),
        *(*serving.server_args, *PRESETS[serving.preset], *remote_code, "--no-enable-log-requests"),
    ]


def check_server_args(server_args: Sequence[str]) -> None:
    """Raise `UsageError` for an option that belongs to the gate or would log prompts."""
    for argument in server_args:
        option = argument.partition("=")[0].replace("_", "-")
        if option in _RESERVED:
            raise UsageError(
                f"server_args sets {option}, which the gate sets itself",
                hint=f"remove {option} from the config's server_args",
            )


def check_model(model: str) -> None:
    """Raise `UsageError` if `model` is a path without a model in it; a Hub id is left to the engine."""
    if model.startswith("local/") and not Path(model).exists():
        raise UsageError(f"{model} is on no hub", hint="give the checkpoint's folder with --model")
    path = Path(model).expanduser()
    if not (path.is_absolute() or model.startswith((".", "~")) or path.exists()):
        return
    if not path.is_dir():
        raise UsageError(f"model folder {model} does not exist", hint="give the folder with --model")
    if not (path / "config.json").is_file():
        raise UsageError(
            f"model folder {model} has no config.json", hint="give the folder of a Hugging Face checkpoint"
        )
