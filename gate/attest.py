"""`gate attest`: what really ran, from a log alone, held against what the config expects."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from gate.cells import CellSpec, cells_of
from gate.errors import Exit
from gate.model.evidence import Evidence, EvidenceCheck
from gate.serving.engine_log import check_evidence, read_log

# A log is the same on every architecture; the cell's arch is not looked at.
ANY_ARCH = "any"


class Attested(NamedTuple):
    """What the log proves, and each expectation beside it."""

    evidence: Evidence
    checks: tuple[EvidenceCheck, ...]

    @property
    def exit_code(self) -> Exit:
        """PASS where there are expectations and each is confirmed, NOT_MEASURED otherwise."""
        return Exit.PASS if self.checks and all(check.ok for check in self.checks) else Exit.NOT_MEASURED


def attest_log(config: Path, backend: str, log: Path) -> Attested:
    """Read the log line by line (it may be large) and check it against one backend of the config.

    Raises:
        ConfigError, UsageError: the config is wrong, has no such backend, or the log cannot be read.
    """
    (spec,) = cells_of([config], arch=ANY_ARCH, backends=[backend])
    evidence = read_log(log)
    return Attested(evidence, checks_of(spec, evidence))


def attested_rows(found: Attested) -> list[tuple[str, str, str, str]]:
    """A heading, a row for each fact of the log and each expectation, and what becomes of it."""
    rows = [("fact", "the log says", "expected", "")]
    checks = {check.fact: check for check in found.checks}
    for fact in sorted(found.evidence.facts.keys() | checks.keys()):
        check = checks.get(fact)
        said = found.evidence.facts.get(fact) or (check.found if check else None) or "nothing"
        verdict = "" if check is None else "ok" if check.ok else "MISMATCH"
        rows.append((fact, said, check.expected if check else "", verdict))
    return rows


def checks_of(
    spec: CellSpec, evidence: Evidence, accept_unproven: Collection[str] = ()
) -> tuple[EvidenceCheck, ...]:
    """What the engine reported, held against everything the config says must run.

    `accept_unproven` adds to the config's own.
    """
    return check_evidence(
        evidence,
        spec.expect,
        spec.allow_fallback,
        environment=spec.env,
        accept_unproven={*spec.accept_unproven, *accept_unproven},
    )
