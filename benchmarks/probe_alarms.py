"""How often the numerics probe alarms when nothing changed: simulated A/A probes through the real test.

    python -m benchmarks.probe_alarms --probes 1000

Each probe draws a model (a distribution at every position of two paths), a floor calibrated from nine
healthy reruns against one baseline, and one more healthy run; all eight tests look at it. Noise sits in the
logits and is anything but independent: it has a part that a prompt's tokens share and one that fades from
token to token; its size differs by run, for both paths alike, and by prompt. Beside it: the z-test over the
tokens of one path, which takes them for independent.
"""

from __future__ import annotations

import argparse
import time
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from gate.numerics.compare import Distances, tests_of
from gate.numerics.store import Healthy
from gate.stats.drift import Rows, divergence, shift

Floats = NDArray[np.float64]
ALPHA = 0.001
PATHS = 2


class World(NamedTuple):
    """The size of a probe and the noise of a healthy engine.

    `noise`: of a logit, in nats. `run_spread`, `prompt_spread`: sd of the logarithm of its size over runs
    and over prompts. `common`: share of its variance that a prompt's tokens have in common; `memory`:
    correlation of the rest from one token to the next. `ties`: how often a prompt is ten times as loud
    in a run, as where two experts are nearly tied. `harm`: how much louder than a healthy run the candidate
    is in the first `harmed` prompts of its second path, decode; 0 for a healthy one.
    """

    prompts: int = 32
    tokens: int = 12
    vocabulary: int = 40
    top: int = 20
    healthy: int = 9
    noise: float = 0.03
    run_spread: float = 0.1
    prompt_spread: float = 0.5
    common: float = 0.3
    memory: float = 0.7
    ties: float = 0.0
    harm: float = 0.0
    harmed: int = 1000


class Outcome(NamedTuple):
    """Of one simulated probe."""

    alarm: bool
    per_token_alarm: bool


def logits(world: World, rng: np.random.Generator) -> Floats:
    """(2 prompts, tokens, vocabulary), path by path: some positions nearly certain, some open."""
    shape = (PATHS * world.prompts, world.tokens)
    return rng.gamma(2.0, 1.5, (*shape, 1)) * rng.standard_normal((*shape, world.vocabulary))


def noisy(model: Floats, scale: Floats, world: World, rng: np.random.Generator) -> Rows:
    """What one run says of every position, prompt by prompt. `scale` (2 prompts,): each one's sensitivity."""
    fresh = rng.standard_normal(model.shape)
    fading = fresh.copy()
    for t in range(1, model.shape[1]):
        fading[:, t] = world.memory * fading[:, t - 1] + np.sqrt(1 - world.memory**2) * fresh[:, t]
    shared = rng.standard_normal((model.shape[0], 1, model.shape[2]))
    noise = np.sqrt(world.common) * shared + np.sqrt(1 - world.common) * fading
    size = world.noise * scale * np.exp(world.run_spread * rng.standard_normal())
    size = np.where(rng.random(size.shape) < world.ties, 10 * size, size)
    seen = model + size[:, None, None] * noise
    seen -= np.log(np.exp(seen).sum(axis=2, keepdims=True))
    seen = seen.reshape(-1, model.shape[2])
    order = np.argsort(-seen, axis=1)[:, : world.top]
    top = np.take_along_axis(seen, order, axis=1)
    return Rows(np.zeros(len(seen), np.int64), seen[:, 0], order, top)


def distances(run: Rows, baseline: Rows, world: World) -> Floats:
    """What `gate.numerics.compare.KINDS` are about, one number a prompt, (4, prompts)."""
    by_position = np.array([divergence(baseline, run), shift(baseline, run)])
    means: Floats = by_position.reshape(2, PATHS, world.prompts, world.tokens).mean(axis=3)
    return means.swapaxes(0, 1).reshape(2 * PATHS, world.prompts)


