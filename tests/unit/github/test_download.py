"""A run's artifacts: what is not fetched, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from gate.errors import GitHubError
from gate.github.artifact import ArtifactError, Caps
from gate.github.download import fetch_artifacts
from gate.github.pulls import head_of_run

STORED = "https://storage.example/signed?secret"


def hub(*sizes: int, status: int = 302, location: str = STORED) -> Any:
    """A repository with one run, whose artifacts have these sizes."""
    artifacts = [
        SimpleNamespace(
            id=number,
            name=f"gate-records-{number}",
            expired=False,
            size_in_bytes=size,
            url="https://api.github.com/artifacts",
            archive_download_url="https://api.github.com/zip",
        )
        for number, size in enumerate(sizes)
    ]
    run = SimpleNamespace(
        get_artifacts=lambda: artifacts, path=".github/workflows/other.yml@main", event="push"
    )
    answer = (status, {"location": location}, "")
    return SimpleNamespace(
        name="org/engine",
        repository=SimpleNamespace(get_workflow_run=lambda _: run),
        api=SimpleNamespace(requester=SimpleNamespace(requestJson=lambda *_: answer)),
    )


class Storage:
    """An answer of the storage that never ends, or none."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        """Closed."""

    def raise_for_status(self) -> None:
        if self.fails:
            raise requests.HTTPError(f"403 for {STORED}")

    def iter_content(self, size: int) -> Any:
        while True:
            yield b"0" * size


def test_more_artifacts_than_are_read_are_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="more than 1 artifacts"):
        fetch_artifacts(hub(1, 1), 7, tmp_path, Caps(files=1))


def test_larger_artifacts_than_are_read_are_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="the run's artifacts have more than 10 bytes"):
        fetch_artifacts(hub(6, 6), 7, tmp_path, Caps(archive=10))


def test_an_artifact_that_lies_about_its_size_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "get", lambda *_, **__: Storage())
    with pytest.raises(ArtifactError, match="an artifact has more than 100,000 bytes"):
        fetch_artifacts(hub(6), 7, tmp_path, Caps(archive=100_000))


@pytest.mark.parametrize(
    "changes", [{"status": 410, "location": ""}, {"location": "http://storage.example/plain"}]
)
def test_an_artifact_that_is_gone_or_lies_in_the_open_is_not_fetched(
    tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(GitHubError, match="an artifact of the run is gone"):
        fetch_artifacts(hub(6, **changes), 7, tmp_path)


def test_a_storage_that_refuses_is_named_without_its_signed_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "get", lambda *_, **__: Storage(fails=True))
    with pytest.raises(GitHubError, match="could not be fetched: HTTPError") as error:
        fetch_artifacts(hub(6), 7, tmp_path)
    assert "secret" not in str(error.value)


def test_only_a_run_of_the_expected_workflow_is_reported_on() -> None:
    with pytest.raises(GitHubError, match=r"other\.yml on push, not of .*gate\.yml on pull_request"):
        head_of_run(hub(), 7, workflow=".github/workflows/gate.yml")
