"""Commands about the numerics: `baseline probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.options import Measuring, Sources, grouped
from gate.cli.output import progress


@grouped
def baseline_probe(
    paths: Sources,
    measuring: Measuring,
    healthy: Annotated[
        list[str] | None,
        typer.Option(metavar="BACKEND", help="its difference is noise too; may be repeated"),
    ] = None,
    starts: Annotated[int, typer.Option(min=1, help="engine starts, each probed at three concurrencies")] = 2,
    reason: Annotated[str | None, typer.Option(help="why a stored probe is replaced")] = None,
    accepted_by: Annotated[
        str | None, typer.Option(envvar="GITHUB_ACTOR", help="who answers for it; default: git's user")
    ] = None,
) -> None:
    """Store the numerics probe of every cell, with its noise floor from healthy runs."""
    from gate.collect import somebody
    from gate.fingerprint import git_in
    from gate.numerics.collect import ProbeCollection, collect_probes

    collection = ProbeCollection(
        starts=starts,
        healthy=tuple(healthy or ()),
        accepted_by=somebody(accepted_by, git_in(Path.cwd())),
        reason=reason or "",
    )
    for path in collect_probes(measuring.request(paths), collection, progress(quiet=measuring.quiet)):
        typer.echo(path)
