"""Made-up probes: what an engine would say about fixed prompts, with as much noise as asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gate.model.cell import Cell
from gate.model.probe import Probe, ProbeFingerprint
from gate.numerics.ask import Said, packed
from gate.numerics.codec import TOP, pack, unpack
from gate.numerics.collect import Taken, baseline_of
from gate.numerics.store import ProbeBaseline
from gate.stats.drift import Rows

CELL = Cell(arch="cpu", config="tiny", backend="default")
PROMPTS, SCORED, CONTINUED, VOCABULARY = 12, 6, 8, 60


def fingerprint(**changes: object) -> ProbeFingerprint:
    values = {
        "cell": CELL,
        "model": "tiny",
        "model_revision": "r1",
        "prompts": "test",
        "prompts_sha256": "0" * 64,
        "instruction_set": "avx2",
    }
    return ProbeFingerprint.model_validate(values | changes)


def said(*, prefill: float = 0.0, decode: float = 0.0, seed: int = 0, flip: Sequence[int] = ()) -> Said:
    """One engine: `prefill` and `decode` are the noise of its logits; in `flip` another token is chosen."""
    model = np.random.default_rng(99)
    noise = np.random.default_rng(seed)

    def rows(positions: int, scale: float, *, forced: bool, other: bool = False) -> Rows:
        logits = 2 * model.standard_normal((positions, VOCABULARY))
        logits += scale * noise.standard_normal(logits.shape)
        logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        order = np.argsort(-logs, axis=1)[:, :TOP]
        token = np.zeros(positions, np.int64) if forced else np.argmax(2 * logits, axis=1)
        if other:
            token[positions // 2] = order[positions // 2, 1]
        chosen = np.take_along_axis(logs, token[:, None], axis=1)[:, 0]
        return Rows(token, chosen, order, np.take_along_axis(logs, order, axis=1))

    return Said(
        tuple(rows(SCORED, prefill, forced=True) for _ in range(PROMPTS)),
        tuple(rows(CONTINUED, decode, forced=False, other=n in flip) for n in range(PROMPTS)),
    )


def probe(*, marks: ProbeFingerprint | None = None, **noise: object) -> Probe:
    return packed(said(**noise), marks or fingerprint(), 1.5)  # type: ignore[arg-type]


def taken(name: str = "start 1", **noise: object) -> Taken:
    one = said(**noise)  # type: ignore[arg-type]
    return Taken(name, one, packed(one, fingerprint(), 1.5))


def baseline(*healthy: float) -> ProbeBaseline:
    """A stored probe without noise, and healthy comparisons of this much."""
    others = [taken(f"start {n + 2}", prefill=x, decode=x, seed=n + 1) for n, x in enumerate(healthy)]
    return baseline_of([taken(), *others], {"reason": "test"})


def with_odd(one: Probe, value: float = math.nan, *, path: str = "prefill", column: str = "logprob") -> Probe:
    """The same, but the last position of its first prompt holds this instead of a log-probability."""
    first, *others = getattr(one, path)
    rows = unpack(first, where="test")
    getattr(rows, column)[-1] = value
    return one.model_copy(update={path: (pack(rows), *others)})
