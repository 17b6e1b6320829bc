"""The drill's bench: what is served differs from the config in what an exercise says, and in nothing else."""

from __future__ import annotations

from gate.numerics.bench import without_options

ARGUMENTS = ("--dtype", "bfloat16", "--kv-cache-dtype", "fp8", "--max-num-seqs", "64", "--enforce-eager")


def test_an_option_is_left_out_with_its_value_wherever_it_stands():
    assert without_options(ARGUMENTS, "--kv-cache-dtype") == [*ARGUMENTS[:2], *ARGUMENTS[4:]]
    assert without_options(ARGUMENTS, "--dtype", "--max-num-seqs") == [*ARGUMENTS[2:4], "--enforce-eager"]


def test_where_it_is_not_there_nothing_is_left_out():
    assert without_options(ARGUMENTS, "", "--seed") == list(ARGUMENTS)
