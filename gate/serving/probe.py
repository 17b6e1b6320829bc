"""Where the engine listens, and whether it is healthy: over the loopback interface or a Unix socket."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp

HEALTHY: Final = 200
UNAVAILABLE: Final = 503
TIMEOUT_SECONDS: Final = 10.0
INFO_SECONDS: Final = 60.0


class Endpoint(NamedTuple):
    """Where an engine listens: a port of 127.0.0.1, or a Unix socket where it has no network."""

    port: int
    socket: Path | None = None

    @property
    def base_url(self) -> str:
        """The URL that paths are added to, without a trailing slash; for a socket its host means nothing."""
        return f"http://127.0.0.1:{self.port}" if self.socket is None else "http://engine"

    def connector(self) -> aiohttp.BaseConnector:
        """What connects an HTTP session to it, with as many connections as are asked for."""
        return connector(self.socket)


def connector(unix_socket: Path | None) -> aiohttp.BaseConnector:
    """An unlimited connector to a Unix socket, or to whatever host the URL names."""
    if unix_socket is not None:
        return aiohttp.UnixConnector(path=str(unix_socket), limit=0)
    return aiohttp.TCPConnector(limit=0)


def free_port() -> int:
    """A port that was free a moment ago; who loses the race tries again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def get_json(endpoint: Endpoint, path: str) -> Any:  # noqa: ANN401 - somebody else's JSON
    """The JSON that GET `path` answers; None where there is none, or not in time."""
    limit = aiohttp.ClientTimeout(total=INFO_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(connector=endpoint.connector(), timeout=limit) as session,
            session.get(endpoint.base_url + path) as reply,
        ):
            return json.loads(await reply.read()) if reply.status == HEALTHY else None
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None


async def health(endpoint: Endpoint) -> int | None:
    """Status of GET /health; None if the connection is refused, 0 if no answer came in time."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            if endpoint.socket is None:
                reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.port)
            else:
                reader, writer = await asyncio.open_unix_connection(endpoint.socket)
            writer.write(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            words = (await reader.readline()).split()
            return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    except TimeoutError:
        return 0
    except OSError:
        return None
    finally:
        if writer is not None:
            writer.close()
