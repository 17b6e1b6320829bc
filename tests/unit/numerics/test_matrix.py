"""Backends against each other: every pair once, with what it means."""

from __future__ import annotations

import math
import platform
from datetime import UTC, datetime

import pytest

from gate.errors import UsageError
from gate.numerics.ask import packed
from gate.numerics.collect import Taken
from gate.numerics.matrix import Comparison, compare_backends, markdown, table
from gate.numerics.matrix import comparison as comparison_at
from gate.plan import Origins
from gate.report.progress import SilentProgress
from gate.request import RunRequest
from tests.support import probes

TAKEN = [
    probes.taken("aiter"),
    probes.taken("triton", prefill=0.05, decode=0.05, seed=3),
    probes.taken("emulation", prefill=0.3, decode=0.3, seed=4),
]


def comparison(taken, healthy) -> Comparison:
    return comparison_at(taken, healthy, datetime(2026, 11, 24, 23, tzinfo=UTC), "vLLM 9")


def test_every_pair_is_there_once_and_the_farther_one_is_farther():
    found = comparison(TAKEN, {})
    assert [(p.first, p.second) for p in found.pairs] == [
        ("aiter", "triton"),
        ("aiter", "emulation"),
        ("triton", "emulation"),
    ]
    near, far, _ = found.pairs
    assert near.times < far.times
    assert near.divergence["prefill"] < far.divergence["prefill"]
    assert near.shift["decode"] < far.shift["decode"]
    assert near.equal == 0
    assert 0.9 < near.agreement <= 1


def test_the_same_numbers_twice_are_no_distance_apart():
    (pair,) = comparison([TAKEN[0], probes.taken("again")], {}).pairs
    assert (pair.times, pair.flips, pair.agreement) == (0, 0, 1)
    assert pair.equal == probes.PROMPTS * (probes.SCORED + probes.CONTINUED)


def test_two_prompts_that_moved_far_do_not_make_a_backend_far():
    far, near = probes.said(prefill=1.5, seed=3), probes.said()
    mixed = near._replace(prefill=(*far.prefill[:2], *near.prefill[2:]))
    other = Taken("triton", mixed, packed(mixed, probes.fingerprint(), 1.0))
    (pair,) = comparison([TAKEN[0], other], {}).pairs
    floors = max(pair.divergence["prefill"] / 1e-4, pair.shift["prefill"] / math.sqrt(2e-4))
    assert pair.times == pytest.approx(floors)


def test_a_stored_noise_floor_is_the_unit():
    noisy = {"aiter": probes.baseline(0.05, 0.05, 0.05).healthy}
    with_floor, without = comparison(TAKEN, noisy), comparison(TAKEN, {})
    assert with_floor.pairs[0].times == pytest.approx(1, abs=0.5)
    assert without.pairs[0].times > with_floor.pairs[0].times


def test_the_page_holds_a_matrix_and_the_figures():
    found = comparison(TAKEN, {})
    text = markdown(found)
    assert "| | aiter | triton | emulation |" in text
    assert text.count("\n| aiter |") == 1
    assert len(table(found)) == 4
    assert "| aiter / triton |" in text
    assert "`gate compare aiter triton emulation` on 2026-11-24, " in text
    assert f"{platform.machine()}, avx2, vLLM 9, prompts test. " in text


def test_every_row_of_the_page_has_as_many_cells_as_its_heading():
    rows = [line for line in markdown(comparison(TAKEN, {})).splitlines() if line.startswith("|")]
    assert [row.count("|") - 1 for row in rows] == [4] * 5 + [8] * 5


def test_the_page_names_the_backends_whose_noise_nobody_measured():
    floor = probes.baseline(0.05).healthy
    known = comparison(TAKEN, {"aiter": floor})
    assert [pair.stored for pair in known.pairs] == [True, True, False]
    said = "No noise floor is stored for triton: 0.0001 nat (KL) and 0.014 nat (shift) count as one."
    assert said in markdown(known)
    assert "No noise floor" not in markdown(comparison(TAKEN, {"aiter": floor, "triton": floor}))


def test_one_backend_is_no_comparison(tmp_path):
    request = RunRequest((), Origins(tmp_path, tmp_path), tmp_path, backends=("aiter",))
    with pytest.raises(UsageError, match="two backends are needed"):
        compare_backends(request, SilentProgress())
