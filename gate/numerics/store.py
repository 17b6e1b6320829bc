"""`<backend>.probe.json`: the probe of an accepted build, and what healthy engines differ from it by."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError, model_validator

from gate.baseline.store import baseline_path
from gate.errors import BaselineError
from gate.files import invalid_field, parse_json, read_bytes, write_bytes
from gate.model.canonical import canonical_json
from gate.model.cell import Cell
from gate.model.fields import Frozen
from gate.model.probe import Probe

SIZE_LIMIT: Final = 4_000_000
SCHEMA: Final = "vllm-eval-gate/probe/1"
REMAKE: Final = "make it again with `gate baseline probe`"


HealthyKind = Literal["rerun", "variant"]


class Healthy(Frozen):
    """One more probe of an engine that was declared healthy, against the stored one.

    `kind`: a `rerun` of the same cell, whose runs show how much runs differ; or a `variant`, another
    arithmetic. `values` (4, n): see `gate.numerics.compare.Distances`; None where a prompt says nothing.
    `equal` of `positions` were the same, bit for bit, in everything that HTTP shows; 0 of 0 where that was
    not looked at.
    """

    name: str
    kind: HealthyKind = "rerun"
    values: tuple[tuple[float | None, ...], ...]
    equal: int = Field(default=0, ge=0)
    positions: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _is_whole(self) -> Healthy:
        if len(self.values) != 4 or len({len(row) for row in self.values}) != 1:  # noqa: PLR2004 - KINDS
            raise ValueError("values must be four rows of equal length")
        if any(value is not None and not 0 <= value < float("inf") for row in self.values for value in row):
            raise ValueError("a distance is negative or endless")
        return self


class ProbeBaseline(Frozen):
    """The content of the file. `provenance` says where the probe is from and who accepted it, and why."""

    schema_: Literal["vllm-eval-gate/probe/1"] = Field(default=SCHEMA, alias="schema")
    probe: Probe
    healthy: tuple[Healthy, ...] = ()
    provenance: dict[str, str]

    @model_validator(mode="after")
    def _is_about_one_set_of_prompts(self) -> ProbeBaseline:
        number = len(self.probe.prefill)
        if len(self.probe.decode) != number or any(len(one.values[0]) != number for one in self.healthy):
            raise ValueError(f"all parts must be about the same {number} prompts")
        return self


def probe_path(root: Path, cell: Cell) -> Path:
    """Where the probe of a cell is, beside its baseline."""
    return baseline_path(root, cell).with_suffix(".probe.json")


def load(root: Path, cell: Cell) -> ProbeBaseline | None:
    """The stored probe of a cell; None where there is none.

    Raises:
        BaselineError: the file is not a probe, too large, or of another cell.
    """
    path = probe_path(root, cell)
    if not path.exists():
        return None
    data = read_bytes(path, limit=SIZE_LIMIT, error=BaselineError)
    value = parse_json(data, where=str(path), error=BaselineError)
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA:
        raise BaselineError(f"is not a probe: its schema is not {SCHEMA}", where=str(path), hint=REMAKE)
    try:
        stored = ProbeBaseline.model_validate(value)
    except ValidationError as problem:
        raise BaselineError(invalid_field(problem), where=str(path), hint=REMAKE) from problem
    if stored.probe.fingerprint.cell != cell:
        raise BaselineError(f"is the probe of {stored.probe.fingerprint.cell}", where=str(path), hint=REMAKE)
    return stored


def render(stored: ProbeBaseline) -> str:
    """The text of the file: keys sorted, one prompt and one healthy comparison a line."""
    value = stored.model_dump(mode="json", by_alias=True)
    probe = value.pop("probe")
    rows = {key: ",\n".join(map(canonical_json, probe.pop(key))) for key in ("decode", "prefill")}
    healthy = ",\n".join(map(canonical_json, value.pop("healthy")))
    inner = canonical_json(probe)[1:-1]
    return (
        f'{{\n"healthy":[\n{healthy}\n],\n"probe":{{{inner},\n"decode":[\n{rows["decode"]}\n],\n'
        f'"prefill":[\n{rows["prefill"]}\n]}},\n{canonical_json(value)[1:-1]}\n}}\n'
    )


def save(path: Path, stored: ProbeBaseline) -> None:
    """Write the file all at once; raises BaselineError."""
    write_bytes(path, render(stored).encode(), error=BaselineError)
