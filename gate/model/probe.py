"""The numerics probe: what the engine said about the fixed prompts, and what that comes to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gate.model.cell import Cell
from gate.model.fields import Frozen, PackedRows, Sha256


class ProbeFingerprint(Frozen):
    """What must be equal for the numbers of two probes to be comparable.

    `prompts_sha256` is of the prompts' token ids. `instruction_set` names what a CPU multiplies with, which
    rounds differently from one CPU to the next; on a GPU the cell's arch says it, and this is `gpu`.
    """

    cell: Cell
    model: str
    model_revision: str
    prompts: str
    prompts_sha256: Sha256
    instruction_set: str


class Probe(Frozen):
    """What an engine said about the fixed prompts: one entry a prompt, packed by `gate.numerics.codec`.

    `prefill` holds the last positions of each prompt, `decode` those of its greedy continuation.
    """

    fingerprint: ProbeFingerprint
    prefill: tuple[PackedRows, ...]
    decode: tuple[PackedRows, ...]
    seconds: float = Field(ge=0)


class SinglePrompts(Frozen):
    """How far each prompt stands out of its run, for the most telling of the four tests of a few prompts.

    `path` and `measure` say which: the divergence or the shift, in prefill or in decode. `apart` is in units
    of the prompt's noise floor and of the run's own middle, None where a prompt says nothing; two prompts at
    `needed` or further are a drift of a few.
    """

    path: Literal["prefill", "decode"]
    measure: Literal["kl", "shift"]
    apart: tuple[float | None, ...]
    needed: float


class Numerics(Frozen):
    """What the numerics probe says about a cell.

    `state` is what it comes to: `unchanged` within the noise floor, `changed` beyond it, `broken` (not
    numbers, or far past anything healthy), `incomparable` where the fingerprints differ. `times` and
    `p_value` are those of the most telling of eight tests, `path` says where, `few` that a few prompts moved
    rather than most; `p_value` is eight times that test's. `shift` is the mean |difference of a
    log-probability| in nats, `worst` the prompts that moved most, `flips` the positions out of `positions`
    where another token is the likeliest, `agreement` the share of listed tokens that both list.
    `single` is known where healthy comparisons show what single prompts do. `calibrated`: the floor rests on
    enough healthy runs for a drift to fail a cell.
    """

    state: Literal["unchanged", "changed", "broken", "incomparable"]
    calibrated: bool = False
    times: float | None = None
    p_value: float | None = None
    path: Literal["prefill", "decode"] | None = None
    few: bool = False
    single: SinglePrompts | None = None
    shift: float | None = None
    worst: tuple[int, ...] = ()
    agreement: float | None = None
    flips: int = 0
    positions: int = 0
    seconds: float = 0.0
    differences: dict[str, tuple[str, str]] = Field(default={})
    reason: str = ""
