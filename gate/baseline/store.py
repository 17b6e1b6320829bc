"""The committed baselines: one file a cell, one run a line, and no byte that `render` would not write."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gate.baseline.check import check
from gate.errors import BaselineError
from gate.files import content_hash, invalid_field, parse_json, read_bytes, write_bytes
from gate.model.baseline import BASELINE_SCHEMA, Baseline
from gate.model.canonical import canonical_json
from gate.model.cell import Cell

FIRST_SCHEMA: Final = "vllm-eval-gate/baseline/1"
SIZE_LIMIT: Final = 16_000_000
SIDECARS: Final = (".probe", ".calibration")
RESTORE: Final = (
    "restore it from git; a baseline changes only through `gate baseline collect` and `gate refresh`"
)


def baseline_path(root: Path, cell: Cell) -> Path:
    """Where the baseline of a cell is: `<root>/<arch>/<config>/<backend>.json`."""
    if cell.backend.endswith(SIDECARS):
        raise BaselineError(
            f"a backend's name may not end in {' or '.join(SIDECARS)}: those files lie beside baselines",
            where=str(cell),
            hint="give the backend another name in the config",
        )
    return root / cell.arch / cell.config / f"{cell.backend}.json"


def baseline_files(root: Path, patterns: Sequence[str] = ()) -> tuple[Path, ...]:
    """The baselines under `root`, ordered by path; probes and calibrations are none.

    Args:
        root: the store.
        patterns: only of these cells (`matches`); all where empty.

    Raises:
        BaselineError: a pattern fits no baseline.
    """
    found = sorted(root.glob("*/*/*.json"))
    files = [p for p in found if not p.stem.endswith(SIDECARS) and not p.name.startswith(".")]
    cells = {path: path.relative_to(root).with_suffix("").as_posix() for path in files}
    for pattern in patterns:
        if not any(matches(cell, pattern) for cell in cells.values()):
            raise BaselineError(
                f"holds no baseline of a cell like {pattern!r}",
                where=str(root),
                hint="`gate baseline collect CONFIG` makes one",
            )
    return tuple(p for p in files if not patterns or any(matches(cells[p], q) for q in patterns))


def matches(cell: str, pattern: str) -> bool:
    """Whether a cell `arch/config/backend` fits a glob; one without a slash may fit any of the three."""
    return any(fnmatchcase(part, pattern) for part in ([cell] if "/" in pattern else cell.split("/")))


def load(path: Path) -> Baseline:
    """The baseline in `path`, which must be in every byte what `render` writes.

    Raises:
        BaselineError: missing, too large, truncated, merge-conflicted, edited by hand, of a newer schema, or
            of another cell than its path says.
    """
    data = read_bytes(path, limit=SIZE_LIMIT, error=BaselineError)
    baseline = parse(data, where=str(path))
    cell, found = baseline.fingerprint.cell, (path.parent.parent.name, path.parent.name, path.stem)
    if found != (cell.arch, cell.config, cell.backend):
        raise BaselineError(
            f"holds the baseline of {cell}, which belongs elsewhere",
            where=str(path),
            hint="move the file to where its cell belongs, or restore it from git",
        )
    return baseline


def parse(data: bytes, *, where: str) -> Baseline:
    """The baseline in these bytes; `where` names them in errors."""
    if b"\r" in data:
        line = data.count(b"\n", 0, data.index(b"\r")) + 1
        raise BaselineError(
            "has CRLF line ends",
            where=f"{where}:{line}",
            hint="check it out as it was committed: baselines/.gitattributes says eol=lf",
        )
    value = parse_json(data, where=where, error=BaselineError)
    _check_schema(value, where)
    try:
        baseline = Baseline.model_validate(_fields(value))
    except ValidationError as problem:
        raise BaselineError(invalid_field(problem), where=where, hint=RESTORE) from problem
    check(baseline, where=where)
    expected = render(baseline).encode()
    if data != expected:
        line = _first_difference(data, expected)
        raise BaselineError(
            "is not written as the gate writes it: it was edited by hand",
            where=f"{where}:{line}",
            hint=RESTORE,
        )
    return baseline


def render(baseline: Baseline) -> str:
    """The one text of a baseline: keys sorted, one run and one acceptance a line, LF, a last newline.

    In the lists commas stand before an entry: a refresh then adds lines and changes none. The schema is the
    oldest that can say it, so that an older gate reads whatever it understands.
    """
    value = _plain(baseline)
    return "{\n" + ",\n".join(_entry(key, value[key]) for key in sorted(value)) + "\n}\n"


def save(path: Path, baseline: Baseline, *, replaces: Baseline | None) -> None:
    """Write the baseline all at once, if the file still holds what it held when it was read.

    Args:
        path: where `baseline_path` says.
        baseline: the new content.
        replaces: the old content as `load` returned it; None where there was no file.

    Raises:
        BaselineError: somebody else wrote the file meanwhile; disk full; folder read-only. The old file is
            intact after each of them, and after a kill at any point.
    """
    check(baseline, where=str(path))
    before = None if replaces is None else sha256(replaces)
    data = render(baseline).encode()
    write_bytes(path, data, error=BaselineError, allowed=lambda: content_hash(path) == before)


def sha256(baseline: Baseline) -> str:
    """SHA-256 in hex of the file's bytes: `load` refuses every file that `render` would not write."""
    return hashlib.sha256(render(baseline).encode()).hexdigest()


