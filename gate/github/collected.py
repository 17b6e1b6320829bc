"""`mode: baseline`, the hosted half: what a collection uploaded becomes baselines and an accepted change.

The collection ran contributors' code, so its records are read like those of any run: counts only, and held
against the default branch's configs and store, which is what is checked out here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from gate import records
from gate.baseline.change import Change, table
from gate.baseline.collect import Terms
from gate.baseline.pool import reference_of
from gate.baseline.source import Policy
from gate.baseline.store import baseline_path
from gate.cells import cells_of
from gate.collect import Collection
from gate.errors import GitHubError, UsageError
from gate.fingerprint import git_in
from gate.github.accept import AcceptedChange, NewBaselines, accept
from gate.github.artifact import read_artifacts
from gate.github.checks import CHECK_NAME
from gate.github.client import Hub
from gate.github.dispatch import Order
from gate.github.pulls import SHA
from gate.github.received import WITHHELD, Expected, receive
from gate.model.cell import Cell
from gate.model.record import RunRecord
from gate.plan import Origins
from gate.refresh import Refresh, refresh
from gate.report import escape
from gate.report.progress import SilentProgress
from gate.request import RunRequest

_SHOWN: Final = (
    "engine_version",
    "engine_commit",
    "image",
    "gpu",
    "arch",
    "rocm",
    "driver",
    "date",
    "commit",
)
_MEANT: Final = Terms(new_epoch=True, new_fingerprint=True)


@dataclass(frozen=True)
class Collected:
    """What is at hand on the hosted runner.

    Args:
        order: what was asked for.
        artifacts: what the collection uploaded: zip files, or folders they were unpacked to.
        checkout: the default branch, checked out; its store is written and then committed through the API.
        configs: folder of the configs in it.
        baselines: folder of the store in it.
        to_branch: commit there instead of opening a pull request.
        check_name: of the check run.
    """

    order: Order
    artifacts: tuple[Path, ...]
    checkout: Path
    configs: Path = Path("configs")
    baselines: Path = Path("baselines")
    to_branch: str | None = None
    check_name: str = CHECK_NAME


def read_order(path: Path) -> Order:
    """The order in the event of the workflow that `dispatch` started.

    Raises:
        UsageError: it is another event, or its inputs are not what `Order.inputs` writes.
    """
    try:
        event: dict[str, Any] = json.loads(path.read_bytes())
        given = event["inputs"]
        order = Order(
            pull=int(given["pull-request"]),
            head_sha=str(given["head-sha"]),
            cells=tuple(_cell(name) for name in json.loads(given["cells"])),
            requested_by=str(given["requested-by"]),
            reason=str(given["reason"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise UsageError(
            "is not the event of a collection that `/gate refresh` asked for",
            where=str(path),
            hint="ask with `/gate refresh` in the pull request; it dispatches this workflow",
        ) from problem
    if not SHA.fullmatch(order.head_sha) or not order.cells:
        raise UsageError(
            "the inputs name no whole commit, or no cell",
            where=str(path),
            hint="ask again with `/gate refresh` in the pull request",
        )
    return order


def accept_collected(hub: Hub, collected: Collected) -> AcceptedChange:
    """Write the new baselines into the checkout, commit them, and record the acceptance.

    Raises:
        GitHubError: a cell's record did not arrive or was refused, the head has moved, or GitHub said no.
        BaselineError: a record must not enter the store.
    """
    order = collected.order
    store = collected.checkout / collected.baselines
    found = _records(collected)
    folder = collected.checkout.parent / f"{collected.checkout.name}-accepted"
    for cell, record in found.items():
        folder.mkdir(exist_ok=True)
        records.write(records.record_path(folder, cell), record)
    changes = refresh(
        RunRequest(paths=(), origins=Origins(store, folder), out=folder),
        Refresh((), collected.checkout / collected.configs, folder, accept_drop=True, write=True),
        Collection(
            None,
            accepted_by=order.requested_by,
            reason=order.reason,
            terms=_MEANT,
            policy=Policy(accepted_head=order.head_sha),
        ),
        SilentProgress(),
        git=git_in(collected.checkout),
        today=datetime.now(UTC).date(),
    )
    return accept(hub, order, _new_baselines(collected, found, changes), check_name=collected.check_name)


def _records(collected: Collected) -> dict[Cell, RunRecord]:
    order, checkout = collected.order, collected.checkout
    expected = {}
    for cell in order.cells:
        path = checkout / collected.configs / f"{cell.config}.yaml"
        specs = [s for s in cells_of([path], arch=cell.arch) if s.cell == cell]
        if not specs:
            raise GitHubError(
                "the default branch does not define this cell",
                where=str(cell),
                hint="merge the config first; only cells of the default branch have baselines",
            )
        expected[cell] = Expected(specs[0], reference_of(checkout / collected.baselines, cell))
    received = receive(read_artifacts(collected.artifacts), expected, None)
    for cell in order.cells:
        if cell in received.refused:
            raise GitHubError(received.refused[cell], where=str(cell), hint="nothing was accepted")
        record = received.records.get(cell)
        if record is None:
            raise GitHubError(
                "no record of it arrived: its job failed",
                where=str(cell),
                hint="read the log of the collecting job, and ask again",
            )
        if WITHHELD in record.fingerprint.model_dump().values():
            raise GitHubError(
                "its fingerprint holds what cannot be shown",
                where=str(cell),
                hint="run the collecting job again with an engine that names itself in plain text",
            )
        if record.provenance.get("commit") != order.head_sha:
            raise GitHubError(
                f"its record is not of the commit {order.head_sha[:12]}",
                where=str(cell),
                hint="nothing was accepted",
            )
    return {cell: received.records[cell] for cell in order.cells}


def _new_baselines(
    collected: Collected, found: Mapping[Cell, RunRecord], changes: Sequence[Change]
) -> NewBaselines:
    paths = [baseline_path(collected.baselines, cell) for cell in found]
    provenance = next(iter(found.values())).provenance
    head = git_in(collected.checkout)(["rev-parse", "HEAD"])
    if head is None:
        raise GitHubError(
            "is not a checkout of the default branch",
            where=str(collected.checkout),
            hint="check out the default branch in this job (ref: its name)",
        )
    return NewBaselines(
        files={p.as_posix(): (collected.checkout / p).read_text(encoding="utf-8") for p in paths},
        based_on=head,
        table=_markdown(table(changes)),
        tree=provenance.get("tree", "unknown"),
        provenance={name: provenance[name] for name in _SHOWN if name in provenance},
        to_branch=collected.to_branch,
    )


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    heading, *rest = [" | ".join(escape.prose(text) for text in row) for row in rows]
    ruler = " | ".join("---" for _ in rows[0])
    return "\n".join(f"| {line} |" for line in (heading, ruler, *rest))


def _cell(name: str) -> Cell:
    arch, config, backend = name.split("/")
    return Cell(arch=arch, config=config, backend=backend)
