"""Commands that write to GitHub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gate.cli.options import (
    Arch,
    AsJson,
    Backends,
    Baselines,
    FailOn,
    FamilySize,
    Sources,
    WiderMargin,
    given,
)
from gate.cli.output import print_json


def publish(
    records: Annotated[Path, typer.Argument(help="run records: a folder, or one file")],
    paths: Sources,
    repo: Annotated[str, typer.Option(metavar="OWNER/NAME", help="the repository on GitHub")],
    sha: Annotated[str, typer.Option(help="the commit that was measured, all its digits")],
    pr: Annotated[int | None, typer.Option(min=1, help="comment on this pull request, too")] = None,
    backend: Backends = None,
    baselines: Baselines = Path("baselines"),
    arch: Arch = "auto",
    family_size: FamilySize = None,
    accept_wider_margin: WiderMargin = False,
    fail_on: FailOn = "default",
    details_url: Annotated[str | None, typer.Option(help="https address of the build")] = None,
    check_name: Annotated[str, typer.Option(help="name of the check run")] = "vllm-eval-gate",
    attested: Annotated[
        bool, typer.Option(help="the pinned gate measured, outside of the engine's container and user")
    ] = False,
    track: Annotated[
        bool,
        typer.Option("--track", help="keep one issue per config that regressed (without a pull request)"),
    ] = False,
    pending: Annotated[
        bool, typer.Option("--pending", help="only say that a measurement goes on; no record is read")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decide again from run records, then post the comment and the check run.

    The token comes from GATE_GITHUB_TOKEN, GITHUB_TOKEN or GH_TOKEN, or from an App: GATE_APP_ID and
    GATE_APP_KEY_FILE. Exits with what the verdicts say, like `gate check`.
    """
    from gate.check import CheckRequest
    from gate.github.publish import PublishRequest, run

    check = CheckRequest(
        records,
        tuple(paths),
        baselines,
        given(arch),
        backends=tuple(backend or ()),
        family_size=family_size,
        accept_wider_margin=accept_wider_margin,
        fail_on=fail_on,
    )
    request = PublishRequest(
        check=None if pending else check,
        repository=repo,
        head_sha=sha,
        pull=pr,
        details_url=details_url,
        check_name=check_name,
        attested=attested,
        track=track,
    )
    report, posted = run(request, os.environ)
    if report is None or isinstance(posted, str):
        print_json({"check": posted}) if as_json else typer.echo(f"in progress: {posted}")
        return
    if as_json:
        print_json({"verdict": report.verdict.value, **posted._asdict()})
    else:
        typer.echo(f"{report.verdict.value}: the check concluded {posted.conclusion}")
        for url in filter(None, (posted.check_url, posted.comment_url)):
            typer.echo(url)
    raise typer.Exit(report.exit_code)
