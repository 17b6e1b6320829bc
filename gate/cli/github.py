"""Commands that write to GitHub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gate.cli.options import Arch, AsJson, Baselines, FailOn, Sources, given
from gate.cli.output import print_json


def publish(
    records: Annotated[Path, typer.Argument(help="folder of the run records")],
    paths: Sources,
    repo: Annotated[str, typer.Option(metavar="OWNER/NAME", help="the repository on GitHub")],
    sha: Annotated[str, typer.Option(help="the commit that was measured, all its digits")],
    pr: Annotated[int | None, typer.Option(min=1, help="its pull request; without, only a check run")] = None,
    base_sha: Annotated[
        str | None, typer.Option(help="what it was compared with; default: the pull request's base")
    ] = None,
    event: Annotated[
        Literal["pull_request", "schedule", "push", "workflow_dispatch"],
        typer.Option(help="without --pr: what started it; schedule and push keep one issue per config"),
    ] = "workflow_dispatch",
    baselines: Baselines = Path("baselines"),
    arch: Arch = "auto",
    fail_on: FailOn = "default",
    details_url: Annotated[str | None, typer.Option(help="https address of the build")] = None,
    check_name: Annotated[str, typer.Option(help="name of the check run")] = "vllm-eval-gate",
    attested: Annotated[
        bool, typer.Option(help="the pinned gate measured, outside of the engine's container and user")
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
    import os
    from datetime import UTC, datetime

    from gate.decide import STRICT_FAIL_ON
    from gate.github.elsewhere import PublishRequest, publish_records
    from gate.github.second_stage import Stage
    from gate.reporting import fail_on_verdicts

    stage = Stage(
        paths=tuple(paths),
        baselines=baselines,
        fail_on=fail_on_verdicts(fail_on) or STRICT_FAIL_ON,
        arch=given(arch),
        attested=attested,
        check_name=check_name,
    )
    request = PublishRequest(records, stage, repo, sha, base_sha, pr, event, details_url, pending)
    found = publish_records(request, os.environ, datetime.now(UTC))
    report, published = found.report, found.published
    if report is None or published is None:
        print_json({"check_url": found.check_url}) if as_json else typer.echo(
            f"in progress: {found.check_url}"
        )
        return
    if as_json:
        print_json({"verdict": report.verdict.value, **published._asdict()})
    else:
        typer.echo(f"{report.verdict.value}: the check concluded {published.conclusion}")
        for url in filter(None, (published.check_url, published.comment_url)):
            typer.echo(url)
    raise typer.Exit(report.exit_code)
