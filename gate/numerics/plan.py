"""Which probe a cell gets: its prompts, what it must be comparable with, and when to stop at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gate.errors import UsageError
from gate.evals.asking import Fetcher
from gate.model.probe import Probe, ProbeFingerprint
from gate.model.record import Failure
from gate.numerics.ask import Said, ask_prompts, packed
from gate.numerics.compare import FEWEST_HEALTHY, calibrated, compare
from gate.numerics.cpu import CPUINFO, instruction_set
from gate.numerics.prompts import PromptSet, load_prompts
from gate.numerics.store import ProbeBaseline, load, probe_path
from gate.numerics.words import numerics_line

if TYPE_CHECKING:
    from gate.cells import CellSpec


@dataclass(frozen=True)
class ProbePlan:
    """What a cell is probed with; `baseline` None where a first probe is made."""

    prompts: PromptSet
    fingerprint: ProbeFingerprint
    alpha: float
    baseline: ProbeBaseline | None = None

    async def take(self, client: Fetcher, model: str, clock: Callable[[], float]) -> tuple[Said, Probe]:
        """Ask the engine; in full precision, and as it is stored.

        Args:
            client: an entered client.
            model: the name requests use.
            clock: seconds, monotonic.

        Raises:
            EngineError: see `ask_prompts`.
        """
        began = clock()
        said = await ask_prompts(client, self.prompts, model)
        return said, packed(said, self.fingerprint, clock() - began)

    def stop(self, probe: Probe) -> Failure | None:
        """Why there is no sense in measuring the score: the engine's numbers are broken beyond doubt."""
        if self.baseline is None:
            return None
        numerics = compare(probe, self.baseline, alpha=self.alpha)
        if numerics.state != "broken":
            return None
        return Failure(kind="numerics", message=numerics_line(numerics))


def plan_probe(spec: CellSpec, root: Path, model_revision: str) -> ProbePlan | None:
    """The probe of a cell that has one stored; None where it has not, and a drift is not declared to fail.

    Raises:
        UsageError: the config declares that a drift fails, and nothing that could tell is stored.
        ConfigError, BaselineError: prompts or stored probe are wrong.
    """
    settings, stored = spec.gate.probe, load(root, spec.cell)
    if settings.on_drift == "fail" and (stored is None or not calibrated(stored)):
        found = "no probe" if stored is None else f"only {len(stored.healthy)} healthy comparisons"
        raise UsageError(
            f"`on_drift: fail` needs a noise floor from {FEWEST_HEALTHY} healthy comparisons on this arch: "
            f"{found} in {probe_path(root, spec.cell)}",
            where=str(spec.cell),
            hint="run `gate baseline probe` on an accepted build, or declare `warn`",
        )
    return None if stored is None else first_probe(spec, model_revision, stored)


def first_probe(spec: CellSpec, model_revision: str, baseline: ProbeBaseline | None = None) -> ProbePlan:
    """The probe of a cell on this machine; raises ConfigError where its prompts are wrong."""
    prompts = load_prompts(spec.gate.probe.prompts)
    fingerprint = ProbeFingerprint(
        cell=spec.cell,
        model=spec.model_name,
        model_revision=model_revision,
        prompts=prompts.name,
        prompts_sha256=prompts.sha256,
        instruction_set=instruction_set(spec.cell.arch, CPUINFO),
    )
    return ProbePlan(prompts, fingerprint, spec.gate.probe.alpha, baseline)