def _plain(baseline: Baseline) -> dict[str, Any]:
    value = baseline.model_dump(mode="json")
    for line in value["history"]:
        if line["act"] == "add":
            del line["act"]
    first = (
        baseline.epoch is None and len(baseline.anchor) <= 1 and not any("act" in h for h in value["history"])
    )
    if first:
        del value["epoch"]
        value["anchor"] = baseline.anchor[0] if baseline.anchor else None
    return value | {"schema": FIRST_SCHEMA if first else BASELINE_SCHEMA}


def _fields(value: Mapping[str, Any]) -> dict[str, Any]:
    """What `_plain` made this of: in the first schema the anchor is one run or none."""
    fields = {key: found for key, found in value.items() if key != "schema"}
    if value["schema"] == FIRST_SCHEMA and "anchor" in fields:
        fields["anchor"] = [] if fields["anchor"] is None else [fields["anchor"]]
    return fields


def _entry(key: str, value: Any) -> str:  # noqa: ANN401 - any JSON value
    if key in ("runs", "history") and value:
        return f"{canonical_json(key)}:[\n" + "\n,".join(map(canonical_json, value)) + "\n]"
    return f"{canonical_json(key)}:{canonical_json(value)}"


def _check_schema(value: object, where: str) -> None:
    if not isinstance(value, dict):
        raise BaselineError("is not a baseline: its top level is not an object", where=where, hint=RESTORE)
    schema = value.get("schema")
    if schema in (FIRST_SCHEMA, BASELINE_SCHEMA):
        return
    name, _, number = BASELINE_SCHEMA.rpartition("/")
    newer = re.fullmatch(rf"{re.escape(name)}/([0-9]{{1,6}})", schema) if isinstance(schema, str) else None
    if newer is None or int(newer[1]) <= int(number):
        raise BaselineError(
            f"is not a baseline: its schema is not {BASELINE_SCHEMA}", where=where, hint=RESTORE
        )
    wanted = max(_gate_versions(value), default=None, key=lambda v: tuple(map(int, v.split("."))))
    raise BaselineError(
        f"has the schema {schema}, and this gate reads up to {BASELINE_SCHEMA}",
        where=where,
        hint=f"install vllm-eval-gate >= {wanted}, which wrote it" if wanted else "install a newer gate",
    )


def _gate_versions(value: Mapping[str, Any]) -> Iterator[str]:
    runs = value.get("runs")
    for run in runs if isinstance(runs, list) else ():
        provenance = run.get("provenance") if isinstance(run, dict) else None
        version = provenance.get("gate_version") if isinstance(provenance, dict) else None
        if isinstance(version, str) and re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){1,3}", version):
            yield version


def _first_difference(data: bytes, expected: bytes) -> int:
    pairs = zip(data.split(b"\n"), expected.split(b"\n"), strict=False)
    for number, (found, wanted) in enumerate(pairs, start=1):
        if found != wanted:
            return number
    return min(data.count(b"\n"), expected.count(b"\n")) + 1
