"""A small cell whose records can be made to order."""

import hashlib

import numpy as np
import pytest

from gate.config import GateSettings
from gate.decide import plan_budget, plan_sequence
from gate.model.baseline import Reference
from gate.model.cell import Cell
from gate.model.evidence import Evidence
from gate.model.fingerprint import Fingerprint
from gate.model.record import RunRecord

CELL = Cell(arch="cpu", config="tiny", backend="default")
SETTINGS = GateSettings(margin=0.05)


class World:
    """A baseline of 60 questions, 32 repeats, accuracy about .6, and the plan that follows from it."""

    cell = CELL

    def __init__(self, settings=SETTINGS, repeats=32, reference=None, **budget):
        self.settings = settings
        self.repeats = repeats
        self.questions = tuple(sorted(hashlib.sha256(b"%d" % i).hexdigest()[:12] for i in range(60)))
        self.correct = np.array([32, 0, 31, 3, 16, 29, 20, 30, 8, 32] * 6, dtype=np.int64) * repeats // 32
        self.fingerprint = Fingerprint(
            cell=CELL,
            task="choices",
            protocol="independent",
            endpoint="chat",
            dataset_sha256="0" * 64,
            questions_sha256="1" * 64,
            prompt_sha256="2" * 64,
            grader="1",
            model="tiny",
            model_revision="r1",
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            max_tokens=64,
            max_model_len=None,
            reasoning_effort=None,
            conversation_date=None,
            launch_preset="plain",
        )
        self.reference = reference or self.reference_of(self.correct, repeats)
        self.budget = plan_budget(self.reference, settings, **({"family_size": 1} | budget))
        self.plan = plan_sequence(self.reference, self.budget, question_order_seed="seed")

    def reference_of(self, correct, repeats=32, **changes):
        values = {
            "questions": self.questions[: len(correct)],
            "correct": np.asarray(correct, dtype=np.int64),
            "repeats": repeats,
            "invalid": np.zeros(len(correct), dtype=np.int64),
            "tokens": np.full(len(correct), 20.0),
            "finish": {},
            "sha256": "3" * 64,
            "fingerprint": self.fingerprint,
        }
        return Reference(**(values | changes))

    def rows(self, blocks, shift=0.0, seed=1):
        """Outcomes of the first `blocks` blocks, each question right as often as in the baseline + shift."""
        draws = np.random.default_rng(seed).random((self.budget.max_repeats, len(self.questions)))
        right = draws < np.clip(self.correct / self.repeats + shift, 0, 1)
        asked = np.zeros_like(right)
        for block, columns in list(zip(self.plan.blocks, self.plan.columns, strict=True))[:blocks]:
            asked[block.repeat, columns] = True
        used = int(asked.any(axis=1).sum())
        table = np.where(asked, np.where(right, "1", "0"), ".")[:used]
        return tuple("".join(row) for row in table)

    def record(self, outcomes, **changes):
        values = {
            "purpose": "gate",
            "cell": CELL,
            "family_size": self.budget.family_size,
            "alpha": self.budget.alpha,
            "alpha_pass": self.budget.alpha_pass,
            "margin": self.budget.margin,
            "tolerated_loss": self.budget.tolerated_loss,
            "baseline_repeats": self.repeats,
            "max_repeats": self.budget.max_repeats,
            "baseline_sha256": "3" * 64,
            "anchor": self.reference.anchor.runs if self.reference.anchor else (),
            "question_order_seed": "seed",
            "stream": "s",
            "fingerprint": self.fingerprint,
            "provenance": {},
            "evidence": Evidence(facts={"moe": "TRITON"}, source="log"),
            "questions": self.questions,
            "look_at": self.plan.look_at,
            "outcomes": tuple(outcomes),
            "tokens": tuple((20,) * len(row) for row in outcomes),
            "finish": tuple("".join("." if c == "." else "s" for c in row) for row in outcomes),
            "generated": 100,
            "seconds": 120.0,
            "gpus": 2,
        }
        return RunRecord(**(values | changes))


@pytest.fixture(scope="session")
def world():
    return World()


@pytest.fixture(scope="session")
def world_of():
    return World
