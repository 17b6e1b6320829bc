"""Groups of options as the commands take them."""

from __future__ import annotations

from dataclasses import fields

import typer
from typer.testing import CliRunner

from gate.baseline.collect import Terms
from gate.baseline.source import Policy
from gate.cli.options import Accepting, Measuring, grouped
from gate.collect import Collection


def test_every_option_of_a_group_reaches_what_the_code_takes() -> None:
    given = Accepting(
        accepted_by="octocat",
        runs=2,
        new_epoch=True,
        new_fingerprint=False,
        keep=3,
        max_age=90,
        allow_dirty=True,
        default_branch="trunk",
        accepted_head="a" * 40,
    )
    assert given.collection(8, "why") == Collection(
        repeats=8,
        runs=2,
        accepted_by="octocat",
        reason="why",
        terms=Terms(new_epoch=True, new_fingerprint=False, keep=3, max_age=90),
        policy=Policy(default_branch="trunk", accepted_head="a" * 40, allow_dirty=True),
    )


def test_a_command_has_an_option_for_each_field_of_its_groups() -> None:
    seen: list[tuple[str, Measuring, Accepting]] = []
    app = typer.Typer()

    @app.command()
    @grouped
    def command(name: str, measuring: Measuring, accepting: Accepting) -> None:
        """What it does."""
        seen.append((name, measuring, accepting))

    told = CliRunner().invoke(
        app, ["x", "--arch", "gfx950", "--keep", "2", "--backend", "a", "--backend", "b"]
    )
    assert told.exit_code == 0, told.output
    ((name, measuring, accepting),) = seen
    assert (name, measuring.arch, measuring.backend, accepting.keep) == ("x", "gfx950", ["a", "b"], 2)
    assert measuring.out == Measuring().out
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output
    for field in (*fields(Measuring), *fields(Accepting)):
        assert f"--{field.name.replace('_', '-')}" in shown, field.name
