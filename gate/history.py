"""`gate history`: reads what there is of the past, and writes the page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from gate import records
from gate.baseline.history import entries
from gate.baseline.past import versions
from gate.baseline.store import matches
from gate.errors import RecordError, UsageError
from gate.files import write_bytes
from gate.fingerprint import Git
from gate.model.record import RunRecord
from gate.report.history import render_history
from gate.trend import Trend, plain, trends

ANY: Final = "*__*__*.json"
"""How records are named (`records.record_path`)."""


def trends_of(git: Git, commits: str, stored: Sequence[Path], cells: Sequence[str] = ()) -> tuple[Trend, ...]:
    """What git and stored run records know of each cell.

    Args:
        git: runs git in the store's folder.
        commits: a range REF..REF, or a ref for everything up to it.
        stored: folders of records, searched to their bottom, or single files.
        cells: only of these; all where empty.

    Raises:
        UsageError: no such commits; nothing is known of any cell; ruptures is missing.
        RecordError: a record cannot be read, or does not say when it was measured.
    """
    found = trends(entries(versions(git, commits, cells)), _records(stored, cells))
    if not found:
        raise UsageError(
            "nothing is known of any such cell",
            hint="check --baselines, --records and --cell; a shallow clone lacks most: git fetch --unshallow",
        )
    return found


def write_history(found: Sequence[Trend], folder: Path, *, now: datetime) -> Path:
    """Write index.html and history.json; returns the page.

    Raises:
        UsageError: the folder cannot be written.
    """
    page = folder / "index.html"
    data = json.dumps([plain(trend) for trend in found], indent=1, allow_nan=False) + "\n"
    for path, text in {folder / "history.json": data, page: render_history(found, now=now)}.items():
        write_bytes(path, text.encode(), error=UsageError, hint="give a folder that can be written to")
    return page


def _records(places: Sequence[Path], cells: Sequence[str]) -> Iterator[RunRecord]:
    """Every file below these places that is named as a record is."""
    for place in places:
        if not place.exists():
            raise RecordError("is not there", where=str(place), hint="check --records")
        files = [place] if place.is_file() else sorted(place.rglob(ANY))
        for file in files:
            record = records.read(file)
            if not cells or any(matches(str(record.cell), pattern) for pattern in cells):
                yield record
