"""The client where nobody answers: it says so, and gives up in time."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gate.errors import GitHubError
from gate.github.client import Credentials, Hub, Pace, told


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which every connection is refused, for as long as it is ours."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


def asked(said: list[str], **credentials: str) -> None:
    """Build a hub that tells `said`, and ask it something."""
    given = Credentials(**credentials)
    with told("org/engine"):
        list(Hub(given, "org/engine", pace=Pace(backoff=0.01), say=said.append).repository.get_pulls())


def test_an_api_that_nobody_serves_is_tried_a_few_times_aloud(nobody: str) -> None:
    said: list[str] = []
    with pytest.raises(GitHubError, match="cannot be reached: ConnectionError"):
        asked(said, api_url=f"http://{nobody}", token="t")
    assert said == [f"{nobody} does not answer (NewConnectionError); tries again in 0 s"] * 2


def test_an_app_without_an_api_is_no_more_patient(nobody: str) -> None:
    said: list[str] = []
    with pytest.raises(GitHubError, match="cannot be reached: ConnectionError"):
        asked(said, api_url=f"http://{nobody}", app_id="7", app_key=_key())
    assert len(said) == 2


def _key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    made = rsa.generate_private_key(65537, 2048)
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    return made.private_bytes(*pem, serialization.NoEncryption()).decode()
