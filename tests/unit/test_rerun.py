"""Which record of an earlier run stands for a rerun: its own sequence's, with its samples, and what ran."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import pytest

from gate import records
from gate.baseline.pool import reference_of
from gate.check import judge
from gate.errors import RecordError
from gate.evals.parts import open_journal
from gate.model.evidence import Evidence
from gate.model.record import Failure, RunRecord
from gate.model.sample import Finish, Outcome, Sample
from gate.numerics.plan import ProbePlan
from gate.objects import objects_at
from gate.outputs import Outputs
from gate.plan import Plan
from gate.rerun import standing
from tests.support import probes
from tests.support.base_branch import BaseBranch

Change = Callable[["Earlier"], "Earlier"]


class Earlier(NamedTuple):
    """What a run of a commit left, and the plan of the rerun."""

    plan: Plan
    record: RunRecord | None
    samples: tuple[Sample, ...]
    outputs: Outputs
    family: int

    def stands(self) -> RunRecord | None:
        """What the rerun takes of it, once it is written."""
        spec = self.plan.spec
        self.outputs.prepare()
        if self.record is not None:
            path = records.record_path(self.outputs.records, spec.cell)
            records.write(path, self.record)
            self.outputs.share(path)
        with open_journal(self.outputs.journal(spec.cell, self.plan.stream), self.plan.sequence_key) as left:
            for sample in self.samples:
                left.append(sample)
        return self.taken()

    def taken(self) -> RunRecord | None:
        """What the rerun takes of what lies there."""
        spec = self.plan.spec
        decide = partial(judge, spec, reference=self.plan.reference, family_size=self.family)
        return standing(self.plan, self.outputs, decide)

    def changed(self, **changes: Any) -> Earlier:
        """With another record."""
        assert self.record is not None
        return self._replace(record=self.record.model_copy(update=changes))

    def planned(self, **changes: Any) -> Earlier:
        """With another plan of the rerun."""
        return self._replace(plan=replace(self.plan, **changes))


def earlier(folder: Path, shift: float = 0.0) -> Earlier:
    """A run that keeps to its plan; with this shift of every answer."""
    branch = BaseBranch(folder)
    spec = branch.specs[0]
    record = branch.record(spec, shift=shift)
    plan = Plan(
        purpose="gate",
        spec=spec,
        model="m",
        task=cast("Any", SimpleNamespace(questions=branch.questions)),
        fingerprint=record.fingerprint,
        reference=reference_of(branch.baselines, spec.cell),
        max_repeats=record.max_repeats,
        budget=None,
        family_size=record.family_size,
        stream=record.stream,
        replays=True,
        engine="candidate",
        provenance={},
    )
    samples = tuple(
        Sample(question, repeat, Outcome(outcome), tokens, Finish(finish))
        for repeat, rows in enumerate(zip(record.outcomes, record.tokens, record.finish, strict=True))
        for question, outcome, tokens, finish in zip(record.questions, *rows, strict=True)
        if outcome != "."
    )
    record = record.model_copy(update={"sequence": plan.sequence})
    return Earlier(plan, record, samples, Outputs(folder / "out"), record.family_size)


@pytest.fixture
def left(tmp_path: Path) -> Earlier:
    """By a run that passed."""
    return earlier(tmp_path)


@pytest.mark.parametrize("shift", [0.0, -0.4])
def test_what_was_decided_stands(tmp_path: Path, shift: float):
    left = earlier(tmp_path, shift)
    assert left.stands() == left.record


def test_it_stands_for_another_machine_through_the_store(left: Earlier, tmp_path: Path):
    store = objects_at(f"file://{tmp_path / 'store'}")
    here = left._replace(outputs=Outputs(tmp_path / "here", store))
    assert here.stands() == left.record
    there = Earlier(left.plan, None, (), Outputs(tmp_path / "there", store), left.family)
    assert there.stands() == left.record


def of_other_samples(left: Earlier) -> Earlier:
    first, *rest = left.samples
    other = Outcome.WRONG if first.outcome is Outcome.CORRECT else Outcome.CORRECT
    return left._replace(samples=(first._replace(outcome=other), *rest))


def otherwise_ended(left: Earlier) -> Earlier:
    first, *rest = left.samples
    return left._replace(samples=(first._replace(finish=Finish.REPETITION), *rest))


SPOILT: dict[str, Change] = {
    "no commit": lambda left: left.planned(replays=False),
    "no record": lambda left: left._replace(record=None),
    "a sample less in the journal": lambda left: left._replace(samples=left.samples[:-1]),
    "another answer in the journal": of_other_samples,
    "another length in the journal": lambda left: left._replace(
        samples=(left.samples[0]._replace(tokens=901), *left.samples[1:])
    ),
    "another end in the journal": otherwise_ended,
    "another commit": lambda left: left.changed(stream="0" * 32, question_order_seed="0" * 32),
    "no sequence": lambda left: left.changed(sequence=None),
    "another engine": lambda left: left.planned(engine="other"),
    "another model": lambda left: left.planned(model="other"),
    "other variables": lambda left: left.planned(spec=replace(left.plan.spec, env={"A": "1"})),
    "no proof of what ran": lambda left: left.changed(evidence=Evidence(source="log")),
    "another kernel": lambda left: left.changed(evidence=Evidence(facts={"moe": "TRITON"}, source="log")),
    "a failure": lambda left: left.changed(failure=Failure(kind="cancelled", message="x")),
    "another family": lambda left: left._replace(family=left.family + 1),
    "a run for a baseline": lambda left: left.changed(purpose="baseline"),
    "no probe": lambda left: left.planned(probe=probed()),
    "a probe of another machine": lambda left: left.planned(probe=probed()).changed(
        probe=probes.probe(marks=probes.fingerprint(instruction_set="avx512"))
    ),
    "a broken probe": lambda left: left.planned(probe=probed()).changed(probe=probes.probe(prefill=8.0)),
}


def probed() -> ProbePlan:
    """A cell that is probed before it is asked."""
    stored = probes.baseline(0.01, 0.01, 0.01, 0.01)
    return ProbePlan(cast("Any", None), probes.fingerprint(), 0.01, stored)


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_what_does_not_belong_to_it_is_measured(left: Earlier, spoil: Change):
    assert spoil(left).stands() is None


def test_a_probe_that_is_healthy_stands(left: Earlier):
    found = left.planned(probe=probed()).changed(probe=probes.probe())
    assert found.stands() == found.record


def test_another_version_of_the_gate_measures_anew(left: Earlier, monkeypatch: pytest.MonkeyPatch):
    assert left.stands() is not None
    monkeypatch.setattr("gate.plan.gate_version", lambda: "0.0.0")
    assert left._replace(samples=()).stands() is None


def test_a_journal_that_was_removed_or_is_another_engines_begins_the_cell_anew(left: Earlier):
    assert left.stands() == left.record
    assert left.planned(engine="other").taken() is None
    left.outputs.journal(left.plan.spec.cell, left.plan.stream).unlink()
    assert left.taken() is None


def test_a_record_that_cannot_be_read_is_named(left: Earlier):
    assert left.stands() is not None
    records.record_path(left.outputs.records, left.plan.spec.cell).write_text("{")
    with pytest.raises(RecordError, match="ends in the middle") as refused:
        left._replace(record=None, samples=()).stands()
    assert refused.value.hint == "remove it: the samples in the journal are asked no second time"
