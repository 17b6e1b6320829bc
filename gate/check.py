"""`gate check`: decide again from run records alone, with the configs and baselines at hand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from gate import records
from gate.attest import checks_of
from gate.baseline.pool import reference_of
from gate.cells import CellSpec, cells_of
from gate.decide import decide_cell, unmeasured, with_numerics
from gate.errors import RecordError
from gate.model.baseline import Reference
from gate.model.cell import Cell
from gate.model.probe import Numerics
from gate.model.record import RunRecord
from gate.model.result import CellResult, GateReport, Verdict
from gate.numerics.compare import compare
from gate.numerics.store import ProbeBaseline
from gate.numerics.store import load as load_probe
from gate.objects import Objects
from gate.reporting import assemble, fail_on_verdicts

NO_RECORD: Final = "no run record of this cell arrived: its job failed, or did not run"


@dataclass(frozen=True)
class CheckRequest:
    """What the command line asked for."""

    records: Path | Objects
    paths: tuple[Path, ...]
    baselines: Path
    arch: str | None = None
    backends: tuple[str, ...] = ()
    family_size: int | None = None
    accept_wider_margin: bool = False
    accept_unproven: tuple[str, ...] = ()
    fail_on: str | None = None


def check_records(request: CheckRequest) -> GateReport:
    """Hold each expected cell's record against its baseline; nothing a record says of itself is believed.

    The configs say which cells are expected: one without a record is `not_measured`, never absent.

    Raises:
        RecordError: a record cannot be read, or is of a cell that the configs do not define.
        ConfigError, BaselineError, UsageError: a file at hand is wrong.
    """
    fail_on = fail_on_verdicts(request.fail_on)
    specs = cells_of(request.paths, arch=request.arch, backends=request.backends)
    found = {record.cell: record for record in records.read_all(request.records)}
    if strangers := sorted(str(cell) for cell in found.keys() - {spec.cell for spec in specs}):
        raise RecordError(
            f"no config at hand defines the cell {strangers[0]}",
            where=records.shown(request.records),
            hint="name the configs or lists that the records were made from",
        )
    family_size = request.family_size or len(specs)
    results = results_of(
        specs,
        found,
        partial(reference_of, request.baselines),
        family_size,
        probe=partial(load_probe, request.baselines),
        accept_wider_margin=request.accept_wider_margin,
        accept_unproven=request.accept_unproven,
    )
    return assemble(
        results,
        fail_on=fail_on,
        commit=None,
        family_size=family_size,
        alpha=max(spec.gate.alpha for spec in specs),
        now=datetime.now(UTC),
    )


def judge(
    spec: CellSpec,
    record: RunRecord,
    reference: Reference | None,
    family_size: int,
    *,
    accept_wider_margin: bool = False,
    accept_unproven: Collection[str] = (),
    probe_baseline: ProbeBaseline | None = None,
) -> CellResult:
    """The verdict on one record, with the evidence it carries held against the config.

    Whether a wider margin than the config's, or less proof, will do is for whoever asks, never for the
    record, to say; that a run had a fixed size is for the config to say.
    """
    fresh, imported = record.confirmation, spec.task.imported
    result = decide_cell(
        record,
        reference,
        checks=checks_of(spec, record.evidence, accept_unproven) if record.outcomes else (),
        settings=spec.gate,
        family_size=family_size,
        chance=spec.task.chance,
        tolerance=spec.tolerance,
        accept_wider_margin=accept_wider_margin,
        base_checks=checks_of(spec, fresh.evidence) if fresh and not fresh.failure else (),
        fixed_repeats=imported.repeats if imported else None,
    )
    if imported is not None and result.verdict is Verdict.NO_BASELINE:
        command = (
            f"gate import {spec.task.protocol} LOG --config {spec.source} --backend {spec.cell.backend} "
            '--purpose baseline --reason "..."'
        )
        result = result.model_copy(update={"next_step": command})
    return with_numerics(result, _numerics(spec, record, probe_baseline), spec.gate.probe)


def _numerics(spec: CellSpec, record: RunRecord, baseline: ProbeBaseline | None) -> Numerics | None:
    """What the record's probe says, whatever is stored beside it; None without a probe or its baseline."""
    if record.probe is None or baseline is None:
        return None
    try:
        return compare(record.probe, baseline, alpha=spec.gate.probe.alpha)
    except RecordError as error:
        return Numerics(state="incomparable", reason=error.message)


def results_of(
    specs: Sequence[CellSpec],
    found: Mapping[Cell, RunRecord],
    reference: Callable[[Cell], Reference | None],
    family_size: int,
    *,
    probe: Callable[[Cell], ProbeBaseline | None],
    refused: Mapping[Cell, str] | None = None,
    accept_wider_margin: bool = False,
    accept_unproven: Collection[str] = (),
) -> list[CellResult]:
    """One result for each expected cell: one that has no record is `not_measured`, never absent.

    Args:
        specs: the expected cells.
        found: their records.
        reference: the pooled baseline of a cell.
        family_size: C.
        probe: the stored probe of a cell.
        refused: why a record that arrived is not among those that were found.
        accept_wider_margin: as recorded for this run.
        accept_unproven: adds to the configs' own.
    """
    why, results = refused or {}, []
    for spec in specs:
        if spec.cell in found:
            record, baseline = found[spec.cell], reference(spec.cell)
            result = judge(
                spec,
                record,
                baseline,
                family_size,
                accept_wider_margin=accept_wider_margin,
                accept_unproven=accept_unproven,
                probe_baseline=probe(spec.cell),
            )
            results.append(result)
        else:
            results.append(unmeasured(spec.cell, why.get(spec.cell, NO_RECORD)))
    return results
