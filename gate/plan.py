"""What is known of a cell before a server starts: question set, fingerprint, baseline, budget, stream."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

from gate.baseline.pool import reference_of
from gate.cells import CellSpec
from gate.decide import Budget, plan_budget
from gate.errors import UsageError
from gate.evals.load import load_task
from gate.evals.parts import Parts, open_journal, stored_key
from gate.evals.task import Task
from gate.fingerprint import fingerprint_of, gate_version, model_revision
from gate.model.baseline import Reference
from gate.model.canonical import sha256_of
from gate.model.fingerprint import Fingerprint
from gate.model.record import CONFIRMATION_REPEATS
from gate.numerics.plan import ProbePlan, plan_probe
from gate.sequence import Block, blocks, candidate_stream, confirmation_stream, new_stream
from gate.served import BY_THE_GATE, Served

COMMIT: Final = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


@dataclass(frozen=True)
class Plan:
    """One cell, ready to be measured: nothing in here needs a GPU.

    `reference` is the pooled baseline; None where the cell has none, and for a collection, which is
    compared with nothing. `model` is what the engine is told to load: a folder or a hub id. `replays` says
    that the stream is that of a commit: the same samples whoever runs it again. `engine` tells one engine
    under test from another: samples of two are never mixed in one journal. `accept_unproven` is what the
    command line adds to the config's.
    `probe` is what is asked before the first question, None where the cell has no probe.
    """

    purpose: Literal["gate", "baseline"]
    spec: CellSpec
    model: str
    task: Task
    fingerprint: Fingerprint
    reference: Reference | None
    max_repeats: int
    budget: Budget | None
    family_size: int
    stream: str
    replays: bool
    engine: str
    provenance: Mapping[str, str]
    accept_unproven: tuple[str, ...] = ()
    probe: ProbePlan | None = None

    @cached_property
    def blocks(self) -> tuple[Block, ...]:
        """Every block of the budget, in the order they are asked."""
        return blocks(self.task.questions, self.stream, self.max_repeats)

    @property
    def margin(self) -> float:
        """The drop that is to be ruled out: the config's, or the wider one that was accepted."""
        return self.budget.margin if self.budget else self.spec.gate.margin

    @property
    def tolerated_loss(self) -> float:
        """d0: the config's, or the larger one that was measured (`gate calibrate`)."""
        return self.budget.tolerated_loss if self.budget else self.spec.gate.tolerated_loss

    @property
    def comparable(self) -> bool:
        """Whether there is a baseline of the same fingerprint: without one no GPU minute is spent."""
        return self.reference is not None and not self.reference.fingerprint.differences(self.fingerprint)

    @property
    def sequence_key(self) -> dict[str, str | int | float | None]:
        """What a journal must agree with before its samples are used again (design.md: Sequence)."""
        gate = self.spec.gate
        return {
            "purpose": self.purpose,
            "cell": str(self.spec.cell),
            "stream": self.stream,
            "fingerprint": sha256_of(self.fingerprint.model_dump(mode="json")),
            "baseline_sha256": self.reference.sha256 if self.reference else None,
            "engine": self.engine,
            "launch": sha256_of([self.model, *self.spec.server_args, sorted(self.spec.env.items())]),
            "max_repeats": self.max_repeats,
            "family_size": self.family_size,
            "alpha": gate.alpha,
            "alpha_pass": gate.alpha_pass,
            "margin": self.margin,
            "tolerated_loss": self.tolerated_loss,
        }

    @property
    def sequence(self) -> str:
        """The sequence, and the version of the gate that measures it, in one word of 64 hex digits."""
        return sha256_of({**self.sequence_key, "gate": gate_version()})


@dataclass(frozen=True)
class Origins:
    """Where the things a cell is measured with come from, instead of where its config says."""

    baselines: Path
    cache: Path
    model: str | None = None
    dataset_path: Path | None = None
    hf_home: Path | None = None


@dataclass(frozen=True)
class Heads:
    """The commits under test; without them a run is nobody's sequence and draws a stream of its own."""

    head_sha: str | None = None
    base_sha: str | None = None

    def check(self) -> None:
        """Refuse what can mean another commit tomorrow: its journal would answer for an engine never asked.

        Raises:
            UsageError: not a whole commit id.
        """
        for option, commit in (("--head-sha", self.head_sha), ("--base-sha", self.base_sha)):
            if commit and not COMMIT.fullmatch(commit):
                raise UsageError(
                    f"{option} {commit!r} is not a commit id of 40 (or 64) hex digits",
                    hint="write it out: git rev-parse HEAD",
                )


