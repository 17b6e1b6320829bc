"""Run records that came from outside: what is taken from them, and what is said of the rest.

Numbers are taken as they are and held against settings and baselines later. Of the strings only facts that
this gate knows and values of `escape.SAFE` are taken; everything else is replaced before anything sees it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import ValidationError

from gate import records
from gate.cells import CellSpec
from gate.config_values import FALLBACKS
from gate.errors import RecordError
from gate.model.baseline import Reference
from gate.model.cell import Cell
from gate.model.evidence import Evidence
from gate.model.fingerprint import Fingerprint
from gate.model.probe import Probe
from gate.model.record import Confirmation, Failure, QuestionGroups, Restart, RunRecord
from gate.report.escape import SAFE
from gate.sequence import candidate_stream
from gate.serving.engine_log import EXPECT_KEYS

WITHHELD: Final = "withheld"
"""Stands for a string that is not shown; no config expects it and no baseline has it."""

_FACTS: Final = EXPECT_KEYS | {"dtype", "max_model_len"}
_IGNORED: Final = "ignored_environment"
_MOST_SAMPLES: Final = 100_000_000
_MOST_SECONDS: Final = 30 * 86_400
_LOST: Final = "the engine was lost"
_MODELS: Final = (RunRecord, Cell, Confirmation, Evidence, Failure, Fingerprint, QuestionGroups, Restart)
_FIELDS: Final = frozenset(f.alias or name for m in _MODELS for name, f in m.model_fields.items())
_FAILURES: Final = {
    "engine": "the engine failed; the log of the job that ran it says how",
    "evidence": "the engine did not run what the config expects",
    "requests": "too many requests failed; the log of the job says which",
    "cancelled": "the run was cancelled before a verdict was reached",
    "numerics": "the engine's numbers are broken, so the evaluation was not started",
    "resume": "the samples of an earlier attempt do not belong to this one",
}


class Received(NamedTuple):
    """What arrived: records to decide on, why others were refused, and what nobody asked for.

    `strangers` are cells that the base branch does not define; `unreadable` counts files of no such cell
    that hold no record either.
    """

    records: Mapping[Cell, RunRecord]
    refused: Mapping[Cell, str]
    strangers: tuple[Cell, ...]
    unreadable: int


class Expected(NamedTuple):
    """A cell of the base branch: its settings and its baseline."""

    spec: CellSpec
    reference: Reference | None


class Heads(NamedTuple):
    """The commits the run was about, as GitHub says and not as the record does."""

    head_sha: str
    base_sha: str


def receive(files: Mapping[str, bytes], expected: Mapping[Cell, Expected], heads: Heads | None) -> Received:
    """Sort out what `read_artifacts` returned.

    Args:
        files: name -> content.
        expected: the cells of the base branch.
        heads: a record of other samples than those of these commits is refused: samples that somebody chose
            are no sample. None for a collection, which draws a stream of its own.
    """
    names = {records.record_path(Path(), cell).name: cell for cell in expected}
    found: dict[Cell, RunRecord] = {}
    refused: dict[Cell, str] = {}
    strangers: list[Cell] = []
    unreadable = 0
    for name, data in sorted(files.items()):
        cell = names.get(name)
        try:
            record = records.parse(data, where="the record")
            if cell is not None:
                _check(record, cell, heads)
                found[cell] = neutral(record, expected[cell])
            elif record.cell in expected:
                refused[record.cell] = "its run record was refused: the file is named for another cell"
            else:
                strangers.append(_shown(record.cell))
        except RecordError as error:
            if cell is None:
                unreadable += 1
            else:
                refused[cell] = f"its run record was refused: {_why(error)}"
    for cell in refused:
        found.pop(cell, None)
    return Received(found, refused, tuple(strangers), unreadable)


def neutral(record: RunRecord, expected: Expected) -> RunRecord:
    """The record without any string that could say something to somebody; its numbers are unchanged."""
    spec, reference = expected
    seed = record.question_order_seed
    return record.model_copy(
        update={
            "fingerprint": _fingerprint(record.fingerprint, reference),
            "provenance": _provenance(record.provenance),
            "evidence": _evidence(record.evidence, spec),
            "failure": _failure(record.failure),
            "confirmation": _confirmation(record.confirmation, spec),
            "probe": _probe(record.probe),
            "restarts": tuple(restart.model_copy(update={"reason": _LOST}) for restart in record.restarts),
            "anchor": tuple(run if _is_safe(run) else WITHHELD for run in record.anchor),
            "threshold": spec.threshold,
            "gpus": spec.gpus,
            "stream": record.stream if _is_safe(record.stream) else WITHHELD,
            "question_order_seed": seed if _is_safe(seed) else WITHHELD,
        }
    )


def _why(error: RecordError) -> str:
    """What is wrong, without any word of the record itself: neither a value nor a key of its own."""
    problem = error.__cause__
    if isinstance(problem, ValidationError):
        first = problem.errors(include_url=False, include_context=False, include_input=False)[0]
        named = ".".join(str(part) for part in first["loc"] if part in _FIELDS or isinstance(part, int))
        return ": ".join(filter(None, (named, first["msg"].removeprefix("Value error, "))))
    return error.message.partition(":")[0]


def _check(record: RunRecord, cell: Cell, heads: Heads | None) -> None:
    """Refuse what can only be a mistake or a forgery; numbers in range are decided on later."""
    if record.cell != cell:
        raise RecordError("the file is named for another cell", hint="run the measuring job again")
    asked = sum(len(row) - row.count(".") for row in record.outcomes)
    if not asked <= record.generated <= _MOST_SAMPLES:
        raise RecordError(
            f"it counts {asked:,} answers, but says that another number was generated",
            hint="run the measuring job again",
        )
    if record.seconds > _MOST_SECONDS or record.max_repeats > records.COUNT_LIMIT:
        raise RecordError("its time or its budget is out of range", hint="run the measuring job again")
    if record.question_order_seed != record.stream:
        raise RecordError(
            "its questions were not asked in the order that its stream gives",
            hint="run the measuring job again",
        )
    if heads and record.stream != candidate_stream(heads.head_sha, heads.base_sha, str(cell)):
        raise RecordError(
            "its samples are not those of this commit against this base",
            hint="run the measuring job again for this commit",
        )


def _fingerprint(found: Fingerprint, reference: Reference | None) -> Fingerprint:
    """Each string that the baseline has too, or that is safe; what is withheld still differs."""
    known = reference.fingerprint.model_dump() if reference else {}
    hidden = {
        key: WITHHELD
        for key, value in found.model_dump().items()
        if isinstance(value, str) and value != known.get(key) and not _is_safe(value)
    }
    return found.model_copy(update=hidden)


def _evidence(found: Evidence, spec: CellSpec) -> Evidence:
    """The facts that parsers of this gate find. A fallback is never dropped: an unknown one is withheld."""
    facts = {
        key: value if _is_safe(value) or value == spec.expect.get(key) else WITHHELD
        for key, value in found.facts.items()
        if key in _FACTS
    }
    # Variables of the base branch's own config, by which a setting that had no effect is found out.
    if ignored := sorted(set(found.facts.get(_IGNORED, "").split("|")) & set(spec.env)):
        facts[_IGNORED] = "|".join(ignored)
    fallbacks = {name if name in FALLBACKS else WITHHELD for name in found.fallbacks}
    return Evidence(facts=facts, fallbacks=tuple(sorted(fallbacks)), source=found.source)


def _confirmation(found: Confirmation | None, spec: CellSpec) -> Confirmation | None:
    return found and found.model_copy(
        update={
            "stream": found.stream if _is_safe(found.stream) else WITHHELD,
            "evidence": _evidence(found.evidence, spec),
            "provenance": _provenance(found.provenance),
            "failure": _failure(found.failure),
        }
    )


def _probe(found: Probe | None) -> Probe | None:
    """Its numbers, with what is safe of its fingerprint; what is withheld differs from the stored one."""
    if found is None:
        return None
    marks = found.fingerprint
    hidden = {
        key: WITHHELD
        for key, value in marks.model_dump().items()
        if isinstance(value, str) and not _is_safe(value)
    }
    return found.model_copy(update={"fingerprint": marks.model_copy(update=hidden)})


def _provenance(found: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in found.items() if _is_safe(key) and _is_safe(value)}


def _failure(found: Failure | None) -> Failure | None:
    return found and Failure(kind=found.kind, message=_FAILURES[found.kind])


def _shown(cell: Cell) -> Cell:
    parts = cell.model_dump()
    return Cell(**{key: part if _is_safe(part) else WITHHELD for key, part in parts.items()})


def _is_safe(value: str) -> bool:
    return SAFE.fullmatch(value) is not None
