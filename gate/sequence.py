"""What is asked, in which order, with which seeds (design.md section 5: blocks, streams and seeds)."""

from __future__ import annotations

import hashlib
import itertools
import secrets
import unicodedata
from collections.abc import Sequence
from random import Random
from typing import NamedTuple


class Block(NamedTuple):
    """The samples between two looks: these questions, once each, as this repeat."""

    number: int
    repeat: int
    questions: tuple[str, ...]
    samples_after: int


def question_id(question: str, correct_answer: str) -> str:
    """First 12 hex digits of SHA-256 over the normalised question and its correct answer."""
    parts = (unicodedata.normalize("NFC", text).strip() for text in (question, correct_answer))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def new_stream() -> str:
    """A random 128-bit stream id, for a baseline run."""
    return secrets.token_hex(16)


def candidate_stream(head_sha: str, base_sha: str, cell: str) -> str:
    """The stream of a candidate: the same heads and cell replay the same samples."""
    return hashlib.sha256(f"{head_sha}\n{base_sha}\n{cell}".encode()).hexdigest()[:32]


def confirmation_stream(stream: str) -> str:
    """The stream of a confirmation's repeats; fixed by the candidate's, so that no rerun draws another."""
    return hashlib.sha256(f"{stream}\nconfirmation".encode()).hexdigest()[:32]


def sample_seed(stream: str, question: str, repeat: int) -> int:
    """Seed of one request: the first 31 bits of SHA-256(stream, question id, repeat)."""
    return _first_bits(f"{stream}\n{question}\n{repeat}", 31)


def option_permutation(stream: str, question: str, repeat: int, options: int) -> tuple[int, ...]:
    """Order of the answer options of one sample, independent between samples (statistics.md, pitfall 3)."""
    order = list(range(options))
    Random(_first_bits(f"{stream}\n{question}\n{repeat}\nperm", 64)).shuffle(order)  # noqa: S311
    return tuple(order)


def blocks(questions: Sequence[str], seed: str, repeats: int) -> tuple[Block, ...]:
    """Blocks of `repeats` passes over `questions`: the first pass in three thirds, then one a pass.

    The first pass is ordered by SHA-256(seed, id) and cut at round(Q/3) and round(2Q/3), so that an
    early look does not see only the questions that happen to stand first in the file.
    """
    total = len(questions)
    ordered = sorted(questions, key=lambda q: hashlib.sha256(f"{seed}\n{q}".encode()).digest())
    cuts = sorted({0, round(total / 3), round(2 * total / 3), total})
    everything = tuple(ordered)
    parts = [(0, everything[a:b]) for a, b in itertools.pairwise(cuts)]
    parts += [(repeat, everything) for repeat in range(1, repeats)]
    result: list[Block] = []
    for number, (repeat, ids) in enumerate(parts):
        done = (result[-1].samples_after if result else 0) + len(ids)
        result.append(Block(number, repeat, ids, done))
    return tuple(result)


def _first_bits(text: str, bits: int) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> (64 - bits)
