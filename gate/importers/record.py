"""From what a log says and what the config declares to a run record. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal

from gate.cells import CellSpec
from gate.decide.words import count
from gate.errors import RecordError, UsageError
from gate.importers.log import HarnessLog, LoggedSample
from gate.model.canonical import sha256_of
from gate.model.evidence import Evidence
from gate.model.fingerprint import Fingerprint
from gate.model.record import RunRecord
from gate.model.sample import Sample
from gate.records import matrices
from gate.settings import ImportedRuns

SETTINGS: Final = ("temperature", "top_p", "top_k", "max_tokens", "reasoning_effort", "endpoint")


@dataclass(frozen=True)
class Declared:
    """What only whoever imports a log can say of it.

    `written` are the sampling fields that the config says in so many words: its defaults are no statement
    about what another harness did. `served_model` is what the harness called the model.
    """

    written: Collection[str]
    model_revision: str
    served_model: str | None
    evidence: Evidence
    provenance: Mapping[str, str]


def record_of(
    spec: CellSpec, log: HarnessLog, declared: Declared, *, purpose: Literal["gate", "baseline"], repeats: int
) -> RunRecord:
    """The record of a complete run of a fixed size.

    Args:
        spec: the cell that the run is of; its task is `imported`.
        log: what the harness wrote.
        declared: what the log cannot say.
        purpose: whether the run is judged or becomes a part of the baseline.
        repeats: the declared size.

    Raises:
        RecordError: the log is incomplete, of another size than declared, holds copies for repeats, or
            contradicts the config.
        UsageError: something that makes runs comparable is neither in the log nor in the config.
    """
    imported = imported_runs(spec)
    samples = _numbered(log)
    questions = tuple(sorted({sample.question.id for sample in log.samples}))
    _check_size(log, samples, questions, repeats)
    _check_copies(log, samples, questions, repeats)
    outcomes, tokens, finish = matrices(questions, samples_of(samples), repeats)
    stream = f"imported-{sha256_of(sorted((q, r, s.answer) for (q, r), s in samples.items()))[:32]}"
    return RunRecord(
        purpose=purpose,
        cell=spec.cell,
        family_size=1,
        alpha=spec.gate.alpha,
        alpha_pass=spec.gate.alpha_pass,
        margin=spec.gate.margin,
        tolerated_loss=spec.gate.tolerated_loss,
        baseline_repeats=0,
        max_repeats=repeats,
        baseline_sha256=None,
        question_order_seed=stream,
        stream=stream,
        fingerprint=_fingerprint(spec, imported, log, declared, questions),
        provenance=_provenance(log, declared),
        evidence=declared.evidence,
        questions=questions,
        look_at=(repeats * len(questions),),
        outcomes=outcomes,
        tokens=tokens,
        finish=finish,
        generated=len(samples),
        seconds=round(log.seconds, 3),
        gpus=0 if spec.cell.arch == "cpu" else spec.gpus,
        threshold=spec.threshold,
    )


def imported_runs(spec: CellSpec) -> ImportedRuns:
    """What the config declares of runs that others make; raises UsageError where the gate makes them."""
    if spec.task.imported is None:
        raise UsageError(
            f"the task of this config is {spec.task.name}, which the gate asks itself",
            where=spec.source,
            hint="a config of imported runs has `task: {name: imported, ...}` (docs/importing.md)",
        )
    return spec.task.imported


def samples_of(numbered: Mapping[tuple[str, int], LoggedSample]) -> list[Sample]:
    """The samples as a record takes them."""
    return [Sample(q, r, s.outcome, s.tokens, s.finish) for (q, r), s in numbered.items()]


def _numbered(log: HarnessLog) -> dict[tuple[str, int], LoggedSample]:
    """Samples by (question id, repeat); repeats that the log does not number, in order of appearance."""
    found: dict[tuple[str, int], LoggedSample] = {}
    seen: defaultdict[str, int] = defaultdict(int)
    contents: dict[str, str] = {}
    for sample in log.samples:
        name = sample.question.id
        if contents.setdefault(name, sample.question.content) != sample.question.content:
            raise RecordError(
                f"question {name} is there with different options",
                where=log.where,
                hint="import runs of one and the same question set",
            )
        place = (name, seen[name] if sample.repeat is None else sample.repeat)
        seen[name] += 1
        if place in found:
            raise RecordError(
                f"question {name} is there twice in repeat {place[1]}",
                where=log.where,
                hint="two questions with the same text and answer cannot be told apart",
            )
        found[place] = sample
    return found


def _check_size(
    log: HarnessLog, samples: Collection[tuple[str, int]], questions: Sequence[str], repeats: int
) -> None:
    if log.repeats is not None and log.repeats != repeats:
        raise RecordError(
            f"a run of {count(log.repeats, 'repeat')}, but {repeats} declared",
            where=log.where,
            hint="the size of a run is declared before it is made: `imported: {repeats: N}`, or --repeats "
            "for a baseline",
        )
    for question in questions:
        missing = [r for r in range(repeats) if (question, r) not in samples]
        if missing or (question, repeats) in samples:
            answers = sum(name == question for name, _ in samples)
            raise RecordError(
                f"question {question} was answered {count(answers, 'time')}, "
                f"but {count(repeats, 'repeat')} declared",
                where=log.where,
                hint="a run is complete, and as large as it was declared to be, or it is none",
            )


def _check_copies(
    log: HarnessLog,
    samples: Mapping[tuple[str, int], LoggedSample],
    questions: Sequence[str],
    repeats: int,
) -> None:
    answers = [[samples[q, repeat].answer for q in questions] for repeat in range(repeats)]
    for one, other in combinations(range(repeats), 2):
        if answers[one] == answers[other]:
            raise RecordError(
                f"repeat {other + 1} is a copy of repeat {one + 1}: every answer is the same",
                where=log.where,
                hint="give every repeat a seed of its own; greedy decoding has only one repeat",
            )


def _fingerprint(
    spec: CellSpec, imported: ImportedRuns, log: HarnessLog, declared: Declared, questions: Sequence[str]
) -> Fingerprint:
    _check_same(spec, imported, log, declared)
    contents = {sample.question.id: sample.question.content for sample in log.samples}
    date = imported.conversation_date
    return Fingerprint(
        cell=spec.cell,
        task=log.benchmark,
        protocol=spec.task.protocol,
        dataset_sha256=sha256_of(sorted(contents.items())),
        questions_sha256=sha256_of(list(questions)),
        prompt_sha256=sha256_of(log.protocol),
        grader=f"{log.harness}/{log.version or imported.version}:{log.metric}",
        model=spec.model_name,
        model_revision=declared.model_revision,
        max_model_len=spec.max_model_len,
        conversation_date=None if date == "none" else date,
        launch_preset=spec.launch_preset,
        **_settings(spec, log, declared),
    )


def _check_same(spec: CellSpec, imported: ImportedRuns, log: HarnessLog, declared: Declared) -> None:
    if log.harness != spec.task.protocol:
        raise UsageError(
            f"the config's runs are {spec.task.protocol}'s, not {log.harness}'s",
            where=spec.source,
            hint="name the config of this harness, or import with the config's own",
        )
    if log.version is None and imported.version is None:
        raise UsageError(
            f"the log does not say which version of {log.harness} wrote it",
            where=log.where,
            hint="declare it: `imported: {version: ...}` in the config",
        )
    if None not in (log.version, imported.version) and log.version != imported.version:
        raise RecordError(
            f"written by {log.harness} {log.version}, but the config declares {imported.version}",
            where=log.where,
            hint="correct `imported: {version: ...}`, or run that version",
        )
    called = declared.served_model or spec.model_name
    if log.model is not None and log.model != called and not log.model.endswith(f"/{called}"):
        raise RecordError(
            f"measured a model called {log.model[:80]!r}, and the config's is {spec.model_name!r}",
            where=log.where,
            hint="--served-model NAME says that the engine served the config's model under that name",
        )


def _settings(spec: CellSpec, log: HarnessLog, declared: Declared) -> dict[str, Any]:
    ours: dict[str, Any] = spec.sampling.model_dump()
    ours |= {"reasoning_effort": spec.reasoning_effort, "endpoint": spec.task.endpoint}
    written = {*declared.written, "endpoint"}
    ours["max_tokens"] = ours["max_tokens"] or 0  # 0: the request sets no limit
    if silent := [name for name in SETTINGS if name not in log.settings and name not in written]:
        raise UsageError(
            f"neither the log nor the config says what {', '.join(silent)} was",
            where=spec.source,
            hint="write what the harness and its engine used into the config, under `sampling:` or, for the "
            "reasoning effort, at the top (null: none is sent)",
        )
    differing = [
        f"{name} {log.settings[name]}, not {ours[name]}"
        for name in SETTINGS
        if name in log.settings and name in written and log.settings[name] != ours[name]
    ]
    if differing:
        raise RecordError(
            f"was made otherwise than its config says: {'; '.join(differing)}",
            where=log.where,
            hint="correct the config, or run the harness as it says",
        )
    return {name: log.settings.get(name, ours[name]) for name in SETTINGS}


def _provenance(log: HarnessLog, declared: Declared) -> dict[str, str]:
    found = {**declared.provenance, "imported_from": log.harness}
    if log.version:
        found["harness_version"] = log.version
    if log.date:
        found["measured"] = log.date
    if log.lacks:
        found["log_lacks"] = ", ".join(log.lacks)
    return found | {f"log.{name}": value for name, value in log.notes.items()}
