"""The size of a collection, declared in a file before it starts: so that it goes on after a crash, once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gate.errors import UsageError
from gate.files import parse_json, read_bytes, write_bytes

SIZE_LIMIT: Final = 1_000_000


class Declaration:
    """What an unfinished collection set out to do; gone once it is done.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def declare(self, content: Mapping[str, str]) -> bool:
        """Write the file, or find it: True where this very collection was interrupted.

        Raises:
            UsageError: another collection was interrupted here, names what differs; it cannot be written.
        """
        if not self.path.exists():
            text = json.dumps(dict(content), indent=1, sort_keys=True) + "\n"
            write_bytes(self.path, text.encode(), error=UsageError)
            return False
        found = parse_json(
            read_bytes(self.path, limit=SIZE_LIMIT, error=UsageError), where=str(self.path), error=UsageError
        )
        if found == dict(content):
            return True
        earlier = found if isinstance(found, dict) else {}
        differing = [key for key in sorted({*earlier, *content}) if earlier.get(key) != content.get(key)]
        raise UsageError(
            f"another collection was interrupted here: {', '.join(differing)} differ",
            where=str(self.path),
            hint="finish it with the command that began it, give another --out, or delete this file to begin "
            "anew",
        )

    def finish(self) -> None:
        """The collection is complete: the next one is another."""
        self.path.unlink(missing_ok=True)
