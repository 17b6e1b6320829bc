"""A drill's exercises in their order, and the notebook that lets an interrupted drill go on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.embedded import faults
from gate.errors import RecordError, UsageError
from gate.model.result import Verdict
from gate.numerics.exercises import PLAIN_CACHE, SMALL_BATCHES, USUAL, Drill, Exercise, Notebook
from gate.numerics.selftest import ScoreTest
from tests.support import probes

PROBED, SCORED = Exercise("baseline", "base"), Exercise("swap_nibbles", "score", sabotage="swap_nibbles")
SCORE = ScoreTest(verdict=Verdict.REGRESSION, difference=-0.4, samples=67, seconds=9.1)


def notebook(path: Path, engine: str = "vLLM 1", **marks: object) -> Notebook:
    return Notebook(path, probes.fingerprint(**marks), engine)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The notebook of a drill that has done two exercises."""
    path = tmp_path / "drill.jsonl"
    first = notebook(path)
    first.add(PROBED, probes.probe())
    first.add(SCORED, score=SCORE)
    return path


def test_a_whole_drill_breaks_the_engine_in_every_way_for_both_detectors_and_ends_with_the_scores():
    every = Drill().exercises
    assert every[0].part == "base"
    for part in ("fault", "score"):
        tried = [one.sabotage for one in every if one.part == part and one.sabotage]
        assert tried == list(faults.FAULTS)
    parts = [one.part == "score" for one in every]
    assert parts == sorted(parts)
    assert len({one.key for one in every}) == len(every)


def test_each_server_is_started_once_for_the_probes():
    servers = [one.server for one in Drill(score_minutes=0).exercises]
    starts = [server for n, server in enumerate(servers) if n == 0 or server != servers[n - 1]]
    assert starts == [USUAL, SMALL_BATCHES, PLAIN_CACHE]


def test_every_healthy_variant_is_probed_twice_the_second_time_against_the_first():
    every = Drill().exercises
    variants = [one for one in every if one.part == "variant"]
    again = [one for one in every if one.part == "again"]
    assert [(v.name, v.server, v.sabotage) for v in variants] == [
        (a.name, a.server, a.sabotage) for a in again
    ]
    assert {v.sabotage for v in variants} == {*faults.HEALTHY, ""}
    assert all(every.index(v) < every.index(a) for v, a in zip(variants, again, strict=True))


def test_without_healthy_variants_and_scores_the_faults_of_choice_are_left():
    every = Drill(0, ("sinks_lost",), healthy=False).exercises
    assert [one.part for one in every] == ["base", "rerun", "fault", "rerun", "rerun"]
    assert "score healthy" not in [one.key for one in Drill(1, (), healthy=False).exercises]


def test_an_unknown_fault_is_refused():
    with pytest.raises(UsageError, match="no fault is named 'gremlins'"):
        _ = Drill(only=("gremlins",)).exercises


def test_what_is_done_is_not_done_again(path: Path):
    found = notebook(path)
    third = Exercise("concurrency 8", "rerun", concurrency=8)
    assert found.pending([PROBED, third, SCORED]) == (third,)
    assert found.done[PROBED.key].probe == probes.probe()
    assert found.done[SCORED.key].score == SCORE


@pytest.mark.parametrize("cut", [1, 30])
def test_an_exercise_that_was_torn_while_it_was_noted_is_done_again(path: Path, cut: int):
    path.write_text(path.read_text()[:-cut])
    found = notebook(path)
    assert found.pending([PROBED, SCORED]) == (SCORED,)
    found.add(SCORED, score=SCORE)
    assert notebook(path).pending([PROBED, SCORED]) == ()


def test_a_heading_that_was_torn_is_written_anew(tmp_path: Path):
    path = tmp_path / "drill.jsonl"
    path.write_text('{"fingerprint"')
    notebook(path).add(PROBED, probes.probe())
    assert notebook(path).pending([PROBED]) == ()


@pytest.mark.parametrize("other", [{"engine": "vLLM 2"}, {"instruction_set": "avx512f"}])
def test_another_engines_or_machines_drill_is_refused(path: Path, other: dict[str, str]):
    with pytest.raises(UsageError, match="this folder holds another drill"):
        notebook(path, **other)


def test_a_damaged_notebook_is_refused_by_its_name(path: Path):
    path.write_text(path.read_text().replace('"samples":67', '"samples":"many"'))
    with pytest.raises(RecordError, match=r"drill\.jsonl.*samples"):
        notebook(path)
