"""A regression against fresh repeats of the base build: kept, or taken back to inconclusive, never better."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.stats import chi2

from gate.decide import decide_cell, next_step
from gate.decide.confirm import Confirmed
from gate.model.evidence import Evidence, EvidenceCheck
from gate.model.record import CONFIRMATION_REPEATS, Confirmation, Failure
from gate.model.result import Verdict
from gate.sequence import candidate_stream, confirmation_stream


@pytest.fixture
def decide(world):
    def run(record, **changes):
        return decide_cell(record, world.reference, settings=world.settings, family_size=1, **changes)

    return run


@pytest.fixture
def dropped(world):
    """A record that ends with a drop of about 8 points, as the pipeline makes it."""
    for blocks in range(1, len(world.plan.blocks) + 1):
        rows = world.rows(blocks, -0.08)
        if next_step(world.plan, rows).stop:
            break
    return world.record(rows)


def fresh(world, shift=0.0, *, seed=5, **changes):
    """Repeats of the base build, each question right as often as in the baseline + shift."""
    draws = np.random.default_rng(seed).random((CONFIRMATION_REPEATS, len(world.questions)))
    right = draws < np.clip(world.correct / world.repeats + shift, 0, 1)
    values = {
        "stream": "fresh",
        "outcomes": tuple("".join("1" if hit else "0" for hit in row) for row in right),
        "evidence": Evidence(),
        "provenance": {},
        "seconds": 60.0,
    }
    return Confirmation(**(values | changes))


def confirmed(record, confirmation):
    return record.model_copy(update={"confirmation": confirmation})


def test_a_drop_that_the_base_build_does_not_share_stays_a_regression(world, decide, dropped):
    before, after = decide(dropped), decide(confirmed(dropped, fresh(world)))
    assert (before.verdict, after.verdict) == (Verdict.REGRESSION, Verdict.REGRESSION)
    assert (after.reason, after.next_step) == (before.reason, before.next_step)
    assert after.notes[0].startswith("still a drop against 16 fresh repeats of the base build")
    assert after.notes[1:] == before.notes


def test_a_drop_that_the_base_build_shares_on_this_machine_is_inconclusive(world, decide, dropped):
    result = decide(confirmed(dropped, fresh(world, -0.08)))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "the base build itself does not confirm it" in result.reason
    assert result.notes[0].startswith("no longer a proven drop against 16 fresh repeats")
    assert (result.samples_used, result.p_value) == (decide(dropped).samples_used, decide(dropped).p_value)


def test_the_line_says_what_the_formulas_of_statistics_md_say(world, decide, dropped):
    """D, V_F and H worked out here from their definitions, with n_i + 16 in place of n_i."""
    confirmation = fresh(world, -0.03)
    added = np.array([[c == "1" for c in row] for row in confirmation.outcomes]).sum(axis=0)
    k, n = world.correct + added, world.repeats + CONFIRMATION_REPEATS
    s = np.array([[c == "1" for c in row] for row in dropped.outcomes]).sum(axis=0)
    m, q = len(dropped.outcomes), len(world.questions)
    d = (s / m - k / n).mean()
    total, right = n + m, k + s
    variance = (right * (total - right) / (total * (total - 1)) * (1 / n + 1 / m)).sum() / q**2
    boundary = world.plan.upper_regression[len(world.plan.blocks[: m + 2]) - 1]
    within = max((k * (n - k) / (n * (n - 1))).mean(), 1 / q)
    means = np.array([world.correct.mean() / world.repeats, added.mean() / CONFIRMATION_REPEATS])
    weights = np.array([world.repeats, CONFIRMATION_REPEATS])
    h = float((weights * (means - k.mean() / n) ** 2).sum() * q / within)
    p = chi2.sf(h, 1)
    (line, *_) = decide(confirmed(dropped, confirmation)).notes
    assert (
        f"with them {100 * d:+.1f} points, {-d / variance**0.5:.2f} against a boundary of {boundary:.2f}"
        in line
    )
    assert f"they score {means[1]:.1%} (stored {means[0]:.1%}, homogeneity p = {p:.2g})" in line


@pytest.mark.parametrize("shift", [-1.0, -0.3, 0.0, 1.0])
@pytest.mark.parametrize("candidate", [0.0, 0.1, -0.03])
def test_a_confirmation_changes_nothing_but_a_regression(world, decide, shift, candidate):
    for blocks in range(1, len(world.plan.blocks) + 1):
        rows = world.rows(blocks, candidate)
        if next_step(world.plan, rows).stop:
            break
    record = world.record(rows)
    before = decide(record)
    after = decide(confirmed(record, fresh(world, shift)))
    assert before.verdict is not Verdict.REGRESSION
    assert after.model_copy(update={"seconds": 0, "gpu_minutes": 0}) == before.model_copy(
        update={"seconds": 0, "gpu_minutes": 0}
    )


@pytest.mark.parametrize("shift", [-1.0, -0.5, -0.1, 0.0, 0.1, 1.0])
def test_no_confirmation_makes_a_regression_better_than_inconclusive(world, decide, dropped, shift):
    assert decide(confirmed(dropped, fresh(world, shift))).verdict in (
        Verdict.REGRESSION,
        Verdict.INCONCLUSIVE,
    )


def test_a_base_build_that_could_not_be_measured_takes_nothing_back(world, decide, dropped):
    failed = fresh(world, outcomes=(), failure=Failure(kind="engine", message="it exited with status 1"))
    result = decide(confirmed(dropped, failed))
    assert result.verdict is Verdict.REGRESSION
    assert "not confirmed by the base build (it exited with status 1)" in result.notes[0]


def test_a_base_build_that_ran_something_else_takes_nothing_back(world, decide, dropped):
    wrong = EvidenceCheck(fact="moe", expected="AITER", found="EMULATION", ok=False)
    result = decide(confirmed(dropped, fresh(world, -0.08)), base_checks=[wrong])
    assert result.verdict is Verdict.REGRESSION
    assert "moe: expected AITER, it reported EMULATION" in result.notes[0]


def test_the_candidates_own_samples_are_no_fresh_repeats(world, decide, dropped):
    result = decide(confirmed(dropped, fresh(world, -0.08, stream=dropped.stream)))
    assert result.verdict is Verdict.NOT_MEASURED
    assert "not fresh" in result.reason


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"outcomes": ()}, id="none at all"),
        pytest.param({"outcomes": ("1",) * 15}, id="too few"),
        pytest.param({"outcomes": ("1",) * 17}, id="too many"),
        pytest.param({"outcomes": (".",) * 16}, id="not asked"),
        pytest.param({"failure": Failure(kind="engine", message="x")}, id="failed and complete"),
    ],
)
def test_a_confirmation_of_another_size_than_declared_is_no_record(world, changes):
    with pytest.raises(ValidationError):
        fresh(world, **changes)


def test_repeats_of_other_questions_are_no_record(world, dropped):
    values = dropped.model_dump(by_alias=True)
    values["confirmation"] = fresh(world, outcomes=("1",) * 16).model_dump()
    with pytest.raises(ValidationError, match="a repeat has 1 entries"):
        type(dropped).model_validate(values)


def test_the_time_of_a_confirmation_is_paid_for_and_counted(world, decide, dropped):
    before, after = decide(dropped), decide(confirmed(dropped, fresh(world)))
    assert (after.seconds - before.seconds, after.gpu_minutes - before.gpu_minutes) == (60, 2)


def test_a_rerun_of_a_commit_asks_for_the_same_confirmation_and_no_run_shares_it():
    streams = [candidate_stream("a" * 40, "b" * 40, cell) for cell in ("x", "y")]
    fresh_ones = {confirmation_stream(stream) for stream in streams}
    assert len(fresh_ones) == 2
    assert not fresh_ones & set(streams)
    assert fresh_ones == {confirmation_stream(stream) for stream in streams}


def test_a_drop_that_still_just_reaches_its_boundary_holds():
    found = Confirmed(16, 0.6, 0.6, 1.0, -0.1, z=3.0, boundary=3.0)
    assert found.holds
    assert not found._replace(z=2.999).holds
