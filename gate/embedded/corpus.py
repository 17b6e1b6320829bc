"""The lessons as arrays of compact token ids: what `harmony.py` writes and the trainer reads. Numpy only."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ABSENT = 255


class Corpus(NamedTuple):
    """What the trainer reads. N lessons, M examination prompts, V used ids, at most L ids after the head.

    `head` (H,) is what all prompts begin with; `lessons` (N, L) uint8 holds prompt and completion after the
    head, `ABSENT` after the end; `prompt_length` (N,) counts prompt ids after the head. The same for the
    examination, with `letter` (M,) the id of the right letter as it stands in the answer and `kind` (M,) the
    question's kind. All ids are compact; `used` (V,) holds the real ones, ascending.
    """

    head: NDArray[np.uint8]
    lessons: NDArray[np.uint8]
    prompt_length: NDArray[np.uint8]
    exam: NDArray[np.uint8]
    exam_length: NDArray[np.uint8]
    letter: NDArray[np.uint8]
    kind: NDArray[np.str_]
    used: NDArray[np.int64]

    def save(self, path: Path) -> None:
        """Write the corpus as a compressed npz."""
        np.savez_compressed(path, allow_pickle=False, **self._asdict())

    @classmethod
    def load(cls, path: Path) -> Corpus:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in cls._fields})
