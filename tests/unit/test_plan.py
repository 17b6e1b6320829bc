"""What is fixed before a server starts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gate.baseline.collect import add_run
from gate.baseline.store import baseline_path, save
from gate.cells import cells_of
from gate.errors import StatisticsError, UsageError
from gate.model.record import CONFIRMATION_REPEATS
from gate.plan import Heads, Origins, Plan, plan_collection, plan_confirmation, plan_gate
from gate.sequence import confirmation_stream
from tests.support.base_branch import BaseBranch
from tests.support.measured import fingerprint, run_record


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A cell of a small base branch, tested on the engine `candidate`."""
    branch = BaseBranch(tmp_path)
    spec = branch.specs[0]
    return Plan(
        purpose="gate",
        spec=spec,
        model="m",
        task=cast("Any", SimpleNamespace(questions=branch.questions)),
        fingerprint=fingerprint(branch.questions, cell=spec.cell),
        reference=None,
        max_repeats=5,
        budget=None,
        family_size=2,
        stream="s",
        replays=True,
        engine="candidate",
        provenance={},
    )


def test_a_confirmation_asks_another_engine_fresh_repeats(plan: Plan):
    base = plan_confirmation(plan, engine="base", provenance={"commit": "b"})
    assert (base.max_repeats, base.stream) == (CONFIRMATION_REPEATS, confirmation_stream("s"))
    assert (base.engine, base.provenance, base.replays) == ("base", {"commit": "b"}, False)


def test_the_build_under_test_does_not_confirm_itself(plan: Plan):
    """It shares every drop that it has: each regression would be taken back to `inconclusive`."""
    with pytest.raises(UsageError, match="is the build under test itself"):
        plan_confirmation(plan, engine="candidate", provenance={})


def test_the_questions_themselves_say_what_guessing_scores(tmp_path: Path):
    """Yes or no: a build that only guesses is .12 below .62, which a margin of .13 would call a pass."""
    rows = [{"q": f"is {i} even?", "options": ["yes", "no"], "answer": i % 2} for i in range(60)]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"question": "q", "correct": "answer", "choices": "options"}
    task = {"name": "choices", "dataset": str(tmp_path / "data.jsonl"), "columns": columns}
    config = {"model_name": "o/m", "task": task, "gate": {"margin": 0.13}}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    (spec,) = cells_of([tmp_path / "c.yaml"], arch="cpu")
    known = {"engine": "e", "provenance": {}}
    origins = Origins(tmp_path / "baselines", tmp_path / "cache")
    mark = plan_collection(spec, origins, repeats=8, **known).fingerprint
    questions = plan_collection(spec, origins, repeats=8, **known).task.questions
    record = run_record(
        1, total=60, repeats=8, accuracy=0.62, cell=spec.cell, questions=questions, fingerprint=mark
    )
    stored = add_run(None, record, accepted_by="octocat", reason="first", date="2026-11-24")
    save(baseline_path(origins.baselines, spec.cell), stored, replaces=None)
    with pytest.raises(StatisticsError, match="between guessing"):
        plan_gate(spec, origins, Heads(), family_size=1, accept_wider_margin=False, **known)
