"""A run of a fixed size: one look, with the whole error."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from gate.errors import RecordError
from gate.stats.fixed import look_once, plan_fixed
from gate.stats.sequential import SequencePlan, Terms, follow, plan_sequence

Q, N_B, REPEATS = 40, 16, 8
QUESTIONS = tuple(sorted(hashlib.sha256(b"%d" % i).hexdigest()[:12] for i in range(Q)))
TERMS = Terms(margin=0.1, tolerated_loss=0.0, alpha=0.01, alpha_pass=0.05, max_repeats=REPEATS)
CHANCES = np.linspace(0.2, 0.95, Q)


def drawn(random: np.random.Generator, repeats: int, chances: np.ndarray = CHANCES) -> np.ndarray:
    return random.random((repeats, Q)) < chances


def rows(right: np.ndarray) -> tuple[str, ...]:
    return tuple("".join("1" if one else "0" for one in row) for row in right)


def plan(correct: np.ndarray) -> SequencePlan:
    return plan_fixed(QUESTIONS, correct, N_B, TERMS)


def test_the_whole_error_is_spent_on_the_one_look():
    made = plan(drawn(np.random.default_rng(1), N_B).sum(axis=0))
    assert made.upper_regression == pytest.approx([norm.isf(0.01)])
    assert made.upper_pass == pytest.approx([norm.isf(0.05)])
    assert made.look_at == (Q * REPEATS,)


def test_its_statistics_are_those_of_the_last_look_of_a_sequence():
    random = np.random.default_rng(2)
    correct, outcomes = drawn(random, N_B).sum(axis=0), rows(drawn(random, REPEATS))
    once = look_once(plan(correct), outcomes).looks[-1]
    patient = TERMS._replace(alpha=1e-9, alpha_pass=1e-9)
    looks = follow(plan_sequence(QUESTIONS, correct, N_B, patient, question_order_seed="s"), outcomes).looks
    assert len(looks) == REPEATS + 2
    assert [float(x) for x in once] == pytest.approx([float(x) for x in looks[-1]])


@given(st.permutations(range(REPEATS)))
def test_the_order_of_the_repeats_says_nothing(order: list[int]):
    random = np.random.default_rng(3)
    correct, outcomes = drawn(random, N_B).sum(axis=0), rows(drawn(random, REPEATS))
    shuffled = tuple(outcomes[i] for i in order)
    assert look_once(plan(correct), shuffled) == look_once(plan(correct), outcomes)


def test_one_run_in_a_hundred_of_an_equal_engine_fails_and_a_drop_of_the_margin_passes_one_in_twenty():
    random, runs = np.random.default_rng(4), 3000
    failed = passed = 0
    for _ in range(runs):
        made = plan(drawn(random, N_B).sum(axis=0))
        failed += look_once(made, rows(drawn(random, REPEATS))).dropped
        passed += look_once(made, rows(drawn(random, REPEATS, CHANCES - TERMS.margin))).held
    # Four standard errors above the levels, and not so few that the test never could fail.
    assert 0.003 < failed / runs < 0.01 + 4 * math.sqrt(0.01 * 0.99 / runs)
    assert 0.02 < passed / runs < 0.05 + 4 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda o: o[:-1], "7 repeats, but 8 were declared"),
        (lambda o: (*o, o[0]), "9 repeats, but 8 were declared"),
        (lambda o: ("." + o[0][1:], *o[1:]), "a sample is missing"),
        (lambda o: (o[0][1:], *o[1:]), "a sample is missing"),
    ],
)
def test_a_run_of_another_size_decides_nothing(change, said: str):
    random = np.random.default_rng(5)
    correct, outcomes = drawn(random, N_B).sum(axis=0), rows(drawn(random, REPEATS))
    with pytest.raises(RecordError, match=said):
        look_once(plan(correct), change(outcomes))