def plan_gate(
    spec: CellSpec,
    origins: Origins,
    heads: Heads,
    *,
    family_size: int,
    accept_wider_margin: bool,
    engine: str,
    provenance: Mapping[str, str],
    served: Served = BY_THE_GATE,
) -> Plan:
    """The plan of a cell that is compared with its baseline.

    Raises:
        StatisticsError: this baseline cannot prove the margin, whatever is spent; says what would.
        BaselineError, DatasetError, UsageError: a file is missing or wrong.
    """
    plan = _plan(
        "gate", spec, origins, family_size=family_size, engine=engine, provenance=provenance, served=served
    )
    plan = replace(plan, reference=reference_of(origins.baselines, spec.cell))
    if heads.head_sha:
        stream = candidate_stream(heads.head_sha, heads.base_sha or "", str(spec.cell))
        plan = replace(plan, stream=stream, replays=True)
    if plan.reference is None or not plan.comparable:
        return plan
    budget = plan_budget(
        plan.reference,
        spec.gate,
        family_size=family_size,
        # What the config lets expect, or what the questions themselves show, if that is more.
        chance=max(spec.task.chance, plan.task.chance),
        accept_wider_margin=accept_wider_margin,
    )
    probe = plan_probe(spec, origins.baselines, plan.fingerprint.model_revision)
    return replace(plan, budget=budget, max_repeats=budget.max_repeats, probe=probe)


def resumed(plan: Plan, journal: Path | Parts) -> Plan:
    """The plan with the stream of an interrupted run of the same sequence, so that it goes on from there.

    Only a run without a commit (`Heads`) draws its stream at random, and needs this.

    Raises:
        RecordError: the journal belongs to another sequence, or another process writes it.
    """
    key = stored_key(journal)
    if key is not None and isinstance(key.get("stream"), str):
        earlier = replace(plan, stream=key["stream"])
        plan = earlier if earlier.sequence_key == key else plan
    if journal.exists() and (plan.comparable or plan.purpose == "baseline"):
        open_journal(journal, plan.sequence_key).close()
    return plan


def plan_confirmation(plan: Plan, *, engine: str, provenance: Mapping[str, str]) -> Plan:
    """The plan of the base build's fresh repeats after a regression of `plan` (statistics.md, Decision).

    Raises:
        UsageError: it is the engine of `plan`, which shares every drop that it has.
    """
    if engine == plan.engine:
        raise UsageError(
            "the base build that is to confirm a drop is the build under test itself",
            where=str(plan.spec.cell),
            hint="name the build of the base commit with --confirm-with or --confirm-with-image",
        )
    return replace(
        plan,
        purpose="baseline",
        reference=None,
        budget=None,
        max_repeats=CONFIRMATION_REPEATS,
        family_size=1,
        stream=confirmation_stream(plan.stream),
        replays=False,
        engine=engine,
        provenance=provenance,
        probe=None,
    )


def plan_collection(
    spec: CellSpec,
    origins: Origins,
    *,
    repeats: int,
    engine: str,
    provenance: Mapping[str, str],
    served: Served = BY_THE_GATE,
) -> Plan:
    """The plan of a fixed-size run for the baseline: its size is declared here, before it starts."""
    plan = _plan(
        "baseline", spec, origins, family_size=1, engine=engine, provenance=provenance, served=served
    )
    return replace(plan, max_repeats=repeats)


def _plan(
    purpose: Literal["gate", "baseline"],
    spec: CellSpec,
    origins: Origins,
    *,
    family_size: int,
    engine: str,
    provenance: Mapping[str, str],
    served: Served = BY_THE_GATE,
) -> Plan:
    model = origins.model or spec.model_name
    task = load_task(
        spec.task,
        spec.sampling,
        reasoning_effort=spec.reasoning_effort,
        served_model=served.model,
        dataset_path=origins.dataset_path,
        cache_dir=origins.cache,
    )
    revision = model_revision(model, spec.model_revision, hf_home=origins.hf_home)
    return Plan(
        purpose=purpose,
        spec=spec,
        model=model,
        task=task,
        fingerprint=fingerprint_of(
            spec,
            task,
            model_revision=revision,
            conversation_date=served.date(spec),
        ),
        reference=None,
        max_repeats=spec.gate.max_repeats,
        budget=None,
        family_size=family_size,
        stream=new_stream(),
        replays=False,
        engine=engine,
        provenance=provenance,
    )