def probe(world: World, rng: np.random.Generator) -> Outcome:
    """Calibrate, measure once more, test: all of it healthy, unless the world is harmed."""
    model = logits(world, rng)
    scale = np.exp(world.prompt_spread * rng.standard_normal(PATHS * world.prompts))
    baseline, *healthy = (noisy(model, scale, world, rng) for _ in range(world.healthy + 1))
    known = [
        Healthy(name=f"rerun {number}", values=tuple(map(tuple, distances(run, baseline, world).tolist())))
        for number, run in enumerate(healthy)
    ]
    in_decode = np.arange(PATHS * world.prompts) - world.prompts
    harm = np.where((in_decode >= 0) & (in_decode < world.harmed), 1 + world.harm, 1)
    candidate = noisy(model, scale * harm, world, rng)
    values = distances(candidate, baseline, world)
    tests = tests_of(Distances(values, flips=0, positions=values.size, agreement=1.0, odd=0), known)
    alarm = len(tests) * min(test.p_value for test in tests) <= ALPHA
    return Outcome(alarm, _per_token(baseline, candidate, world))


def _per_token(baseline: Rows, candidate: Rows, world: World) -> bool:
    """Whether a z-test of prefill's signed differences, tokens taken for independent, alarms at 1 %."""
    signed = (candidate.logprob - baseline.logprob)[: world.prompts * world.tokens]
    return bool(abs(signed.mean()) > 2.576 * signed.std(ddof=1) / np.sqrt(signed.size))


def simulate(world: World, probes: int, seed: int) -> tuple[int, float]:
    """How many probes alarm; share of per-token z-tests at 1 % that do."""
    rng = np.random.default_rng(seed)
    outcomes = [probe(world, rng) for _ in range(probes)]
    return sum(o.alarm for o in outcomes), sum(o.per_token_alarm for o in outcomes) / probes


HEALTHY_WORLDS = {
    "as drawn": World(),
    "tokens nearly alike (common .8)": World(common=0.8, memory=0.95),
    "runs differ by a fifth (spread .2)": World(run_spread=0.2),
    "runs differ by half (spread .4)": World(run_spread=0.4),
    "runs differ by half, four healthy reruns": World(run_spread=0.4, healthy=4),
    "prompts differ tenfold (spread 1)": World(prompt_spread=1.0),
    "a prompt in 300 ten times as loud": World(ties=1 / 300),
    "8 prompts": World(prompts=8),
    "one healthy rerun only": World(healthy=1),
    "ten times the noise": World(noise=0.3),
    "a hundredth of the noise": World(noise=0.0003),
}
HARMED_WORLDS = {
    "3 times as noisy": World(harm=2.0),
    "3 times as noisy, runs alike (spread .03)": World(harm=2.0, run_spread=0.03),
    "5 times as noisy": World(harm=4.0),
    "8 of 32 prompts 10 times as noisy": World(harm=9.0, harmed=8),
    "8 of 32 prompts 30 times as noisy": World(harm=29.0, harmed=8),
    "2 of 32 prompts 30 times as noisy": World(harm=29.0, harmed=2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--only", nargs="+", default=[""], help="worlds whose name contains one of these")
    arguments = parser.parse_args()
    print("| world | probes | alarms at .1 % | 95 % interval | z-test over tokens at 1 % | seconds |")
    print("| --- | --- | --- | --- | --- | --- |")
    worlds = {**HEALTHY_WORLDS, **{f"harmed: {name}": world for name, world in HARMED_WORLDS.items()}}
    for name, world in worlds.items():
        if not any(part in name for part in arguments.only):
            continue
        began = time.monotonic()
        alarms, naive = simulate(world, arguments.probes, arguments.seed)
        took = time.monotonic() - began
        low, high = binomtest(alarms, arguments.probes).proportion_ci()
        interval = f"{low:.2%} to {high:.2%}"
        print(
            f"| {name} | {arguments.probes:,} | {alarms:,} | {interval} | {naive:.0%} | {took:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
