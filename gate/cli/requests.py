"""What `gate run` is asked for: from the options of the command, or from arguments alone."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gate.cli.options import FailOn, FamilySize, Measuring, Sources, WiderMargin, grouped
from gate.errors import UsageError

if TYPE_CHECKING:
    from gate.request import RunRequest


@dataclass(frozen=True)
class Judging:
    """The options of a measurement that is judged; see `grouped`."""

    fail_on: FailOn = None
    head_sha: Annotated[
        str | None, typer.Option(help="commit under test: a rerun of it replays the same samples")
    ] = None
    base_sha: Annotated[str | None, typer.Option(help="commit it is compared with")] = None
    family_size: FamilySize = None
    accept_wider_margin: WiderMargin = False
    confirm_with: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="base build that confirms a regression, or not")
    ] = None
    confirm_with_image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="the same as a container image, by digest")
    ] = None

    def request(self, paths: Sequence[Path], measuring: Measuring, **more: Any) -> RunRequest:  # noqa: ANN401
        """What the code takes; `more` are fields of RunRequest."""
        from gate.plan import Heads

        return measuring.request(
            paths,
            confirm_with=measuring.base_build(self.confirm_with, self.confirm_with_image),
            heads=Heads(self.head_sha, self.base_sha),
            family_size=self.family_size,
            accept_wider_margin=self.accept_wider_margin,
            fail_on=self.fail_on,
            **more,
        )


def parsed_request(arguments: Sequence[str]) -> RunRequest:
    """The request of `gate run ARGUMENTS`.

    Raises:
        UsageError: the arguments are none that `gate run` takes.
    """
    found: list[RunRequest] = []

    @grouped
    def run(paths: Sources, measuring: Measuring, judging: Judging) -> None:
        found.append(judging.request(paths, measuring))

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(run)
    said = io.StringIO()
    # What typer raises for a wrong option is private to it; what it prints is not.
    with redirect_stderr(said), suppress(SystemExit):
        app(args=arguments)
    if not found:
        raise UsageError(said.getvalue().rpartition("Error: ")[2].strip(), hint="see `gate run --help`")
    return found[0]
