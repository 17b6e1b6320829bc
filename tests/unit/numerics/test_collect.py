"""What a collection makes of its probes: the stored one, healthy comparisons, how exactly they repeat."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gate.numerics.codec import pack
from gate.numerics.collect import baseline_of, equal_positions, values_of
from gate.numerics.compare import distances
from tests.support import probes

POSITIONS = probes.PROMPTS * (probes.SCORED + probes.CONTINUED)


@pytest.mark.parametrize(
    ("column", "where"), [("token", 2), ("logprob", 2), ("top_ids", (2, -1)), ("top_logprobs", (2, -1))]
)
def test_a_position_repeats_itself_where_everything_that_is_shown_of_it_does(column, where):
    mine, theirs = (probes.said().prefill[0] for _ in range(2))
    assert equal_positions(mine, theirs) == probes.SCORED
    there = getattr(theirs, column)
    there[where] = there[where] + 1 if there.dtype == np.int64 else np.nextafter(there[where], 0)
    assert equal_positions(mine, theirs) == probes.SCORED - 1


def test_the_first_probe_is_stored_and_every_other_one_is_a_comparison_with_it():
    first, second = probes.taken(), probes.taken("start 2", prefill=0.1, seed=1)
    variant = probes.taken("backend b", decode=0.1, seed=2)._replace(kind="variant")
    stored = baseline_of([first, second, variant], {"reason": "test"})
    assert stored.probe == first.probe
    assert [(one.name, one.kind) for one in stored.healthy] == [
        ("start 2", "rerun"),
        ("backend b", "variant"),
    ]
    assert [one.values for one in stored.healthy] == [
        values_of(one.probe, first.probe) for one in (second, variant)
    ]


def test_how_exactly_an_engine_repeats_itself_is_counted_over_both_paths():
    first, prefill = probes.taken(), probes.taken("start 2", prefill=0.1, seed=1)
    decode = probes.taken("start 3", decode=0.1, seed=1)
    stored = baseline_of([first, prefill, decode], {"reason": "test"})
    equal = probes.PROMPTS * probes.CONTINUED, probes.PROMPTS * probes.SCORED
    assert [(one.equal, one.positions) for one in stored.healthy] == [(n, POSITIONS) for n in equal]
    assert stored.provenance == {
        "reason": "test",
        "determinism": f"start 2: {equal[0]} of {POSITIONS} positions bitwise equal; "
        f"start 3: {equal[1]} of {POSITIONS} positions bitwise equal",
    }


def test_distances_are_stored_with_four_digits():
    first, other = probes.taken(), probes.taken(prefill=0.1, decode=0.1, seed=1)
    there, values = distances(other.probe, first.probe).values, values_of(other.probe, first.probe)
    assert values == tuple(tuple(None if math.isnan(v) else float(f"{v:.4g}") for v in row) for row in there)


def test_a_prompt_of_which_nothing_is_known_has_no_distance():
    first = probes.taken()
    silent = first.probe.model_copy(update={"prefill": (_unknown(), *first.probe.prefill[1:])})
    assert [row[0] for row in values_of(silent, first.probe)] == [None, None, 0, 0]


def _unknown() -> str:
    rows = probes.said().prefill[0]
    return pack(
        rows._replace(
            logprob=np.full_like(rows.logprob, math.nan),
            top_logprobs=np.full_like(rows.top_logprobs, math.nan),
        )
    )
