"""Commands that prepare a runner: `prefetch`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gate.cli.options import AsJson, Cache, DatasetPath, HfHome, Model, Sources
from gate.cli.output import print_json, print_table


def prefetch(
    paths: Sources,
    model: Model = None,
    hf_home: HfHome = None,
    dataset_path: DatasetPath = None,
    cache: Cache = Path(".cache"),
    check: Annotated[
        bool, typer.Option("--check", help="verify what is there, every byte of it, and ask nobody")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Fill and verify the caches of models and question sets; HF_TOKEN comes from the environment."""
    import os

    from gate.prefetch import PrefetchRequest, prefetch

    request = PrefetchRequest(tuple(paths), cache, hf_home, model, dataset_path, check)
    rows = prefetch(request, os.environ)
    if as_json:
        print_json([row._asdict() for row in rows])
    else:
        print_table([(row.state, row.what, row.name, *row.detail.splitlines()[:1]) for row in rows])
        for row in rows:
            for line in row.detail.splitlines()[1:]:
                typer.echo(f"{row.name}: {line.strip()}")
    raise typer.Exit(2 if any(row.state == "failed" for row in rows) else 0)
