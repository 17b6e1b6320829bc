"""How much processor time the statistics take, against the targets of the sequential gate.

python -m benchmarks.statistics_speed
"""

import hashlib
import time
from collections.abc import Callable

import numpy as np

from gate.config import GateSettings
from gate.decide import decide_cell, next_step, plan_budget, plan_sequence
from gate.model.baseline import Reference
from gate.model.cell import Cell
from gate.model.evidence import Evidence
from gate.model.fingerprint import Fingerprint
from gate.model.record import RunRecord
from gate.stats.boundaries import boundaries, look_times
from gate.stats.looks import look_statistics
from gate.stats.scenarios import Scenario, chances
from gate.stats.sequential import Terms
from gate.stats.simulate import simulate

QUESTIONS, REPEATS = 198, 32


def best(act: Callable[[], object], times: int) -> float:
    seconds = []
    for _ in range(times):
        begun = time.process_time()
        act()
        seconds.append(time.process_time() - begun)
    return min(seconds)


def looks() -> None:
    times = look_times([1 / 3, 2 / 3, *range(1, 41)], baseline_repeats=REPEATS, max_repeats=40)
    took = best(lambda: boundaries.__wrapped__(times, 0.01), 5)
    print(f"boundaries of 42 looks: {1e3 * took:.1f} ms (<= 100)")
    for questions, limit in ((QUESTIONS, 0.2), (100_000, 20)):
        rng = np.random.default_rng(1)
        k, s = rng.binomial(REPEATS, 0.5, questions), rng.binomial(7, 0.5, questions)
        took = best(lambda k=k, s=s: look_statistics(k, REPEATS, s, 7, margin=0.03), 50)
        print(f"a look at {questions:,} questions: {1e3 * took:.3f} ms (<= {limit})")


def gates() -> None:
    terms = Terms(margin=0.03, tolerated_loss=0.0, alpha=0.01, alpha_pass=0.05, max_repeats=16)
    took = best(lambda: simulate(Scenario(), REPEATS, terms, replicates=5000), 1)
    print(f"whole gates at Q = {QUESTIONS}: {5000 / took:,.0f} a second (>= 2,000)")


def cells(count: int = 10_000, distinct: int = 200) -> None:
    rng = np.random.default_rng(1)
    reference = make_reference(rng)
    budget = plan_budget(reference, GateSettings(), family_size=1)
    records = [make_record(rng, reference, budget, str(i)) for i in range(distinct)]
    begun = time.process_time()
    for i in range(count):
        decide_cell(records[i % distinct], reference, settings=GateSettings(), family_size=1)
    print(f"{count:,} cells from records: {time.process_time() - begun:.1f} s (<= 10)")


def make_reference(rng: np.random.Generator) -> Reference:
    b, _ = chances(Scenario())
    ids = tuple(sorted(hashlib.sha256(b"%d" % i).hexdigest()[:12] for i in range(QUESTIONS)))
    fingerprint = Fingerprint(
        cell=Cell(arch="cpu", config="tiny", backend="default"),
        task="choices",
        protocol="independent",
        endpoint="chat",
        dataset_sha256="0" * 64,
        questions_sha256="0" * 64,
        prompt_sha256="0" * 64,
        grader="1",
        model="tiny",
        model_revision="1",
        temperature=1.0,
        top_p=1.0,
        top_k=0,
        max_tokens=64,
        max_model_len=None,
        reasoning_effort=None,
        conversation_date=None,
        launch_preset="plain",
    )
    return Reference(
        questions=ids,
        correct=rng.binomial(REPEATS, b),
        repeats=REPEATS,
        invalid=np.zeros(QUESTIONS, dtype=np.int64),
        tokens=rng.integers(20, 60, QUESTIONS).astype(float),
        finish={},
        sha256="0" * 64,
        fingerprint=fingerprint,
    )


def make_record(rng, reference, budget, seed) -> RunRecord:
    plan = plan_sequence(reference, budget, question_order_seed=seed)
    right = rng.random((budget.max_repeats, QUESTIONS)) < reference.correct / REPEATS
    asked = np.zeros_like(right)
    for block, columns in zip(plan.blocks, plan.columns, strict=True):
        asked[block.repeat, columns] = True
        table = np.where(asked, np.where(right, "1", "0"), ".")[: block.repeat + 1]
        rows = tuple("".join(row) for row in table)
        if next_step(plan, rows).stop:
            break
    return RunRecord(
        purpose="gate",
        cell=reference.fingerprint.cell,
        family_size=1,
        alpha=0.01,
        alpha_pass=0.05,
        margin=0.03,
        tolerated_loss=0.0,
        baseline_repeats=REPEATS,
        max_repeats=budget.max_repeats,
        baseline_sha256="0" * 64,
        question_order_seed=seed,
        stream="s",
        fingerprint=reference.fingerprint,
        provenance={},
        evidence=Evidence(),
        questions=reference.questions,
        look_at=plan.look_at,
        outcomes=rows,
        tokens=tuple((40,) * QUESTIONS for _ in rows),
        finish=tuple("s" * QUESTIONS for _ in rows),
        generated=plan.look_at[-1],
        seconds=1.0,
    )


if __name__ == "__main__":
    looks()
    gates()
    cells()
