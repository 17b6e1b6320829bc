"""The command blocks of README and docs/."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^( *)```(?:sh|bash|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
GATE = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?gate (?=[a-z])")


class Command(NamedTuple):
    """One `gate` command of a page, as words without `gate` itself."""

    where: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where} {' '.join(self.words)}"


def pages() -> tuple[Path, ...]:
    """README and every page that somebody wrote."""
    written = (page for page in ROOT.glob("docs/**/*.md") if "generated" not in page.parts)
    return (ROOT / "README.md", ROOT / "baselines/README.md", *sorted(written))


def commands() -> Iterator[Command]:
    """Every line that begins with `gate`, continued lines joined; comments are left out."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for block in BLOCK.finditer(text):
            line = text.count("\n", 0, block.start(2)) + 1
            for part in block[2].replace("\\\n", " ").splitlines():
                stripped = part.strip()
                if found := GATE.match(stripped):
                    words = shlex.split(stripped[found.end() :], comments=True)
                    yield Command(f"{page.relative_to(ROOT)}:{line}", tuple(words))
