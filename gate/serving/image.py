"""A container image: what exactly it is, and what the engine's Python inside says of itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gate.errors import EngineError, UsageError
from gate.serving import gpu
from gate.serving.confinement import Confinement

ASK_SECONDS: Final = 60.0
PULL_SECONDS: Final = 3600.0


class Image(NamedTuple):
    """An image on this machine: how it was asked for, its id, and its digests in registries (often one)."""

    reference: str
    id: str
    digests: tuple[str, ...]

    def provenance(self) -> dict[str, str]:
        """What a record keeps: a name can point elsewhere tomorrow, id and digest cannot."""
        return {
            "image": self.reference,
            "image_id": self.id,
            "image_digest": ", ".join(self.digests) or "none",
        }


def image_of(reference: str, docker: Sequence[str], environment: Mapping[str, str]) -> Image:
    """The image behind a reference; it is pulled first where it is not on this machine.

    Args:
        reference: name, tag or digest.
        docker: the client, as a list.
        environment: the client's.

    Raises:
        UsageError: there is no client, or no such image anywhere.
        EngineError: the container engine does not answer.
    """
    if shutil.which(docker[0], path=environment.get("PATH")) is None:
        raise UsageError(f"{docker[0]} not found", hint="install Docker, or give --engine-command")
    described = _run([*docker, "image", "inspect", "--", reference], environment, ASK_SECONDS)
    if described.returncode:
        pulled = _run([*docker, "pull", "--quiet", "--", reference], environment, PULL_SECONDS)
        if pulled.returncode:
            raise UsageError(
                f"the image {reference} is not on this machine and cannot be pulled",
                hint=_last_line(pulled.stderr) or "check --engine-image",
            )
        described = _run([*docker, "image", "inspect", "--", reference], environment, ASK_SECONDS)
    try:
        (image,) = json.loads(described.stdout)
        return Image(reference, str(image["Id"]), tuple(image.get("RepoDigests") or ()))
    except (ValueError, KeyError, TypeError) as error:
        raise EngineError(
            f"{docker[0]} image inspect {reference} answers no image",
            hint=_last_line(described.stderr) or "is the container engine running?",
        ) from error


def ask_image(
    image: Image,
    confinement: Confinement,
    environment: Mapping[str, str],
    *,
    visible: Mapping[str, str],
    folders: Sequence[str] = (),
) -> gpu.Engine:
    """What the engine's Python inside the image says of itself, in a container shut in as it will serve.

    Args:
        image: on this machine.
        confinement: what shuts the container in.
        environment: the client's.
        visible: variables that say which GPUs are ours.
        folders: of the image, which may hold harmony's encoding.

    Raises:
        EngineError: it has no `python3`, or that answers nothing.
    """
    inside = {**visible, "HOME": "/tmp"}  # noqa: S108 - an unprivileged user's only sure place
    name = f"gate-ask-{os.getpid()}"
    asked = [
        *confinement.run(name),
        *confinement.variables(inside, by_name=visible),
        *("--entrypoint", "python3", image.reference),
    ]
    try:
        return gpu.ask_engine(asked, {**environment, **visible}, option="--engine-image", folders=folders)
    except BaseException:  # Ctrl-C ends the client, not the container
        _run(confinement.remove(name), environment, ASK_SECONDS)
        raise


def _run(
    command: Sequence[str], environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(
            f"{command[0]} {command[1]} failed: {type(error).__name__}",
            hint="try the same command yourself, as this user",
        ) from error


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")
