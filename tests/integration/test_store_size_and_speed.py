"""Limits of issue 6, measured by benchmarks/store_speed.py; here with room for a busy machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.store_speed import measure, stored
from gate.baseline.store import SIZE_LIMIT, parse, render
from gate.model.cell import Cell

CELL = Cell(arch="gfx950", config="gpt-oss-20b-rocm-mxfp4-fp8", backend="aiter")
BUSY = 5


@pytest.mark.parametrize(("total", "limit"), [(198, 20_000), (14_042, 900_000)])
def test_four_runs_of_32_repeats_stay_small(total: int, limit: int) -> None:
    text = render(stored(CELL, total=total)).encode()
    assert len(text) <= limit
    assert len(parse(text, where="x.json").questions) == total


@pytest.mark.parametrize(("total", "limit"), [(198, 20_000), (14_042, 900_000)])
def test_so_do_runs_of_very_long_answers(total: int, limit: int) -> None:
    assert len(render(stored(CELL, total=total, length=60_000))) <= limit


def test_years_of_runs_still_load() -> None:
    assert len(render(stored(CELL, total=14_042, runs=100))) < SIZE_LIMIT


def test_a_hundred_baselines_load_and_verify_in_a_fraction_of_a_second(tmp_path: Path) -> None:
    timing = measure(tmp_path, 100)
    assert timing.verify <= 0.2 * BUSY
