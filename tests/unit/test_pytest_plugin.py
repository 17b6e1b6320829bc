"""The pytest plugin's options are `gate run`'s."""

from __future__ import annotations

import importlib
import tomllib
from dataclasses import fields

import pytest

from gate.cli.options import Measuring
from gate.cli.requests import Judging, parsed_request
from gate.errors import UsageError
from gate.pytest_plugin import FLAGS, LISTS, VALUES
from tests.support.project import ROOT


def test_every_option_of_a_measurement_is_one_of_the_plugin():
    known = {field.name for group in (Measuring, Judging) for field in fields(group)}
    assert {*VALUES, *LISTS, *FLAGS} == known - {"quiet"}
    assert len({*VALUES, *LISTS, *FLAGS}) == len([*VALUES, *LISTS, *FLAGS])


def test_arguments_become_the_request_that_the_command_line_would_make():
    made = parsed_request(
        ["c.yaml", "--backend", "aiter", "--head-sha", "a" * 40, "--engine-env", "A=1", "--family-size", "3"]
    )
    assert (made.backends, made.heads.head_sha, made.engine.env, made.family_size) == (
        ("aiter",),
        "a" * 40,
        ("A=1",),
        3,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument"),
        (["c.yaml", "--no-such"], "No such option"),
        (["c.yaml", "--family-size", "0"], "family-size"),
    ],
)
def test_arguments_that_the_command_line_would_refuse_are_refused(arguments: list[str], said: str):
    with pytest.raises(UsageError, match=said):
        parsed_request(arguments)


def test_the_package_declares_the_plugin():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (module,) = project["entry-points"]["pytest11"].values()
    assert importlib.import_module(module).pytest_addoption
