"""The history of baselines as a picture: score with its interval over time, a panel a cell."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from gate.baseline.history import Entry
from gate.errors import UsageError
from gate.files import Changed, replace

FORMATS: Final = (".svg", ".png")
MOST_CELLS: Final = 40
PANEL: Final = (9.0, 2.4)
"""Width and height of a panel in inches."""


def plot_history(entries: Sequence[Entry], path: Path) -> None:
    """Write a picture of the scores; what has none (removed, unreadable) is left out.

    A point is a baseline at a commit with its 95 % interval; a dotted line begins each new epoch, a dashed
    one is the anchor.

    Raises:
        UsageError: another file type; matplotlib is missing; nothing, or too much, to draw; `path` cannot be
            written.
    """
    if path.suffix not in FORMATS:
        raise UsageError(f"{path.suffix or 'no'} file type to draw", where=str(path), hint="use .svg or .png")
    cells = sorted({entry.version.cell for entry in entries if entry.row is not None})
    if not 0 < len(cells) <= MOST_CELLS:
        raise UsageError(
            f"{len(cells)} cells to draw, from 1 to {MOST_CELLS} fit a picture",
            hint="choose them with --cell",
        )
    data = _drawn(cells, entries, path.suffix)
    try:
        replace(path, data)
    except (OSError, Changed) as problem:
        raise UsageError(f"cannot be written: {problem}", where=str(path)) from problem


def _drawn(cells: Sequence[str], entries: Sequence[Entry], suffix: str) -> bytes:
    try:
        import matplotlib as mpl  # noqa: PLC0415 - the extra `plot`; everything else works without
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as problem:
        raise UsageError(
            "--plot needs matplotlib", hint="pip install 'vllm-eval-gate[plot]', or read --json elsewhere"
        ) from problem
    width, height = PANEL
    # The same history is the same file: no date, no random ids.
    with mpl.rc_context({"svg.hashsalt": "gate", "svg.fonttype": "none"}):
        figure = Figure(figsize=(width, height * len(cells)), layout="constrained")
        panels = figure.subplots(len(cells), 1, squeeze=False, sharex=True)[:, 0]
        for cell, panel in zip(cells, panels, strict=True):
            found = [entry for entry in entries if entry.version.cell == cell]
            rows = [(_when(entry), entry.row) for entry in found if entry.row is not None]
            panel.errorbar(
                [when for when, _ in rows],
                [row.score for _, row in rows],
                yerr=[row.half_width or 0.0 for _, row in rows],
                marker="o",
                capsize=3,
                linewidth=1,
            )
            pinned = [(when, row.anchor) for when, row in rows if row.anchor is not None]
            if pinned:
                panel.step(*zip(*pinned, strict=True), where="post", linestyle="--", marker="_", color="gray")
            for entry in found:
                if any(line.act == "epoch" for line in entry.accepted):
                    panel.axvline(_when(entry), linestyle=":", color="gray")
            panel.set_title(cell, fontsize="small", loc="left")
            panel.set_ylabel("score")
        figure.autofmt_xdate()
        out = io.BytesIO()
        metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
        figure.savefig(out, format=suffix.removeprefix("."), metadata=metadata)
    return out.getvalue()


def _when(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry.version.when).astimezone(UTC)
