"""How often the numerics probe alarms when nothing changed: simulated A/A probes through the real test.

    python -m benchmarks.probe_alarms --probes 10000

Each probe draws a model (a distribution at every position), a floor calibrated from a few healthy reruns
against one baseline, and one more healthy run. Noise sits in the logits and is anything but independent: it
has a part that a prompt's tokens share and one that fades from token to token; its size differs by run and by
prompt. Beside it: the z-test over tokens, which takes them for independent.
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gate.stats.drift import (
    KL_ALLOWANCE,
    KL_FLOOR,
    SHIFT_ALLOWANCE,
    SHIFT_FLOOR,
    Rows,
    divergence,
    drift,
    floors,
    shift,
)

Floats = NDArray[np.float64]
ALPHA = 0.001
TESTS = 4


class World(NamedTuple):
    """The size of a probe and the noise of a healthy engine.

    `noise`: of a logit, in nats. `run_spread`, `prompt_spread`: sd of the logarithm of its size over runs
    and over prompts. `common`: share of its variance that a prompt's tokens have in common; `memory`:
    correlation of the rest from one token to the next. `harm`: how much louder than a healthy run the
    candidate is; 0 for a healthy one.
    """

    prompts: int = 32
    tokens: int = 24
    vocabulary: int = 64
    top: int = 20
    healthy: int = 4
    noise: float = 0.03
    run_spread: float = 0.1
    prompt_spread: float = 0.5
    common: float = 0.3
    memory: float = 0.7
    harm: float = 0.0


class Outcome(NamedTuple):
    """Of one simulated probe."""

    alarm: bool
    per_token_alarm: bool


def logits(world: World, rng: np.random.Generator) -> Floats:
    """(prompts, tokens, vocabulary): some positions nearly certain, some open."""
    sharpness = rng.gamma(2.0, 1.5, (world.prompts, world.tokens, 1))
    return sharpness * rng.standard_normal((world.prompts, world.tokens, world.vocabulary))


def noisy(model: Floats, scale: Floats, world: World, rng: np.random.Generator) -> list[Rows]:
    """What one run says of every prompt. `scale` (prompts,): each prompt's own sensitivity."""
    fresh = rng.standard_normal(model.shape)
    fading = fresh.copy()
    for t in range(1, model.shape[1]):
        fading[:, t] = world.memory * fading[:, t - 1] + np.sqrt(1 - world.memory**2) * fresh[:, t]
    shared = rng.standard_normal((model.shape[0], 1, model.shape[2]))
    noise = np.sqrt(world.common) * shared + np.sqrt(1 - world.common) * fading
    size = world.noise * scale * np.exp(world.run_spread * rng.standard_normal())
    seen = model + size[:, None, None] * noise
    seen -= np.log(np.exp(seen).sum(axis=2, keepdims=True))
    order = np.argsort(-seen, axis=2)[:, :, : world.top]
    top = np.take_along_axis(seen, order, axis=2)
    token = np.zeros(model.shape[:2], np.int64)
    said = np.take_along_axis(seen, token[:, :, None], axis=2)[:, :, 0]
    return [Rows(t, s, o, lp) for t, s, o, lp in zip(token, said, order, top, strict=True)]


def distances(run: list[Rows], baseline: list[Rows]) -> tuple[Floats, Floats]:
    """Mean KL and mean |shift| of each prompt, twice (prompts,)."""
    pairs = list(zip(baseline, run, strict=True))
    return (
        np.array([divergence(b, r).mean() for b, r in pairs]),
        np.array([shift(b, r).mean() for b, r in pairs]),
    )


def probe(world: World, rng: np.random.Generator) -> Outcome:
    """Calibrate, measure once more, test: all of it healthy."""
    model = logits(world, rng)
    scale = np.exp(world.prompt_spread * rng.standard_normal(world.prompts))
    baseline, *healthy, candidate = (noisy(model, scale, world, rng) for _ in range(world.healthy + 2))
    calibrated = [distances(run, baseline) for run in healthy]
    drifted = candidate if not world.harm else noisy(model, scale * (1 + world.harm), world, rng)
    found = distances(drifted, baseline)
    tests = [
        drift(found[kind], floors([each[kind] for each in calibrated], least), allowance)
        for kind, (least, allowance) in enumerate(((KL_FLOOR, KL_ALLOWANCE), (SHIFT_FLOOR, SHIFT_ALLOWANCE)))
    ]
    alarm = min(test.p_value for test in tests) <= ALPHA / TESTS
    return Outcome(alarm, _per_token(baseline, candidate))


def _per_token(baseline: list[Rows], candidate: list[Rows]) -> bool:
    """Whether a z-test of the signed differences, tokens taken for independent, alarms at 1 %."""
    signed = np.concatenate([c.logprob - b.logprob for b, c in zip(baseline, candidate, strict=True)])
    return bool(abs(signed.mean()) > 2.576 * signed.std(ddof=1) / np.sqrt(signed.size))


def simulate(world: World, probes: int, seed: int) -> tuple[float, float]:
    """Share of probes that alarm; share of per-token z-tests at 1 % that do."""
    rng = np.random.default_rng(seed)
    outcomes = [probe(world, rng) for _ in range(probes)]
    return (
        sum(o.alarm for o in outcomes) / probes,
        sum(o.per_token_alarm for o in outcomes) / probes,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    worlds = {
        "as drawn": World(),
        "tokens nearly alike (common .8)": World(common=0.8, memory=0.95),
        "runs differ by a fifth (spread .2)": World(run_spread=0.2),
        "runs differ by half (spread .4)": World(run_spread=0.4),
        "prompts differ tenfold (spread 1)": World(prompt_spread=1.0),
        "8 prompts": World(prompts=8),
        "one healthy rerun only": World(healthy=1),
        "ten times the noise": World(noise=0.3),
        "harmed: candidate 3 times as noisy": World(harm=2.0),
    }
    print("| healthy world | probes | alarms at .1 % | z-test over tokens at 1 % | seconds |")
    print("| --- | --- | --- | --- | --- |")
    for name, world in worlds.items():
        began = time.monotonic()
        alarms, naive = simulate(world, arguments.probes, arguments.seed)
        took = time.monotonic() - began
        print(f"| {name} | {arguments.probes} | {alarms:.2%} | {naive:.1%} | {took:.0f} |", flush=True)


if __name__ == "__main__":
    main()
