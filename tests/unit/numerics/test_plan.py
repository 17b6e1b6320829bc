"""Which probe a cell gets, and when there is no sense in going on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gate.cells import cells_of
from gate.errors import ConfigError, UsageError
from gate.numerics import store
from gate.numerics.cpu import instruction_set
from gate.numerics.plan import first_probe, plan_probe
from gate.settings import ProbeSettings
from tests.support import probes


@pytest.fixture
def spec(tmp_path: Path):
    config = tmp_path / "configs/tiny.yaml"
    config.parent.mkdir()
    config.write_text("model_name: tiny/tiny\n")
    (one,) = cells_of([config], arch="cpu")
    return one


def declared(spec, **settings):
    return replace(spec, gate=spec.gate.model_copy(update={"probe": ProbeSettings(**settings)}))


def save(tmp_path, *healthy):
    store.save(store.probe_path(tmp_path, probes.CELL), probes.baseline(*healthy))


def test_a_cell_without_a_stored_probe_is_not_probed(spec, tmp_path):
    assert plan_probe(spec, tmp_path, "r1") is None


def test_a_cell_with_one_is_probed_with_the_configs_prompts(spec, tmp_path):
    save(tmp_path)
    plan = plan_probe(declared(spec, prompts="tiny-gpt-oss", alpha=0.01), tmp_path, "r1")
    assert plan is not None
    assert (plan.prompts.name, plan.alpha) == ("tiny-gpt-oss", 0.01)
    assert plan.fingerprint.model_revision == "r1"
    assert plan.fingerprint.prompts_sha256 == plan.prompts.sha256


@pytest.mark.parametrize(("healthy", "said"), [(None, "no probe"), (3, "only 3 healthy comparisons")])
def test_fail_is_refused_where_nothing_was_calibrated(spec, tmp_path, healthy, said):
    if healthy:
        save(tmp_path, *[0.02] * healthy)
    with pytest.raises(UsageError, match=f"{said} in .*default.probe.json"):
        plan_probe(declared(spec, on_drift="fail"), tmp_path, "r1")


def test_fail_is_allowed_from_four_healthy_comparisons_on(spec, tmp_path):
    save(tmp_path, *[0.02] * 4)
    assert plan_probe(declared(spec, on_drift="fail"), tmp_path, "r1") is not None


def test_unknown_prompts_are_an_error_of_the_config(spec):
    with pytest.raises(ConfigError, match="no probe prompts 'nothing'"):
        first_probe(declared(spec, prompts="nothing"), "r1")


def test_only_broken_numbers_stop_a_cell(spec):
    plan = replace(first_probe(spec, "r1", probes.baseline(0.02)), fingerprint=probes.fingerprint())
    assert plan.stop(probes.probe()) is None
    assert plan.stop(probes.probe(prefill=0.2, seed=1)) is None
    stopped = plan.stop(probes.with_odd(probes.probe()))
    assert stopped is not None
    assert stopped.kind == "numerics"
    assert "not a number" in stopped.message
    assert replace(plan, baseline=None).stop(probes.with_odd(probes.probe())) is None


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("flags\t\t: fpu avx2 avx512f amx_bf16 xsave\n", "avx2+avx512f+amx_bf16"),
        ("Features\t: fp asimd sve bf16\n", "asimd+bf16+sve"),
        ("flags\t\t: fpu\n", "baseline"),
    ],
)
def test_the_instruction_set_is_what_multiplies(tmp_path, text, word):
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\n{text}")
    assert instruction_set("cpu", path) == word


def test_a_gpu_has_its_arch_and_an_unreadable_machine_says_so(tmp_path):
    assert instruction_set("gfx950", tmp_path) == "gpu"
    assert instruction_set("cpu", tmp_path / "none") == "unknown"
