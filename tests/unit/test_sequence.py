"""Blocks, seeds and ids are what a rerun replays, so they may never change unnoticed."""

from hypothesis import given
from hypothesis import strategies as st

from gate.sequence import blocks, option_permutation, question_id, sample_seed


def test_question_id_ignores_unicode_composition_and_surrounding_space():
    assert question_id("Na\u00efve? ", "1") == question_id(" Nai\u0308ve?", "1\n") == "a8ab4d19da39"


def test_seed_and_permutation_are_fixed_by_stream_question_and_repeat():
    assert sample_seed("s", "q", 0) == 127044343
    assert option_permutation("s", "q", 0, 4) == (2, 0, 1, 3)


@given(st.integers(1, 400), st.integers(1, 5))
def test_every_block_plan_asks_each_question_once_a_repeat(total, repeats):
    ids = [f"{i:012x}" for i in range(total)]
    plan = blocks(ids, "seed", repeats)
    asked = [(b.repeat, q) for b in plan for q in b.questions]
    assert sorted(asked) == sorted((r, q) for r in range(repeats) for q in ids)
    assert [b.samples_after for b in plan][-1] == total * repeats
    assert all(b.questions for b in plan)


def test_first_pass_is_cut_at_rounded_thirds():
    plan = blocks([f"{i:012x}" for i in range(200)], "seed", 2)
    assert [b.samples_after for b in plan] == [67, 133, 200, 400]


@given(st.text(), st.text(), st.integers(0, 50))
def test_seeds_fit_in_31_bits(stream, question, repeat):
    assert 0 <= sample_seed(stream, question, repeat) < 2**31
