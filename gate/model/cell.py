"""The cell: the unit that is measured and gets a verdict."""

from __future__ import annotations

from gate.model.canonical import sha256_of
from gate.model.fields import Frozen, Name


class Cell(Frozen):
    """(arch, config, backend): the unit that is measured and gets a verdict."""

    arch: Name
    config: Name
    backend: Name

    def __str__(self) -> str:
        return f"{self.arch}/{self.config}/{self.backend}"

    @property
    def file_stem(self) -> str:
        """`arch__config__backend`: what its files and artifacts are called, and no other cell's.

        Names may hold `__` or end in `_`: where the three could be read off differently, digits of a hash
        follow.
        """
        parts = [self.arch, self.config, self.backend]
        stem = "__".join(parts)
        return stem if stem.split("__") == parts else f"{stem}__{sha256_of(parts)[:12]}"
