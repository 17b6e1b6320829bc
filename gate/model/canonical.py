"""The one JSON text of a value, and its hash."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """The one JSON text of a value: keys sorted, no spaces, ASCII only."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sha256_of(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """SHA-256 in hex of `canonical_json(value)`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()
