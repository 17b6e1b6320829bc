"""Backends against each other: every pair once, with what it means."""

from __future__ import annotations

import pytest

from gate.errors import UsageError
from gate.numerics.matrix import compare_backends, comparison, markdown, table
from gate.plan import Origins
from gate.report.progress import SilentProgress
from gate.request import RunRequest
from tests.support import probes

TAKEN = [
    probes.taken("aiter"),
    probes.taken("triton", prefill=0.05, decode=0.05, seed=3),
    probes.taken("emulation", prefill=0.3, decode=0.3, seed=4),
]


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


def test_one_backend_is_no_comparison(tmp_path):
    request = RunRequest((), Origins(tmp_path, tmp_path), tmp_path, backends=("aiter",))
    with pytest.raises(UsageError, match="two backends are needed"):
        compare_backends(request, SilentProgress())
