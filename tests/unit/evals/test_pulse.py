"""What counts as a sign of life."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.evals.pulse import Activity, read_activity

REAL = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
# TYPE vllm:prompt_tokens_total counter
vllm:prompt_tokens_total{engine="0",model_name="m"} 120.0
vllm:prompt_tokens_total{engine="1",model_name="m"} 1.5e+06
vllm:prompt_tokens_created{engine="0",model_name="m"} 1.7639e+09
vllm:generation_tokens_total{engine="0",model_name="m"} 30.0
"""


def test_counters_are_summed_over_the_ranks():
    assert read_activity(REAL) == Activity(1_500_150.0, 5.0, 1.0)


@pytest.mark.parametrize(
    "text", ["", "{}", "vllm:num_requests_running 3.0\n", "vllm:generation_tokens_total NaN\n", "<html>"]
)
def test_a_text_that_counts_no_tokens_says_nothing(text: str):
    assert read_activity(text) is None


def test_one_counter_is_enough():
    assert read_activity("vllm:generation_tokens_total 7.0\n") == Activity(7.0, 0.0, 0.0)


@given(st.text() | st.text(alphabet='vllm:generation_tokens_total{}="0 1e\n'))
def test_any_text_is_read_without_an_error(text: str):
    found = read_activity(text)
    assert found is None or not math.isnan(found.tokens)
