"""A probe against its baseline: unchanged, changed, broken, or not comparable. Pure.

Eight tests share alpha: of the divergence and of the shift, in prefill and in decode, whether most prompts
moved and whether a few did. Method: docs/numerics.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np

from gate.errors import RecordError
from gate.model.probe import Numerics, Probe, SinglePrompts
from gate.numerics.codec import unpack
from gate.numerics.store import Healthy, ProbeBaseline
from gate.stats.drift import (
    KL_ALLOWANCE,
    KL_FLOOR,
    SHIFT_ALLOWANCE,
    SHIFT_FLOOR,
    Rows,
    agreement,
    divergence,
    drift,
    flips,
    floors,
    level,
    run_spread,
    shift,
)
from gate.stats.looks import Floats
from gate.stats.outliers import Outliers, outliers

BROKEN_NATS: Final = 0.5
"""A divergence of half a nat a token is no rounding: quantization costs hundredths."""

BROKEN_TIMES: Final = 100.0
"""... and it must be far past what is healthy here, too."""

FEWEST_HEALTHY: Final = 4
"""So many healthy comparisons make a floor that may fail a cell."""

WORST: Final = 3
OUT_OF_SIGHT: Final = 1e6
"""Times its noise: where a prompt must be further out than this, no engine's can be, and nothing is drawn."""


class Kind(NamedTuple):
    """What two tests are about."""

    path: Literal["prefill", "decode"]
    measure: Literal["kl", "shift"]
    least: float
    allowance: float


KINDS: Final = (
    Kind("prefill", "kl", KL_FLOOR, KL_ALLOWANCE),
    Kind("prefill", "shift", SHIFT_FLOOR, SHIFT_ALLOWANCE),
    Kind("decode", "kl", KL_FLOOR, KL_ALLOWANCE),
    Kind("decode", "shift", SHIFT_FLOOR, SHIFT_ALLOWANCE),
)


class Test(NamedTuple):
    """One of the eight: what kind it is about, and what it found; `few` what it did about single prompts."""

    kind: int
    times: float
    p_value: float
    outlying: Outliers | None = None

    @property
    def few(self) -> bool:
        """Whether it asks for a few prompts."""
        return self.outlying is not None


class Distances(NamedTuple):
    """How far two probes are apart.

    `values`: for each of `KINDS` one number a prompt, shape (4, n), in nats; NaN where a prompt says nothing.
    `flips` of `positions`, `agreement`: see `Numerics`. `odd`: how many positions hold something that is no
    number.
    """

    values: Floats
    flips: int
    positions: int
    agreement: float
    odd: int


def compare(probe: Probe, baseline: ProbeBaseline, *, alpha: float) -> Numerics:
    """What the probe of a cell says about it.

    Args:
        probe: of the engine under test.
        baseline: stored probe, with what healthy engines differ from it by.
        alpha: error of all tests together.

    Raises:
        RecordError: a probe contradicts itself.
    """
    differences = differing(probe, baseline.probe)
    if differences:
        named = "; ".join(
            f"{name}: {here} here, {there} there" for name, (here, there) in differences.items()
        )
        return Numerics(
            state="incomparable",
            differences=differences,
            seconds=probe.seconds,
            reason=f"not what the probe's baseline measured ({named})",
        )
    found = distances(probe, baseline.probe)
    tests = tests_of(found, baseline.healthy)
    telling = min(tests, key=lambda test: (test.p_value, test.few, -test.times))
    p_value = min(1.0, len(tests) * telling.p_value)
    reason = _broken(found, tests)
    state = "broken" if reason else "changed" if p_value <= alpha else "unchanged"
    times = telling.times if state != "unchanged" else largest(tests)
    return Numerics(
        state=state,
        calibrated=calibrated(baseline),
        times=times if math.isfinite(times) else None,
        p_value=p_value,
        path=KINDS[telling.kind].path,
        few=telling.few and state == "changed",
        single=_single(tests, alpha),
        shift=_mean(found.values[[1, 3]]),
        worst=_worst(found.values[telling.kind]) if state != "unchanged" else (),
        agreement=None if math.isnan(found.agreement) else found.agreement,
        flips=found.flips,
        positions=found.positions,
        seconds=probe.seconds,
        reason=reason,
    )


def calibrated(baseline: ProbeBaseline) -> bool:
    """Whether enough healthy comparisons stand behind the floor for a drift to fail a cell."""
    return len(baseline.healthy) >= FEWEST_HEALTHY


def differing(probe: Probe, other: Probe) -> dict[str, tuple[str, str]]:
    """Fields of the fingerprints that differ: name -> (probe's value, other's value)."""
    mine, theirs = (p.fingerprint.model_dump(mode="json") for p in (probe, other))
    return {key: (str(mine[key]), str(theirs[key])) for key in mine if mine[key] != theirs[key]}


def distances(probe: Probe, other: Probe) -> Distances:
    """How far two probes of the same prompts are apart.

    In decode both continue by themselves: positions count up to the first where they chose differently, that
    one included, for up to there both had read the same. The first token comes from the prefill and is left
    out.

    Raises:
        RecordError: they are not about the same prompts, or what is stored cannot be read.
    """
    prefill = [_pair(*texts, f"prefill {n}") for n, texts in enumerate(_zipped(probe.prefill, other.prefill))]
    decode = [_pair(*texts, f"decode {n}") for n, texts in enumerate(_zipped(probe.decode, other.decode))]
    if len(prefill) != len(decode):
        raise RecordError(
            f"{len(prefill)} prompts in prefill, {len(decode)} in decode",
            hint="probe again: both parts ask the same prompts",
        )
    together = [_same_context(*pair) for pair in decode]
    values = np.array(
        [
            [_mean(divergence(theirs, ours)) for ours, theirs in prefill],
            [_mean(_shift(ours, theirs)) for ours, theirs in prefill],
            [_mean(divergence(theirs, ours)) for ours, theirs in together],
            [_mean(_shift(*_agreed(ours, theirs))) for ours, theirs in together],
        ]
    )
    pairs = [*prefill, *together]
    return Distances(
        values,
        sum(flips(*pair) for pair in pairs),
        sum(len(ours.token) for ours, _ in pairs),
        _mean(np.array([agreement(*pair) for pair in pairs])),
        sum(_odd(ours) for ours, _ in (*prefill, *decode)),
    )


