from __future__ import annotations

from random import Random

import numpy as np
import pytest
from scipy import stats

from gate.baseline.pool import homogeneity, pool
from gate.baseline.store import sha256
from gate.errors import BaselineError
from gate.model.baseline import Baseline
from gate.model.sample import Finish
from tests.support.measured import baseline, run_record


def pooled_by_hand(*seeds: int, repeats: int) -> list[str]:
    """Each question's outcomes over all runs, read from the records instead of the baseline."""
    rows = [row for seed in seeds for row in run_record(seed, repeats=repeats).outcomes]
    return ["".join(column) for column in zip(*rows, strict=True)]


def test_pooled_counts_are_those_of_all_samples_of_all_runs() -> None:
    reference = pool(baseline(3, repeats=4))
    columns = pooled_by_hand(0, 1, 2, repeats=4)
    assert reference.repeats == 12
    assert reference.correct.tolist() == [c.count("1") for c in columns]
    assert reference.invalid.tolist() == [c.count("x") for c in columns]
    assert reference.finish == {
        Finish.STOP: sum(len(c) - c.count("x") for c in columns),
        Finish.LENGTH: sum(c.count("x") for c in columns),
    }


def test_the_reference_names_the_bytes_it_was_made_from() -> None:
    stored = baseline(2)
    reference = pool(stored)
    assert reference.sha256 == sha256(stored)
    assert (reference.questions, reference.fingerprint) == (stored.questions, stored.fingerprint)


def test_pooled_tokens_weigh_each_run_by_its_repeats() -> None:
    one, other = baseline(1, repeats=6).runs[0], baseline(1, repeats=2).runs[0]
    stored = baseline(1).model_copy(
        update={
            "runs": (
                one.model_copy(update={"tokens": (100,) * 30}),
                other.model_copy(update={"tokens": (200,) * 30}),
            )
        }
    )
    assert pool(stored).tokens.tolist() == pytest.approx([125.0] * 30)


def test_the_provenance_of_a_pool_is_that_of_its_newest_run() -> None:
    stored = baseline(2)
    runs = [run.model_copy(update={"provenance": {"commit": run.id}}) for run in stored.runs]
    pooled = pool(stored.model_copy(update={"runs": tuple(runs)}))
    assert pooled.provenance == {"commit": stored.runs[-1].id}
    assert pooled.origins == {(run.stream, None) for run in stored.runs}


def test_one_run_is_homogeneous_with_itself() -> None:
    assert homogeneity(np.array([[3, 1]]), np.array([4])) == (0.0, 0, 1.0)


def test_homogeneity_on_numbers_worked_out_by_hand() -> None:
    # Two questions, two runs of 4: means 5/8 and 3/8 around 1/2. Pooled k = (6, 2) of 8, so
    # W = mean(6*2, 2*6) / (8*7) = 12/56 < 1/Q: H = (1/8)^2 * 2 / (0.5 / (2 * 4)) = 0.5.
    found = homogeneity(np.array([[4, 1], [2, 1]]), np.array([4, 4]))
    assert found.statistic == pytest.approx(0.5)
    assert found.degrees == 1
    assert found.p_value == pytest.approx(stats.chi2.sf(0.5, 1))


def test_homogeneity_uses_the_within_question_variance_where_it_is_above_its_floor() -> None:
    # Six questions at half: pooled k = 4 of 8, W = 16/56 > 1/6; means 14/24 and 10/24 around 1/2.
    found = homogeneity(np.array([[3, 3, 2, 2, 2, 2], [1, 1, 2, 2, 2, 2]]), np.array([4, 4]))
    assert found.statistic == pytest.approx(2 * (1 / 12) ** 2 / ((16 / 56) / (6 * 4)))


def test_runs_that_all_agree_are_homogeneous_even_without_any_variance() -> None:
    assert homogeneity(np.full((3, 5), 4), np.array([4, 4, 4])).p_value == 1.0


def test_equal_builds_are_called_different_about_one_time_in_a_hundred() -> None:
    draw = np.random.default_rng(20261123)
    chances = draw.beta(1.2, 0.9, size=198)
    repeats = np.array([8, 8, 16])
    refused = sum(
        not homogeneity(draw.binomial(repeats[:, None], chances), repeats).holds for _ in range(4000)
    )
    assert 20 <= refused <= 62  # 40 expected, and sqrt(4000 * .01 * .99) = 6.3


def test_a_run_ten_points_lower_is_noticed() -> None:
    draw = np.random.default_rng(20261123)
    chances = draw.beta(1.2, 0.9, size=198)
    correct = np.stack([draw.binomial(8, chances), draw.binomial(8, np.maximum(chances - 0.1, 0))])
    assert not homogeneity(correct, np.array([8, 8])).holds


def test_a_pool_of_different_things_is_refused_with_scores_and_p_value() -> None:
    good, bad = baseline(1, repeats=8), baseline(1, repeats=8, accuracy=0.3)
    mixed: Baseline = good.model_copy(update={"runs": (*good.runs, *bad.runs)})
    with pytest.raises(BaselineError) as caught:
        pool(mixed)
    said = str(caught.value)
    assert said.startswith("gfx950/gpt-oss-20b/aiter: its runs do not measure the same thing: p = ")
    for run in mixed.runs:
        assert f"{run.id} {sum(run.correct) / 240:.4f}" in said


def test_the_order_of_runs_does_not_matter() -> None:
    stored = baseline(3)
    runs = list(stored.runs)
    Random(3).shuffle(runs)  # noqa: S311
    one, other = pool(stored), pool(stored.model_copy(update={"runs": tuple(runs)}))
    assert one.correct.tolist() == other.correct.tolist()
    assert one.tokens.tolist() == pytest.approx(other.tokens.tolist())


@pytest.mark.parametrize(("apart", "holds"), [(2.5, True), (2.65, False)])
def test_runs_pool_above_one_percent_and_not_below(apart: float, holds: bool) -> None:
    """Two runs pool up to 2.58 standard errors of their difference."""
    total, repeats = 400, 100
    error = np.sqrt(0.25 / total * 2 / repeats)
    shift = round(apart * error * repeats * total / 2)
    up, down = (np.full(total, 50) for _ in range(2))
    up[:shift] += 1
    down[:shift] -= 1
    found = homogeneity(np.stack([up, down]), np.array([repeats, repeats]))
    assert found.statistic == pytest.approx(apart**2, rel=0.02)
    assert found.holds is holds
    assert 0.005 < found.p_value < 0.015
