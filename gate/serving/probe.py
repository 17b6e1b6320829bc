"""Ports and health, over the loopback interface only."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

HEALTHY: Final = 200
UNAVAILABLE: Final = 503
TIMEOUT_SECONDS: Final = 10.0
_REQUEST: Final = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n"


def free_port() -> int:
    """A port that was free a moment ago; who loses the race tries again."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
