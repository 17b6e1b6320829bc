"""Whether the expanded model is that of the committed checkpoint. Standard library only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

STAMP = "expanded.json"


def checkpoint() -> Path:
    """Return the folder of the committed compact checkpoint."""
    return Path(__file__).parent / "checkpoint"


def digest(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the files' names and contents, in the order given."""
    total = hashlib.sha256()
    for path in paths:
        total.update(f"{path.name} {path.stat().st_size}\n".encode())
        total.update(path.read_bytes())
    return total.hexdigest()


def source_digest(source: Path) -> str:
    """Return the SHA-256 of everything the expansion depends on: the compact checkpoint and the code."""
    names = ("model.safetensors", "config.json", "used_ids.json")
    return digest([*(source / name for name in names), Path(__file__).with_name("expand.py")])


def content(source: Path, directory: Path) -> dict[str, Any]:
    """Return what the stamp of a complete expansion of `source` in `directory` holds."""
    with (directory / "model.safetensors").open("rb") as file:
        model = hashlib.file_digest(file, "sha256").hexdigest()
    return {"source_sha256": source_digest(source), "model_sha256": model}


def is_current(directory: Path, source: Path) -> bool:
    """Whether `directory` holds the whole, unaltered expansion of `source`."""
    needed = [directory / name for name in (STAMP, "model.safetensors", "tokenizer.json", "config.json")]
    if not all(path.is_file() for path in needed):
        return False
    try:
        written = json.loads((directory / STAMP).read_text(encoding="utf-8"))
    except ValueError:
        return False
    return bool(written == content(source, directory))


def write(directory: Path, source: Path) -> None:
    """Mark the expansion in `directory` as complete."""
    text = json.dumps(content(source, directory), indent=1) + "\n"
    (directory / STAMP).write_text(text, encoding="utf-8")
