"""The probe's file: what is written comes back, what is not ours is refused by name."""

from __future__ import annotations

import json

import pytest

from gate.errors import BaselineError
from gate.model.probe import Probe
from gate.numerics import store
from gate.numerics.codec import TOP, pack
from gate.numerics.collect import equal_positions, healthy_of
from gate.numerics.prompts import SHIPPED, load_prompts
from gate.stats.drift import Rows
from tests.support import probes


def stored(tmp_path, text=None):
    path = store.probe_path(tmp_path, probes.CELL)
    path.parent.mkdir(parents=True)
    path.write_text(store.render(probes.baseline(0.02)) if text is None else text)
    return path


def test_what_is_saved_comes_back(tmp_path):
    mine = probes.baseline(0.02, 0.5)
    store.save(store.probe_path(tmp_path, probes.CELL), mine)
    assert store.load(tmp_path, probes.CELL) == mine


def test_it_lies_beside_the_baseline_and_is_none(tmp_path):
    assert store.probe_path(tmp_path, probes.CELL) == tmp_path / "cpu/tiny/default.probe.json"
    assert store.load(tmp_path, probes.CELL) is None


@pytest.mark.parametrize("name", SHIPPED)
def test_a_probe_of_the_shipped_prompts_with_eight_healthy_runs_takes_at_most_200_kb(name):
    prompts = load_prompts(name)
    row = probes.said(seed=1).prefill[0].first(1)

    def rows(number: int) -> str:
        part = [values.repeat(number, axis=0) for values in row]
        return pack(Rows(*part))

    probe = Probe(
        fingerprint=probes.fingerprint(),
        prefill=tuple(rows(min(prompts.scored, len(p.ids) - 1)) for p in prompts.prompts),
        decode=tuple(rows(prompts.continuation) for _ in prompts.prompts),
        seconds=1.0,
    )
    values = tuple((1.2345e-05,) * len(prompts.prompts) for _ in range(4))
    healthy = (store.Healthy(name="start 1, concurrency 32", values=values, equal=1, positions=2),) * 8
    text = store.render(store.ProbeBaseline(probe=probe, healthy=healthy, provenance={"x": "y" * 2000}))
    assert len(text) <= 200_000


def test_a_diff_shows_single_prompts():
    text = store.render(probes.baseline(0.02))
    assert max(map(len, text.splitlines())) < 2 * len(probes.probe().decode[0]) + 800
    assert json.loads(text)["schema"] == store.SCHEMA


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema": "x"}, "is not a probe: its schema is not vllm-eval-gate/probe/1"),
        ({"healthy": [{"name": "n", "values": [[1], [1], [1]], "equal": 0, "positions": 0}]}, "four rows"),
        (
            {"healthy": [{"name": "n", "values": [[-1]] * 4, "equal": 0, "positions": 0}]},
            "negative or endless",
        ),
        (
            {"healthy": [{"name": "n", "values": [[1]] * 4, "equal": 0, "positions": 0}]},
            "the same 12 prompts",
        ),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_what_is_not_as_the_gate_writes_it_is_named(tmp_path, change, said):
    value = json.loads(store.render(probes.baseline(0.02))) | change
    stored(tmp_path, json.dumps(value))
    with pytest.raises(BaselineError, match=said) as refused:
        store.load(tmp_path, probes.CELL)
    assert "gate baseline probe" in str(refused.value)


def test_a_list_is_no_probe(tmp_path):
    stored(tmp_path, "[]")
    with pytest.raises(BaselineError, match="is not a probe"):
        store.load(tmp_path, probes.CELL)


def test_another_cells_probe_is_refused(tmp_path):
    path = stored(tmp_path)
    path.rename(path.with_name("other.probe.json"))
    with pytest.raises(BaselineError, match="is the probe of cpu/tiny/default"):
        store.load(tmp_path, probes.CELL.model_copy(update={"backend": "other"}))


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "cpu").write_text("a file")
    with pytest.raises(BaselineError, match="cannot be written"):
        store.save(store.probe_path(tmp_path, probes.CELL), probes.baseline())


def test_an_engine_that_repeats_itself_is_seen_bit_for_bit():
    same = healthy_of(probes.taken(), probes.taken("start 2"))
    assert same.equal == same.positions == probes.PROMPTS * (probes.SCORED + probes.CONTINUED)
    nearly = healthy_of(probes.taken(), probes.taken("start 2", prefill=1e-9, seed=4))
    assert nearly.equal == probes.PROMPTS * probes.CONTINUED
    assert max(map(max, nearly.values)) < 1e-6


def test_one_other_digit_is_another_number():
    rows = probes.said().prefill[0]
    other = rows._replace(top_logprobs=rows.top_logprobs.copy())
    other.top_logprobs[0, TOP - 1] += 1e-12
    assert equal_positions(rows, other) == probes.SCORED - 1
