"""Runs tests/support/engine_stub.py as a process, for tests that need an engine to ask."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

STUB = Path(__file__).with_name("engine_stub.py")


class StubEngine(NamedTuple):
    """A running stub."""

    process: subprocess.Popen[str]
    url: str

    def switch(self, **changes: Any) -> None:
        """Change what the stub does: see POST /stub."""
        body = json.dumps(changes).encode()
        request = urllib.request.Request(f"{self.url}/stub", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as reply:
            reply.read()

    def counts(self) -> dict[str, Any]:
        """What the stub was asked so far."""
        with urllib.request.urlopen(f"{self.url}/stub") as reply:
            return json.load(reply)

    async def until(self, **wanted: int) -> None:
        """Wait until the stub's counts have at least these values."""
        while any(self.counts()[name] < value for name, value in wanted.items()):
            await asyncio.sleep(0.01)


@contextmanager
def stub_engine(*arguments: str) -> Iterator[StubEngine]:
    """A stub on a free port, killed at the end."""
    command = [sys.executable, str(STUB), "serve", "stub", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield StubEngine(process, f"http://127.0.0.1:{line.split()[-1]}")
        finally:
            process.kill()