def tests_of(found: Distances, healthy: Sequence[Healthy]) -> tuple[Test, ...]:
    """Two tests of each kind, against what the healthy comparisons show: first whether most prompts moved."""
    seen = np.array([one.values for one in healthy], np.float64).reshape(len(healthy), *found.values.shape)
    reruns = np.array([one.kind == "rerun" for one in healthy], np.bool_)
    tests = []
    for number, (kind, values) in enumerate(zip(KINDS, found.values, strict=True)):
        known = seen[:, number]
        spread = run_spread(known[reruns], kind.least)
        most = drift(values, floors(known, kind.least), kind.allowance, spread)
        few = outliers(values, known, kind.least, kind.allowance)
        tests += [Test(number, most.times, most.p_value), Test(number, few.times, few.p_value, few)]
    return tuple(tests)


def largest(tests: Sequence[Test]) -> float:
    """The largest drift of most prompts, in units of its floor."""
    return max(test.times for test in tests if not test.few)


def _single(tests: Sequence[Test], alpha: float) -> SinglePrompts | None:
    """The prompts one by one, of the test of a few that says most; None where too little is known of any."""
    few = [
        (test, test.outlying, test.outlying.tail) for test in tests if test.outlying and test.outlying.tail
    ]
    if not few:
        return None
    telling, outlying, tail = min(few, key=lambda one: (one[0].p_value, -one[0].times))
    needed = tail.needed(alpha / len(tests), outlying.apart.size)
    if needed > OUT_OF_SIGHT:
        return None
    return SinglePrompts(
        path=KINDS[telling.kind].path,
        measure=KINDS[telling.kind].measure,
        apart=tuple(None if math.isnan(x) else round(float(x), 3) for x in outlying.apart),
        needed=round(needed, 3),
    )


def _broken(found: Distances, tests: Sequence[Test]) -> str:
    """Why the engine's numbers are beyond any doubt wrong; empty where they are not."""
    if found.odd:
        positions = "1 position holds" if found.odd == 1 else f"{found.odd} positions hold"
        return f"{positions} something that is not a number"
    for test in tests:
        kind, nats = KINDS[test.kind], level(found.values[test.kind])
        if test.few or kind.measure != "kl":
            continue
        if nats >= BROKEN_NATS and test.times >= BROKEN_TIMES:
            return f"a divergence of {nats:.2g} nat a token in {kind.path}, which no rounding explains"
    return ""


def _zipped(mine: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]]:
    if len(mine) != len(theirs):
        raise RecordError(
            f"a probe of {len(mine)} prompts against one of {len(theirs)}",
            hint="probe both again with one version of the gate",
        )
    return list(zip(mine, theirs, strict=True))


def _pair(mine: str, theirs: str, where: str) -> tuple[Rows, Rows]:
    ours, others = unpack(mine, where=where), unpack(theirs, where=where)
    if len(ours.token) != len(others.token) or not len(ours.token):
        raise RecordError(
            f"{len(ours.token)} positions against {len(others.token)}",
            where=where,
            hint="probe both again with one version of the gate",
        )
    return _known(ours), _known(others)


def _known(rows: Rows) -> Rows:
    """The same with NaN for what is no finite number, so that no distance is endless."""
    logprob, top = (np.where(np.isfinite(x), x, math.nan) for x in (rows.logprob, rows.top_logprobs))
    return rows._replace(logprob=logprob, top_logprobs=top)


def _same_context(ours: Rows, theirs: Rows) -> tuple[Rows, Rows]:
    """Positions of a continuation that both reached through the same tokens, without the first one."""
    apart = np.flatnonzero(ours.token != theirs.token)
    until = int(apart[0]) + 1 if apart.size else len(ours.token)
    return ours.between(1, until), theirs.between(1, until)


def _agreed(ours: Rows, theirs: Rows) -> tuple[Rows, Rows]:
    """Without a last position where each chose another token: those log-probabilities are not of one."""
    if len(ours.token) and ours.token[-1] != theirs.token[-1]:
        return ours.first(len(ours.token) - 1), theirs.first(len(theirs.token) - 1)
    return ours, theirs


def _shift(ours: Rows, theirs: Rows) -> Floats:
    if not np.array_equal(ours.token, theirs.token):
        raise RecordError(
            "two probes of one prompt hold different tokens",
            hint="probe both again with one version of the gate",
        )
    return shift(ours, theirs)


def _odd(rows: Rows) -> int:
    return int((np.isnan(rows.logprob) | np.isnan(rows.top_logprobs).any(axis=1)).sum())


def _mean(values: Floats) -> float:
    """The mean of what is known; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _worst(values: Floats) -> tuple[int, ...]:
    ranked = np.argsort(np.where(np.isnan(values), -1.0, -values), kind="stable")
    known = [int(n) for n in ranked if values[n] > 0]
    return tuple(known[:WORST])
