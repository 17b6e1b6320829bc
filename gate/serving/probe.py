"""Ports and health, over the loopback interface only."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, Final

import aiohttp

HEALTHY: Final = 200
UNAVAILABLE: Final = 503
TIMEOUT_SECONDS: Final = 10.0
INFO_SECONDS: Final = 60.0
_REQUEST: Final = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n"


def free_port() -> int:
    """A port that was free a moment ago; who loses the race tries again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def get_json(port: int, path: str) -> Any:  # noqa: ANN401 - somebody else's JSON
    """The JSON that GET `path` answers; None where there is none, or not in time."""
    limit = aiohttp.ClientTimeout(total=INFO_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=limit) as session,
            session.get(f"http://127.0.0.1:{port}{path}") as reply,
        ):
            return json.loads(await reply.read()) if reply.status == HEALTHY else None
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return None


async def health(port: int) -> int | None:
    """Status of GET /health; None if the connection is refused, 0 if no answer came in time."""
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
            )
            words = (await reader.readline()).split()
            return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
    except TimeoutError:
        return 0
    except OSError:
        return None
    finally:
        if writer is not None:
            writer.close()
