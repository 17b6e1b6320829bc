"""`gate import`: another harness's log as a run record, for `gate check` or for the baseline."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, NamedTuple

from gate import records
from gate.attest import checks_of
from gate.baseline.store import baseline_path
from gate.cells import CellSpec, cells_of
from gate.collect import Added, Collection, add_to_store
from gate.config import load_config
from gate.errors import MeasurementError, UsageError
from gate.fingerprint import git_in, model_revision, provenance
from gate.importers.log import HarnessLog, Reader, Wanted
from gate.importers.record import Declared, imported_runs, record_of
from gate.model.evidence import Evidence
from gate.model.record import RunRecord
from gate.outputs import Outputs
from gate.serving.engine_log import read_log
from gate.settings import Harness

READERS: Final[dict[Harness, str]] = {
    "lm-eval": "lm_eval",
    "inspect": "inspect_ai",
    "gpt-oss": "gpt_oss",
    "evalscope": "evalscope",
}


@dataclass(frozen=True)
class ImportRequest:
    """What the command line asked for.

    `repeats` is the declared size of a run for the baseline; a run that is judged has the config's. `model`
    (a folder or hub id) and `hf_home` tell the revision of the weights, as for `gate run`.
    """

    harness: Harness
    paths: tuple[Path, ...]
    config: Path
    out: Path
    baselines: Path
    purpose: Literal["gate", "baseline"] = "gate"
    arch: str | None = None
    backend: str | None = None
    repeats: int | None = None
    collection: Collection = field(default_factory=lambda: Collection(repeats=None))
    served_model: str | None = None
    engine_log: Path | None = None
    model: str | None = None
    hf_home: Path | None = None
    accept_empty: bool = False
    accept_unproven: tuple[str, ...] = ()


class Imported(NamedTuple):
    """Where the record is, and what it did to the baseline if it is for one."""

    record: Path
    added: Added | None


def import_log(request: ImportRequest) -> Imported:
    """Write the record of a log; add it to the baseline where that is its purpose.

    Raises:
        RecordError: the log is damaged, incomplete, or not what the config declares.
        UsageError, ConfigError: something that makes runs comparable is not declared.
        MeasurementError: the engine's log does not prove what the config expects (baselines only: a record
            that is judged says so in its verdict).
        BaselineError: the run does not fit the stored ones.
    """
    spec = _cell(request)
    imported = imported_runs(spec)
    if request.repeats is not None and request.purpose == "gate":
        raise UsageError(
            "--repeats is for baselines",
            hint="the size of a run that is judged is in its config: `imported: {repeats: N}`",
        )
    log = read_harness_log(
        request.harness,
        request.paths,
        Wanted(imported.benchmark, imported.metric, spec.task.columns, request.accept_empty),
    )
    record = record_of(
        spec,
        log,
        _declared(spec, request),
        purpose=request.purpose,
        repeats=request.repeats or imported.repeats,
    )
    if request.purpose == "baseline":
        _check_evidence(spec, record, request.accept_unproven)
    outputs = Outputs(request.out)
    outputs.prepare()
    path = records.record_path(outputs.records, spec.cell)
    records.write(path, record)
    if request.purpose == "gate":
        return Imported(path, None)
    stored = baseline_path(request.baselines, spec.cell)
    if stored.exists() and not request.collection.reason:
        raise UsageError(
            "there is a baseline already: another run needs a reason",
            where=str(stored),
            hint='--reason "..."',
        )
    return Imported(path, add_to_store(stored, record, request.collection.signed(), first=True))


def read_harness_log(harness: Harness, paths: tuple[Path, ...], wanted: Wanted) -> HarnessLog:
    """What a harness's log says; see its module in `gate.importers`."""
    # Each reader has its own imports, and one run needs one of them.
    read: Reader = import_module(f"gate.importers.{READERS[harness]}").read
    return read(paths, wanted)


def _cell(request: ImportRequest) -> CellSpec:
    backends = (request.backend,) if request.backend else ()
    specs = cells_of([request.config], arch=request.arch, backends=backends)
    if len(specs) != 1:
        names = ", ".join(spec.cell.backend for spec in specs)
        raise UsageError(
            f"the config has {len(specs)} backends, and a log is of one",
            where=str(request.config),
            hint=f"say which one: --backend, one of {names}",
        )
    return specs[0]


def _declared(spec: CellSpec, request: ImportRequest) -> Declared:
    config = load_config(Path(spec.source))
    return Declared(
        written=spec.sampling.model_fields_set | (config.model_fields_set & {"reasoning_effort"}),
        model_revision=model_revision(
            request.model or spec.model_name, spec.model_revision, hf_home=request.hf_home
        ),
        served_model=request.served_model,
        evidence=read_log(request.engine_log) if request.engine_log else Evidence(),
        provenance=provenance(
            git=git_in(Path.cwd()),
            environ=os.environ,
            now=datetime.now(UTC),
            server_args=spec.server_args,
        ),
    )


def _check_evidence(spec: CellSpec, record: RunRecord, accept_unproven: tuple[str, ...]) -> None:
    failed = [check for check in checks_of(spec, record.evidence, accept_unproven) if not check.ok]
    if failed:
        said = "; ".join(f"{c.fact}: expected {c.expected}, found {c.found or 'nothing'}" for c in failed)
        raise MeasurementError(
            f"nothing proves that the config's kernels ran: {said}",
            where=str(spec.cell),
            hint="pass --engine-log FILE, or accept what nothing proves: `accept_unproven:` in the config",
        )
