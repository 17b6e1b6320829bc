"""Whatever a file holds, the loader returns a config or raises ConfigError: never anything else."""

import contextlib
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from gate.config import Config, load_config, parse_config
from gate.errors import ConfigError

TEXT = (Path(__file__).parents[1] / "data" / "configs" / "w4a8.yaml").read_text()
PIECES = st.sampled_from(["{", "}", "[", "]", ": ", "\n", "  ", "&a ", "*a", "!!int ", "'", '"', "- ", "~"])
KEYS = st.sampled_from([*Config.model_fields, "moe", "margin", "name", "dataset", "x"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | KEYS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | SCALARS, inner, max_size=3)
)


def config_or_error(text):
    try:
        return parse_config(text, "x.yaml").config
    except ConfigError as error:
        located = re.fullmatch(r"x\.yaml:(\d+)", error.where or "")
    assert located, "an error names file and line"
    return None


@given(st.text())
@example("9" * 5000)
@example("model_name: &a [*a]")
@example("a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nmodel_name: m\n")
@example("model_name: a\nenv: {A: !!float x}")
@example("model_name: a\nmax_tokens: 1:99999999999999999999\n")
@example("model_name: a\ngate: {margin: .nan}\n")
@example("model_name: a\nmax_tokens: 0b\n")
@example("model_name: 2026-02-30\n")
@example("!!set {model_name}")
@example("!!omap [a: b]")
@example("%YAML 9.9\n---\na: b")
@example("\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"))
def test_any_text_is_a_config_or_a_config_error(text):
    config_or_error(text)


@given(st.lists(PIECES | KEYS | st.text(max_size=5), max_size=30).map("".join))
def test_anything_that_looks_like_yaml_is_a_config_or_a_config_error(text):
    config_or_error(text)


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 12), PIECES | KEYS | st.text(max_size=5))
def test_a_damaged_config_is_a_config_or_a_config_error(start, removed, inserted):
    config_or_error(TEXT[:start] + inserted + TEXT[start + removed :])


@given(st.dictionaries(KEYS, VALUES))
def test_values_of_any_type_are_a_config_or_a_config_error(values):
    config = config_or_error(yaml.safe_dump({"model_name": "m", **values}, allow_unicode=True))
    if config is not None:
        config.resolved_task()
        config.resolved_sampling()


@given(st.binary(max_size=200))
def test_any_bytes_are_a_config_or_a_config_error(tmp_path_factory, data):
    file = tmp_path_factory.mktemp("fuzz") / "x.yaml"
    file.write_bytes(data)
    with contextlib.suppress(ConfigError):
        load_config(file)


def test_aliases_cannot_make_a_small_file_huge():
    levels = "\n".join(f"l{n + 1}: &l{n + 1} [{', '.join([f'*l{n}'] * 9)}]" for n in range(9))
    with pytest.raises(ConfigError, match="nested too deeply or refers to itself"):
        parse_config(f"l0: &l0 x\n{levels}\n", "x.yaml")
