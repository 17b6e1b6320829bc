"""A probe against its baseline: what changed, where, how sure; and what is beyond doubt."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gate.errors import RecordError
from gate.model.probe import ProbeFingerprint
from gate.model.result import Verdict
from gate.numerics.ask import packed
from gate.numerics.compare import compare, distances
from gate.numerics.compare import tests_of as answers_of
from gate.numerics.words import numerics_line, outcome_line
from gate.stats.drift import divergence, level
from tests.support import probes

HEALTHY = probes.baseline(0.02, 0.02, 0.02, 0.02)


def seen(stored=HEALTHY, alpha=0.001, **noise):
    return compare(probes.probe(**noise), stored, alpha=alpha)


def test_the_same_numbers_are_unchanged():
    found = seen()
    assert (found.state, found.times, found.flips, found.agreement) == ("unchanged", 0, 0, 1)
    assert numerics_line(found) == "numerics unchanged: 0.0 times the noise floor (p = 1)"


@pytest.mark.parametrize("seed", range(30, 40))
def test_as_much_noise_as_healthy_engines_have_is_unchanged(seed):
    found = seen(prefill=0.02, decode=0.02, seed=seed)
    assert found.state == "unchanged"
    assert 0.3 < found.times < 2


@pytest.mark.parametrize("path", ["prefill", "decode"])
def test_three_times_the_noise_in_one_path_alone_is_found_there(path):
    found = seen(**{path: 0.08, "seed": 77})
    assert (found.state, found.path, found.calibrated) == ("changed", path, True)
    assert found.times > 3
    assert found.p_value <= 0.001
    assert len(found.worst) == 3


def test_a_few_prompts_that_moved_far_are_found_where_most_did_not_move():
    stored = HEALTHY
    far, near = probes.said(prefill=1.5, seed=3), probes.said()
    mixed = near._replace(prefill=(*far.prefill[:3], *near.prefill[3:]))
    found = compare(packed(mixed, probes.fingerprint(), 1.0), stored, alpha=0.001)
    assert (found.state, found.few, found.path) == ("changed", True, "prefill")
    assert set(found.worst) == {0, 1, 2}
    assert numerics_line(found).startswith("numerics changed in a few prompts (prefill): ")
    assert (found.single.path, len(found.single.apart)) == ("prefill", probes.PROMPTS)
    assert {n for n, far in enumerate(found.single.apart) if far >= found.single.needed} == {0, 1, 2}


def test_one_prompt_that_moved_far_is_not_heard():
    far, near = probes.said(prefill=1.5, seed=3), probes.said()
    mixed = near._replace(prefill=(*far.prefill[:1], *near.prefill[1:]))
    found = compare(packed(mixed, probes.fingerprint(), 1.0), HEALTHY, alpha=0.001)
    assert found.state == "unchanged"
    assert [n for n, far in enumerate(found.single.apart) if far >= found.single.needed] == [0]


def test_only_reruns_show_how_much_runs_differ():
    loud = [one.model_copy(update={"kind": "variant"}) for one in probes.baseline(0.02, 0.3).healthy]
    reruns = HEALTHY.healthy
    found = distances(probes.probe(prefill=1.2, seed=77), probes.probe())
    with_variant = answers_of(found, (*reruns, loud[1]))
    as_reruns = answers_of(found, (*reruns, probes.baseline(0.02, 0.3).healthy[1]))
    assert with_variant[0].times == as_reruns[0].times
    assert with_variant[0].p_value < as_reruns[0].p_value


def test_eight_tests_share_alpha():
    probe = probes.probe(prefill=0.045, seed=8)
    tests = answers_of(distances(probe, HEALTHY.probe), HEALTHY.healthy)
    assert len(tests) == 8
    found = compare(probe, HEALTHY, alpha=0.001)
    assert found.p_value == pytest.approx(8 * min(test.p_value for test in tests))


def test_without_calibration_the_least_floor_counts_and_the_line_says_so():
    found = seen(probes.baseline(), prefill=0.2, seed=5)
    assert (found.state, found.calibrated) == ("changed", False)
    assert "the floor is not calibrated on this arch" in numerics_line(found)
    assert found.single is None


def test_one_healthy_run_of_a_few_prompts_shows_too_little_to_draw_a_line():
    assert seen(probes.baseline(0.02), prefill=0.02, seed=5).single is None


def test_a_stricter_alpha_needs_more():
    noise = {"prefill": 0.045, "seed": 8}
    strict, loose = seen(alpha=1e-9, **noise), seen(alpha=0.2, **noise)
    assert (strict.state, loose.state) == ("unchanged", "changed")


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("path", ["prefill", "decode"])
@pytest.mark.parametrize("column", ["logprob", "top_logprobs"])
def test_a_number_that_is_none_is_broken_whatever_the_rest_says(odd, path, column):
    found = compare(probes.with_odd(probes.probe(), odd, path=path, column=column), HEALTHY, alpha=0.001)
    assert (found.state, found.reason) == ("broken", "1 position holds something that is not a number")


def test_a_number_that_is_none_is_seen_behind_the_token_where_continuations_part_too():
    found = compare(probes.with_odd(probes.probe(flip=[0]), path="decode"), HEALTHY, alpha=0.001)
    assert (found.state, found.reason) == ("broken", "1 position holds something that is not a number")


@pytest.mark.parametrize("path", ["prefill", "decode"])
def test_far_past_anything_healthy_in_one_path_is_broken(path):
    found = seen(**{path: 5.0, "seed": 2})
    assert found.state == "broken"
    assert f"nat a token in {path}, which no rounding explains" in numerics_line(found)


def test_a_large_divergence_that_healthy_engines_have_too_is_not_broken():
    stored = probes.baseline(3.0, 3.0, 3.0, 3.0)
    assert seen(stored, prefill=3.0, decode=3.0, seed=9).state == "unchanged"


def test_so_large_a_divergence_is_changed_where_it_is_less_than_a_hundred_floors():
    stored = probes.baseline(0.3, 0.3, 0.3, 0.3)
    found = seen(stored, prefill=2.0, seed=9)
    assert level(distances(probes.probe(prefill=2.0, seed=9), stored.probe).values[0]) > 1.0
    assert (found.state, found.times > 30) == ("changed", True)
    assert seen(probes.baseline(0.1, 0.1, 0.1, 0.1), prefill=2.0, seed=9).state == "broken"


def test_another_fingerprint_is_not_compared():
    other = probes.probe(marks=probes.fingerprint(instruction_set="avx512f"))
    found = compare(other, HEALTHY, alpha=0.001)
    assert found.state == "incomparable"
    assert found.differences == {"instruction_set": ("avx512f", "avx2")}
    assert "instruction_set: avx512f here, avx2 there" in numerics_line(found)


@pytest.mark.parametrize("field", ProbeFingerprint.model_fields)
def test_no_field_of_the_fingerprint_may_differ(field):
    other = probes.CELL.model_copy(update={"backend": "other"}) if field == "cell" else "f" * 64
    found = compare(probes.probe(marks=probes.fingerprint(**{field: other})), HEALTHY, alpha=0.001)
    assert (found.state, list(found.differences)) == ("incomparable", [field])


def test_the_worst_prompts_are_those_that_moved_most_the_farthest_first():
    texts = probes.probe(prefill=0.08, seed=77)
    moved = distances(texts, HEALTHY.probe).values
    found = compare(texts, HEALTHY, alpha=0.001)
    of_kinds = [sorted(range(probes.PROMPTS), key=lambda n: -row[n])[:3] for row in moved[:2]]
    assert list(found.worst) in of_kinds


def test_a_continuation_counts_up_to_where_another_token_was_chosen():
    found = distances(probes.probe(flip=[0]), probes.probe())
    apart = probes.CONTINUED // 2
    whole = probes.PROMPTS * (probes.SCORED + probes.CONTINUED - 1)
    assert found.positions == whole - (probes.CONTINUED - 1 - apart)
    assert found.values[2:].max() < 1e-3


def test_a_prompt_that_parted_at_its_first_token_says_nothing_about_decode():
    texts = probes.probe()
    swapped = texts.model_copy(update={"decode": (texts.decode[1], *texts.decode[1:])})
    found = distances(swapped, texts)
    assert np.isnan(found.values[2]).sum() == 1


def test_it_is_the_baselines_divergence_from_the_candidate_that_counts():
    # Noise of another kind than the baseline's: the two directions differ.
    mine, theirs = probes.said(prefill=1.0, decode=1.0, seed=6), probes.said()
    found = distances(*(packed(one, probes.fingerprint(), 1.0) for one in (mine, theirs))).values
    prefill = [divergence(*pair).mean() for pair in zip(theirs.prefill, mine.prefill, strict=True)]
    assert found[0] == pytest.approx(prefill, rel=0.01)
    decode = []
    for ours, stored in zip(mine.decode, theirs.decode, strict=True):
        until = [*(ours.token == stored.token), False].index(False) + 1
        decode.append(divergence(stored, ours)[1:until].mean() if until > 1 else math.nan)
    assert found[2] == pytest.approx(decode, rel=0.01, nan_ok=True)


def test_different_numbers_of_prompts_are_refused():
    short = probes.probe()
    short = short.model_copy(update={"prefill": short.prefill[:-1]})
    with pytest.raises(RecordError, match="11 prompts against one of 12"):
        distances(short, probes.probe())
    with pytest.raises(RecordError, match="11 prompts in prefill, 12 in decode"):
        distances(short, short)


def test_other_tokens_under_the_same_prompt_are_refused():
    texts = probes.probe()
    swapped = texts.model_copy(
        update={"prefill": (texts.decode[0][: len(texts.prefill[0])], *texts.prefill[1:])}
    )
    with pytest.raises(RecordError, match="different tokens"):
        distances(swapped, texts)


def test_rows_of_another_length_are_refused():
    texts = probes.probe()
    longer = texts.model_copy(update={"prefill": (texts.decode[0], *texts.prefill[1:])})
    with pytest.raises(RecordError, match="prefill 0: 8 positions against 6"):
        distances(longer, texts)


def test_only_beside_a_pass_the_line_says_that_the_score_did_not_move():
    found = seen(prefill=0.08, seed=77)
    assert outcome_line(Verdict.PASS, found).startswith("score unchanged, numerics changed in prefill: ")
    assert outcome_line(Verdict.REGRESSION, found).startswith("numerics changed in prefill: ")
