"""Server arguments are split and merged as vLLM's own parser reads them, and never reach a shell."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.server_args import Option, ServerArgsError, argv, gpu_count, max_model_len, merge, parse


def names(text):
    return [option.name for option in parse(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("--a", [("--a", None)]),
        ("--a 1", [("--a", "1")]),
        ("--a=1", [("--a", "1")]),
        ("--a -1 --b -0.5", [("--a", "-1"), ("--b", "-0.5")]),
        ("--a x y", [("--a", "x y")]),
        ("-tp 2 -pp=3", [("--tensor-parallel-size", "2"), ("--pipeline-parallel-size", "3")]),
        ("--kv_cache_dtype fp8", [("--kv-cache-dtype", "fp8")]),
        ("--c.a_b=1 --c.d 2", [("--c.a_b", "1"), ("--c.d", "2")]),
        ('--c \'{"a": "b c"}\'', [("--c", '{"a": "b c"}')]),
        ("--no-x", [("--x", None)]),
        ("-O3", [("--optimization-level", "3")]),
        ("-O 3", [("--optimization-level", "3")]),
        ("--a=", [("--a", "")]),
    ],
)
def test_options_are_read_with_their_values(text, expected):
    assert [(option.name, option.value) for option in parse(text)] == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--a 'x", "no closing quotation"),
        ("--a x\\", "no escaped character"),
        ("x --a", "'x' stands before the first option"),
        ("--a 1 --a 2", "'--a 1' and '--a 2'"),
        ("-tp 1 --tensor_parallel_size=2", "'-tp 1' and '--tensor_parallel_size=2'"),
        ("--no-enable-x --enable-x", "'--no-enable-x' and '--enable-x'"),
        ("--port 80", "--port belongs to the gate"),
        ("--served_model_name x", "--served_model_name belongs to the gate"),
        ("--a \0", "NUL"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(text, message):
    with pytest.raises(ServerArgsError, match=message.replace("'", ".")):
        parse(text)


def test_middleware_may_stand_twice():
    assert names("--middleware a --middleware b") == ["--middleware", "--middleware"]


def test_the_backend_replaces_an_option_however_it_is_spelt():
    merged = merge(parse("-tp 2 --enable-x --seed 1"), parse("--no-enable-x --tensor-parallel-size=8"))
    assert argv(merged) == ("--seed", "1", "--no-enable-x", "--tensor-parallel-size=8")


@pytest.mark.parametrize(
    ("text", "gpus"),
    [
        ("", 1),
        ("--tensor-parallel-size 4", 4),
        ("-tp=4 -pp 2", 8),
        ("-tp 2 -pp 2 --data_parallel_size=3", 12),
        ("-pcp 4 -dcp 4", 4),
        ("-dp 8 --data-parallel-size-local 8 --enable-expert-parallel", 8),
    ],
)
def test_gpus_are_the_product_of_the_parallel_sizes(text, gpus):
    assert gpu_count(parse(text)) == gpus


@pytest.mark.parametrize("value", ["0", "-1", "two", "", "1.5", "٣x"])
def test_a_parallel_size_that_is_no_positive_number_is_refused(value):
    with pytest.raises(ServerArgsError, match="is not a positive whole number"):
        gpu_count(parse(f"-tp={shlex.quote(value)}"))


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("", None),
        ("--max-model-len auto", None),
        ("--max-model-len -1", None),
        ("--max_model_len 512", 512),
        ("--max-model-len=16k", 16_000),
        ("--max-model-len 128K", 131_072),
        ("--max-model-len 25.6k", 25_600),
    ],
)
def test_the_model_length_is_read_in_vllms_units(text, length):
    assert max_model_len(parse(text)) == length


@pytest.mark.parametrize("value", ["long", "1.5", "1.5K", "5x"])
def test_a_length_that_vllm_would_not_read_is_refused(value):
    with pytest.raises(ServerArgsError, match="is not a length"):
        max_model_len(parse(f"--max-model-len {value}"))


NAMES = st.sampled_from(["--a", "--bb-c", "--bb_d", "--no-e", "-tp", "--f.g", "-q"])
VALUES = st.lists(st.text(min_size=1).filter(lambda t: not t.startswith("-") and "\0" not in t), max_size=2)
OPTIONS = st.dictionaries(NAMES, VALUES, max_size=6)


def line(options):
    return shlex.join([token for name, values in options.items() for token in (name, *values)])


@given(OPTIONS)
def test_splitting_and_joining_again_changes_no_token(options):
    text = line(options)
    assert list(argv(parse(text))) == shlex.split(text)


@given(OPTIONS, OPTIONS)
def test_merging_keeps_all_the_backends_tokens_and_no_option_twice(base, backend):
    first, second = parse(line(base)), parse(line(backend))
    merged = merge(first, second)
    assert merged[len(merged) - len(second) :] == second
    assert len({option.name for option in merged}) == len(merged)
    assert {option.name for option in merged} == {option.name for option in (*first, *second)}


@given(OPTIONS)
def test_merging_an_empty_backend_or_the_same_twice_changes_nothing(options):
    parsed = parse(line(options))
    assert merge(parsed, ()) == parsed
    assert merge(parsed, parsed) == parsed


@given(st.text())
def test_any_text_is_options_or_a_server_args_error(text):
    try:
        options = parse(text)
    except ServerArgsError:
        return
    assert all(isinstance(option, Option) for option in options)
    assert list(argv(options)) == shlex.split(text)
