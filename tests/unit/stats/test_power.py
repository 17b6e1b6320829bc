"""The plan before the purchase."""

import pytest

from gate.errors import StatisticsError
from gate.stats.planning import Design
from gate.stats.power import boundary_table, power_table
from gate.stats.scenarios import Scenario
from gate.stats.sequential import Terms
from gate.stats.simulate import false_alarms_at

GPQA = Design(questions=198, within=0.124, baseline_repeats=32)


def test_the_example_of_the_specification_needs_21_repeats():
    table = power_table(GPQA, 0.58, 0.03, replicates=150, drops=(0.0, 0.03, 0.1))
    assert (table.max_repeats, table.samples) == (21, 21 * 198)
    assert table.detectable_drop == pytest.approx(0.02534, abs=1e-4)
    calm, three, ten = table.rows
    assert calm.passed > 0.9
    assert three.regression > 0.8
    assert ten.samples < calm.samples < 21 * 198
    assert three.old_rule < 0.2 < ten.old_rule
    assert table.false_alarms[0.5] <= table.false_alarms[0.99]


def test_a_cap_is_the_budget_where_it_is_lower():
    assert power_table(GPQA, 0.58, 0.03, max_repeats=10, replicates=5, drops=()).max_repeats == 10


@pytest.mark.parametrize(
    ("repeats", "margin", "words"),
    [(8, 0.03, "collect 19 or more baseline repeats, or"), (8, 0.01, "no baseline is large enough")],
)
def test_a_margin_that_cannot_be_proven_says_what_would_do(repeats, margin, words):
    with pytest.raises(StatisticsError) as caught:
        power_table(GPQA._replace(baseline_repeats=repeats), 0.58, margin)
    assert words in str(caught.value)


def test_boundaries_are_tabulated_for_any_looks():
    table = boundary_table(
        [1 / 3, 2 / 3, *range(1, 17)], baseline_repeats=32, max_repeats=16, alpha=0.01, alpha_pass=0.05
    )
    assert round(table.regression[0], 3) == 3.878
    assert round(table.passed[-1], 3) == 1.973
    assert table.times[-1] == pytest.approx(1)
    assert len(table.looks) == 18


def test_an_unlucky_baseline_alarms_more_often():
    terms = Terms(margin=0.05, tolerated_loss=0.0, alpha=0.01, alpha_pass=0.05, max_repeats=8)
    rates = [
        false_alarms_at(Scenario(), 8, terms, quantile=q, replicates=800, seed=1) for q in (0.01, 0.5, 0.99)
    ]
    assert rates[0] <= rates[1] < rates[2]
