"""Streams that are the same whenever a test runs: no verdict of a test may hang on the luck of a draw.

Python imports this module at its start where PYTHONPATH names its folder (`project.environment`). `gate` is
left as it is; only the 16 bytes that `gate.sequence.new_stream` asks for are not random. They follow from the
test, from how many processes it started before, and from how often this one has asked.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets

PROCESS = os.environ.get("STREAMS_OF") or os.environ.get("PYTEST_CURRENT_TEST", "")
DRAWN = itertools.count(1)


def next_bytes(length: int | None = None) -> str:
    """In place of `secrets.token_hex`: as many bytes, as hex digits."""
    drawn = hashlib.shake_256(f"{PROCESS} {next(DRAWN)}".encode())
    return drawn.hexdigest(length or secrets.DEFAULT_ENTROPY)


secrets.token_hex = next_bytes
