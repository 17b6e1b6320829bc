"""Fetches the artifacts of a run, no more of them and no more bytes than will be read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import requests
from github.Artifact import Artifact

from gate.errors import GitHubError
from gate.github.artifact import ArtifactError, Caps
from gate.github.client import Hub

PREFIX: Final = "gate-records"
"""How the artifacts are called that hold run records."""
_CHUNK: Final = 1 << 16
_SECONDS: Final = 60
_FOUND: Final = 302


def fetch_artifacts(hub: Hub, run_id: int, folder: Path, caps: Caps = Caps()) -> list[Path]:  # noqa: B008
    """The zip files of a run's artifacts of records; of several of one name (a rerun's) the newest.

    Args:
        hub: the repository.
        run_id: the run that measured.
        folder: where to.
        caps: the most that is fetched.

    Raises:
        ArtifactError: more or larger ones than are read.
        GitHubError: one is gone, or the storage does not answer.
    """
    found: dict[str, Artifact] = {}
    for number, artifact in enumerate(hub.repository.get_workflow_run(run_id).get_artifacts()):
        if number >= caps.files:
            raise ArtifactError(
                f"the run has more than {caps.files:,} artifacts",
                hint="upload the run records only, one artifact a job",
            )
        if artifact.name.startswith(PREFIX) and not artifact.expired:
            known = found.setdefault(artifact.name, artifact)
            found[artifact.name] = max(known, artifact, key=lambda one: one.id)
    if sum(artifact.size_in_bytes for artifact in found.values()) > caps.archive:
        raise ArtifactError(
            f"the run's artifacts have more than {caps.archive:,} bytes",
            hint="run it again with fewer cells a job, and upload run records only",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return [_fetch(hub, artifact, folder, caps) for artifact in _in_order(list(found.values()))]


def _in_order(artifacts: Sequence[Artifact]) -> list[Artifact]:
    return sorted(artifacts, key=lambda artifact: artifact.id)


def _fetch(hub: Hub, artifact: Artifact, folder: Path, caps: Caps) -> Path:
    """One zip file. GitHub says where it is stored; the storage is asked without our token."""
    status, headers, _ = hub.api.requester.requestJson("GET", artifact.archive_download_url)
    address = headers.get("location", "")
    if status != _FOUND or urlsplit(address).scheme not in ("https", urlsplit(artifact.url).scheme):
        raise GitHubError("an artifact of the run is gone", where=hub.name, hint="run it again")
    path = folder / f"{artifact.id}.zip"
    try:
        with (
            requests.get(address, stream=True, timeout=_SECONDS) as answer,
            path.open("wb") as file,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_content(_CHUNK):
                file.write(chunk)
                if file.tell() > caps.archive:
                    raise ArtifactError(
                        f"an artifact has more than {caps.archive:,} bytes",
                        hint="upload the run records only, not logs or journals",
                    )
    except requests.RequestException as error:
        # Its message would show the signed address.
        raise GitHubError(
            f"an artifact could not be fetched: {type(error).__name__}", where=hub.name, hint="run it again"
        ) from None
    return path
