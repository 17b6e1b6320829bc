"""Pictures: the history of baselines, a panel a cell, and what a gate does by the true drop."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gate.baseline.history import Entry
from gate.decide.words import count
from gate.errors import UsageError
from gate.files import write_bytes
from gate.stats.power import PowerTable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    cells = sorted({entry.version.cell for entry in entries if entry.row is not None})
    if not 0 < len(cells) <= MOST_CELLS:
        raise UsageError(
            f"{len(cells)} cells to draw, from 1 to {MOST_CELLS} fit a picture",
            hint="choose them with --cell",
        )
    width, height = PANEL

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(cells), 1, squeeze=False, sharex=True)[:, 0]
        for cell, panel in zip(cells, panels, strict=True):
            _draw_history(panel, cell, [entry for entry in entries if entry.version.cell == cell])
        figure.autofmt_xdate()

    _write(path, draw, size=(width, height * len(cells)))


def plot_power(table: PowerTable, path: Path) -> None:
    """Write a picture of what a gate does by the true drop, the old rule beside it, and what it costs.

    Raises:
        UsageError: another file type; matplotlib is missing; `path` cannot be written.
    """
    drops = [100 * row.drop for row in table.rows]
    shares = {
        "fails": ([100 * row.regression for row in table.rows], "o-"),
        "passes": ([100 * row.passed for row in table.rows], "s-"),
        "the old rule fails": ([100 * row.old_rule for row in table.rows], "^:"),
    }

    def draw(figure: Figure) -> None:
        rates, cost = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        for name, (values, style) in shares.items():
            rates.plot(drops, values, style, label=name)
        rates.axvline(100 * table.margin, linestyle="--", color="gray", label="margin")
        rates.set_ylabel("% of the gates")
        rates.set_ylim(-2, 102)
        rates.legend(fontsize="small")
        rates.set_title(
            f"{count(table.design.questions, 'question')}, "
            f"{count(table.design.baseline_repeats, 'baseline repeat')}, "
            f"up to {count(table.max_repeats, 'repeat')}",
            fontsize="small",
            loc="left",
        )
        cost.plot(drops, [row.samples for row in table.rows], "o-", color="gray")
        cost.set_ylim(0, 1.05 * table.samples)
        cost.set_ylabel("samples")
        cost.set_xlabel("true drop in points")

    _write(path, draw, size=(7.0, 5.5))


def _draw_history(panel: Any, cell: str, found: Sequence[Entry]) -> None:  # noqa: ANN401 - Axes takes dates
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


def _write(path: Path, draw: Callable[[Figure], None], *, size: tuple[float, float]) -> None:
    """Draw and write all at once; what is drawn the same is the same file: no date, no random ids."""
    if path.suffix not in FORMATS:
        raise UsageError(f"{path.suffix or 'no'} file type to draw", where=str(path), hint="use .svg or .png")
    try:
        import matplotlib as mpl  # noqa: PLC0415 - the extra `plot`; everything else works without
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as problem:
        raise UsageError(
            "--plot needs matplotlib", hint="pip install 'vllm-eval-gate[plot]', or read --json elsewhere"
        ) from problem
    with mpl.rc_context({"svg.hashsalt": "gate", "svg.fonttype": "none"}):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        out = io.BytesIO()
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        figure.savefig(out, format=path.suffix.removeprefix("."), metadata=metadata)
    write_bytes(path, out.getvalue(), error=UsageError, hint="give another path, ending in .svg")


def _when(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry.version.when).astimezone(UTC)
