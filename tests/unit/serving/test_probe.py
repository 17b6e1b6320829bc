"""Health over the loopback: a status, a refusal, or no answer in time."""

import asyncio
from collections.abc import Callable

import pytest

from gate.serving import probe
from gate.serving.probe import Endpoint, free_port, health


async def answer(reply: bytes | None, ask: Callable[[Endpoint], object]) -> object:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        if reply is None:
            await asked.wait()
        writer.write(reply or b"")
        writer.close()
        await asyncio.wait([asyncio.create_task(writer.wait_closed())])
        closed.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    result = await ask(Endpoint(server.sockets[0].getsockname()[1]))
    asked.set()
    await closed.wait()
    server.close()
    return result


@pytest.mark.parametrize(
    ("reply", "status"),
    [(b"HTTP/1.1 200 OK\r\n\r\n", 200), (b"HTTP/1.1 503 No\r\n\r\n", 503), (b"junk\r\n", 0)],
)
async def test_the_status_is_read(reply, status):
    assert await answer(reply, health) == status


async def test_silence_is_neither_healthy_nor_a_refusal(monkeypatch):
    monkeypatch.setattr(probe, "TIMEOUT_SECONDS", 0.05)
    assert await answer(None, health) == 0


async def test_nobody_there_is_a_refusal():
    assert await health(Endpoint(free_port())) is None


async def test_a_socket_that_is_not_there_yet_is_a_refusal(tmp_path):
    assert await health(Endpoint(0, tmp_path / "s")) is None
