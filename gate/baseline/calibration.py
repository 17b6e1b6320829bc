"""What lies beside a baseline: how far runs of one build differ, and what the gate tolerates for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from gate.errors import BaselineError
from gate.files import invalid_field, parse_json, read_bytes, write_bytes
from gate.model.calibration import Calibration
from gate.model.canonical import sha256_of
from gate.model.fingerprint import Fingerprint

SIZE_LIMIT: Final = 1_000_000
AGAIN: Final = "run `gate calibrate` again, or remove the file: the gate then tolerates what the config says"


def calibration_path(baseline: Path) -> Path:
    """Where the calibration of a baseline file is: `<backend>.calibration.json` beside it."""
    return baseline.with_name(f"{baseline.stem}.calibration.json")


def load_calibration(baseline: Path, fingerprint: Fingerprint) -> Calibration | None:
    """What was calibrated for the baseline in this file; None where nothing was.

    Raises:
        BaselineError: unreadable, of a newer schema, or of something else than this baseline measures.
    """
    path = calibration_path(baseline)
    if not path.exists():
        return None
    data = read_bytes(path, limit=SIZE_LIMIT, error=BaselineError)
    parse_json(data, where=str(path), error=BaselineError)
    try:
        found = Calibration.model_validate_json(data)
    except ValidationError as problem:
        raise BaselineError(invalid_field(problem), where=str(path), hint=AGAIN) from problem
    if found.cell != fingerprint.cell or found.fingerprint_sha256 != fingerprint_sha256(fingerprint):
        raise BaselineError(
            "is of runs with another fingerprint than the baseline", where=str(path), hint=AGAIN
        )
    return found


def save_calibration(baseline: Path, calibration: Calibration) -> Path:
    """Write it beside the baseline, all at once, and say where; raises BaselineError."""
    path = calibration_path(baseline)
    text = json.dumps(calibration.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True) + "\n"
    write_bytes(path, text.encode(), error=BaselineError)
    return path


def fingerprint_sha256(fingerprint: Fingerprint) -> str:
    """What tells one measurement from another in a calibration."""
    return sha256_of(fingerprint.model_dump(mode="json"))
