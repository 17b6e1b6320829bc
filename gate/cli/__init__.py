"""The command line: parses, calls, exits; no logic. Heavy imports wait inside the commands."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from gate.bisect import OPTION, BisectExit, exit_of_failure
from gate.cli import (
    baselines,
    configs,
    github,
    imports,
    measuring,
    numerics,
    reports,
    runner,
    setup,
    statistics,
)
from gate.errors import Exit, GateError


def _group(text: str) -> typer.Typer:
    return typer.Typer(
        help=text,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"vllm-eval-gate {version('vllm-eval-gate')}")
        raise typer.Exit


def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="say which gate this is")
    ] = False,
) -> None:
    """A regression gate for quantized LLM inference."""


app = _group("A regression gate for quantized LLM inference.")
app.callback()(_top)
app.command()(measuring.run)
app.command()(measuring.plan)
app.command()(measuring.check)
app.command()(measuring.merge)
app.command()(measuring.attest)
app.command()(reports.report)
app.command()(reports.history)
app.command()(github.publish)
app.command()(baselines.refresh)
app.command("import")(imports.import_log)
app.command()(runner.prefetch)
app.command()(runner.doctor)
app.command()(setup.init)
app.command()(statistics.boundaries)
app.command()(statistics.power)
app.command()(statistics.simulate)
app.command()(statistics.calibrate)
app.command()(numerics.compare)
app.command()(numerics.selftest)

config_app = _group("Validate configs and lists.")
config_app.command("check")(configs.config_check)
config_app.command("schema")(configs.config_schema)
app.add_typer(config_app, name="config")

baseline_app = _group("The store of accepted runs.")
baseline_app.command("collect")(baselines.baseline_collect)
baseline_app.command("anchor")(baselines.baseline_anchor)
baseline_app.command("diff")(baselines.baseline_diff)
baseline_app.command("history")(baselines.baseline_history)
baseline_app.command("probe")(numerics.baseline_probe)
baseline_app.command("show")(baselines.baseline_show)
baseline_app.command("verify")(baselines.baseline_verify)
app.add_typer(baseline_app, name="baseline")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; a GateError becomes its message and its exit code, never a traceback."""
    given = sys.argv[1:] if arguments is None else arguments
    bisecting = OPTION in given
    try:
        app(args=given)
    except GateError as error:
        typer.echo(f"gate: {error}", err=True)
        code = int(error.exit_code)
        sys.exit(exit_of_failure(code) if bisecting else code)
    except Exception:  # noqa: BLE001 - a bug; Python would exit with 1, the code of a regression
        traceback.print_exc()
        sys.exit(int(BisectExit.ABORT if bisecting else Exit.NOT_MEASURED))
    except SystemExit as end:
        # Typer exits with 1 where nobody reads what is printed (`gate ... | head`): no regression either.
        unread = isinstance(end.__context__, BrokenPipeError)
        ended = int(Exit.NOT_MEASURED) if unread else end.code
        sys.exit(exit_of_failure(ended) if bisecting else ended)
