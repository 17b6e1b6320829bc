"""`gate baseline history`: what was accepted when, by whom and why, and what it scored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from gate.baseline.past import Version
from gate.baseline.show import Row, row_of
from gate.errors import BaselineError
from gate.model.baseline import Acceptance

HEADINGS: Final = ("date", "commit", "cell", "score", "+-95%", "runs", "what", "by", "why")


class Entry(NamedTuple):
    """One baseline at one commit that changed it.

    Args:
        row: its score and noise; None where it is gone or unreadable, and then `problem` says so.
        accepted: the lines that this commit added to its history.
    """

    version: Version
    row: Row | None
    accepted: tuple[Acceptance, ...]
    problem: str | None


def entries(versions: Iterable[Version]) -> Iterator[Entry]:
    """Each version with what it added to the one before; of a range's first ones, the whole history."""
    known: dict[str, tuple[Acceptance, ...]] = {}
    for version in versions:
        if version.baseline is None:
            yield Entry(version, None, (), version.problem or "removed")
            continue
        history = version.baseline.history
        before = known.get(version.cell, ())
        known[version.cell] = history
        added = history[len(before) :] if history[: len(before)] == before else history
        try:
            row = row_of(version.baseline)
        except BaselineError as problem:
            yield Entry(version, None, added, problem.message)
        else:
            yield Entry(version, row, added, None)


def table(found: Iterable[Entry]) -> list[tuple[str, ...]]:
    """A heading, and a row for each acceptance; one for an entry without any."""
    return [HEADINGS, *(texts for entry in found for texts in _texts(entry))]


def plain(entry: Entry) -> dict[str, Any]:
    """The entry as JSON values."""
    version = entry.version
    return {
        "commit": version.commit,
        "date": version.when,
        "author": version.author,
        "cell": version.cell,
        "baseline": entry.row and entry.row._asdict(),
        "accepted": [line.model_dump(mode="json") for line in entry.accepted],
        "problem": entry.problem,
    }


def _texts(entry: Entry) -> Iterator[tuple[str, ...]]:
    version, row = entry.version, entry.row
    start = (version.when[:10], version.commit[:12], version.cell)
    scored = ("-", "-", "-")
    if row is not None:
        width = "-" if row.half_width is None else f"{row.half_width:.4f}"
        scored = (f"{row.score:.4f}", width, str(row.runs))
    if entry.problem is not None:
        yield (*start, *scored, entry.problem, version.author, "")
    elif not entry.accepted:
        yield (*start, *scored, "rewritten", version.author, "")
    for line in entry.accepted:
        yield (*start, *scored, f"{line.act} {line.run}", line.accepted_by, line.reason)
