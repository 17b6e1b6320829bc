"""What is fixed before a server starts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gate.errors import UsageError
from gate.model import CONFIRMATION_REPEATS
from gate.plan import Plan, plan_confirmation
from gate.sequence import confirmation_stream
from tests.support.base_branch import BaseBranch
from tests.support.measured import fingerprint


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
