"""Commands below `gate config`."""

from __future__ import annotations

from gate.cli.options import (
    Arch,
    AsJson,
    Sources,
    given,
)
from gate.cli.output import print_json, print_rows


def config_check(paths: Sources, arch: Arch = "auto", as_json: AsJson = False) -> None:
    """Validate configs and lists, and print their cells."""
    from gate import cells

    specs = cells.cells_of(paths, arch=given(arch), unknown_arch="any")
    print_rows(cells.describe(specs), as_json=as_json)


def config_schema() -> None:
    """Print the JSON Schema of a config."""
    from gate import config

    print_json(config.json_schema())
