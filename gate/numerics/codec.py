"""Rows of log-probabilities as text: 105 bytes a position, in base64.

A position is its token (24 bits, little-endian), its log-probability (float16), then the ids of the 20
likeliest tokens and their log-probabilities. A float16 has a relative error of 2^-11, so that a probability
near 1, where a small difference matters most, keeps its distance from 1.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gate.errors import RecordError
from gate.stats.drift import Rows

TOP: Final = 20
MAX_ID: Final = 2**24 - 1
_ID: Final = 3
_LAYOUT: Final = np.dtype(
    [
        ("token", np.uint8, (_ID,)),
        ("logprob", "<f2"),
        ("top_ids", np.uint8, (TOP, _ID)),
        ("top_logprobs", "<f2", (TOP,)),
    ]
)


def pack(rows: Rows) -> str:
    """The text of rows whose top lists hold `TOP` tokens."""
    packed = np.zeros(len(rows.token), _LAYOUT)
    packed["token"], packed["top_ids"] = _bytes_of(rows.token), _bytes_of(rows.top_ids)
    with np.errstate(over="ignore"):
        packed["logprob"], packed["top_logprobs"] = rows.logprob, rows.top_logprobs
    return base64.b64encode(packed.tobytes()).decode("ascii")


def unpack(text: str, *, where: str) -> Rows:
    """The rows that `pack` made a text of.

    Raises:
        RecordError: the text is not base64, or its length is not that of whole positions.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordError("is not base64", where=where, hint="restore it from git, or probe again") from error
    if len(data) % _LAYOUT.itemsize:
        raise RecordError(
            f"{len(data)} bytes are no whole number of positions",
            where=where,
            hint="restore it from git, or probe again",
        )
    packed: NDArray[Any] = np.frombuffer(data, _LAYOUT)
    return Rows(
        _ids_of(packed["token"]),
        packed["logprob"].astype(np.float64),
        _ids_of(packed["top_ids"]),
        packed["top_logprobs"].astype(np.float64),
    )


def _bytes_of(ids: NDArray[np.int64]) -> NDArray[np.uint8]:
    shifts = np.array([0, 8, 16])
    data: NDArray[np.uint8] = ((ids[..., None] >> shifts) & 0xFF).astype(np.uint8)
    return data


def _ids_of(data: NDArray[np.uint8]) -> NDArray[np.int64]:
    ids: NDArray[np.int64] = (data.astype(np.int64) << np.array([0, 8, 16])).sum(axis=-1)
    return ids
