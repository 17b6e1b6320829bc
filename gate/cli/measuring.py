"""Commands that measure or judge: `run`, `plan`, `check`, `attest`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from gate.cli.options import (
    AcceptUnproven,
    Arch,
    AsJson,
    AtOnce,
    Backends,
    Baselines,
    ChangedFile,
    FailOn,
    FamilySize,
    Measuring,
    OfEvent,
    Sources,
    WiderMargin,
    given,
    grouped,
    unproven,
)
from gate.cli.output import print_json, print_report, print_rows, print_table, progress
from gate.cli.requests import Judging


@grouped
def run(
    paths: Sources,
    measuring: Measuring,
    judging: Judging,
    jobs: AtOnce = 1,
    executor: Annotated[
        Literal["sequential", "jobs", "ray"] | None,
        typer.Option(help="who places the cells; ray: the nodes of a cluster (see docs/scaling.md)"),
    ] = None,
    address: Annotated[
        str, typer.Option(help="with --executor ray: the cluster; auto is the one this machine belongs to")
    ] = "auto",
    store: Annotated[
        str | None,
        typer.Option(metavar="URL", help="journals and records there too, for any node: file:// or s3://"),
    ] = None,
    no_probe: Annotated[
        bool, typer.Option("--no-probe", help="leave the stored numerics probe out: the score decides alone")
    ] = False,
    as_json: AsJson = False,
    bisect: Annotated[
        bool, typer.Option("--bisect", help="for `git bisect run`: exit 0 good, 1 bad, 125 cannot tell")
    ] = False,
) -> None:
    """Measure every cell, decide, report: the main job."""
    from gate.bisect import commit_under_test, exit_of_verdict
    from gate.fingerprint import git_in
    from gate.run import run_cells

    if bisect:
        judging = replace(judging, head_sha=commit_under_test(judging.head_sha, git_in(Path.cwd())))
    request = judging.request(paths, measuring, jobs=jobs, executor=executor, address=address, store=store)
    request = replace(request, probe=not no_probe)
    report = run_cells(request, partial(progress, quiet=measuring.quiet or as_json))
    print_report(report, as_json=as_json)
    raise typer.Exit(exit_of_verdict(report.verdict) if bisect else report.exit_code)


def plan(
    paths: Sources,
    backend: Backends = None,
    arch: Arch = "auto",
    baselines: Baselines = Path("baselines"),
    event: OfEvent = None,
    changed_file: ChangedFile = None,
    output: Annotated[
        Literal["table", "matrix"], typer.Option("--format", help="matrix: for strategy.matrix of Actions")
    ] = "table",
    as_json: AsJson = False,
) -> None:
    """Show the cells and what each one takes, or the Actions matrix."""
    from gate import cells
    from gate.planning import plan_rows, read_changed

    every = cells.cells_of(paths, arch=given(arch), backends=tuple(backend or ()))
    specs = cells.selected(every, event, read_changed(changed_file))
    if output == "matrix":
        print_json(cells.matrix(specs))
    else:
        print_rows(plan_rows(specs, baselines), as_json=as_json)


def merge(
    records: Annotated[
        list[str],
        typer.Argument(metavar="RECORDS...", help="the jobs' records: files, folders, URLs of --store"),
    ],
    configs: Annotated[
        list[Path], typer.Option("--configs", metavar="CONFIG_OR_LIST", help="what is expected; repeatable")
    ],
    baselines: Baselines = Path("baselines"),
    arch: Arch = "auto",
    event: OfEvent = None,
    changed_file: ChangedFile = None,
    family_size: FamilySize = None,
    out: Annotated[Path | None, typer.Option(help="folder for the records and reports of all jobs")] = None,
    fail_on: FailOn = None,
    as_json: AsJson = False,
) -> None:
    """Join the records of many jobs into one report; a job that failed shows as not measured."""
    from gate.merge import MergeRequest, merge_records
    from gate.planning import read_changed
    from gate.records import place_of

    request = MergeRequest(
        tuple(map(place_of, records)),
        tuple(configs),
        baselines,
        out=out,
        arch=given(arch),
        event=event,
        changed=read_changed(changed_file),
        family_size=family_size,
        fail_on=fail_on,
    )
    report = merge_records(request)
    print_report(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


def check(
    records: Annotated[
        str, typer.Argument(help="run records: a folder, one file, or the URL that --store was given")
    ],
    paths: Sources,
    backend: Backends = None,
    baselines: Baselines = Path("baselines"),
    arch: Arch = "auto",
    family_size: FamilySize = None,
    accept_wider_margin: WiderMargin = False,
    accept_unproven: AcceptUnproven = None,
    fail_on: FailOn = None,
    as_json: AsJson = False,
) -> None:
    """Decide again from run records alone; verdicts stored anywhere are not believed."""
    from gate.check import CheckRequest, check_records
    from gate.records import place_of

    request = CheckRequest(
        place_of(records),
        tuple(paths),
        baselines,
        given(arch),
        backends=tuple(backend or ()),
        family_size=family_size,
        accept_wider_margin=accept_wider_margin,
        accept_unproven=unproven(accept_unproven),
        fail_on=fail_on,
    )
    report = check_records(request)
    print_report(report, as_json=as_json)
    raise typer.Exit(report.exit_code)


def attest(
    config: Annotated[Path, typer.Option(help="the config")],
    log: Annotated[Path, typer.Option(help="the engine's log")],
    backend: Annotated[str, typer.Option(help="its backend")] = "default",
    as_json: AsJson = False,
) -> None:
    """Say what really ran, from a log; exit 4 where it is not what the config expects."""
    from gate.attest import attest_log, attested_rows

    found = attest_log(config, backend, log)
    if as_json:
        checks = [check.model_dump() for check in found.checks]
        print_json({**found.evidence.model_dump(mode="json"), "checks": checks})
    else:
        print_table(attested_rows(found))
    raise typer.Exit(int(found.exit_code))
