"""The charts of report.html as SVG text: a forest plot of all cells, and the path of each cell's two tests.

Matplotlib draws them with one colour per role, which is then replaced by a CSS variable: the same picture is
right on a light page, on a dark one, and on paper.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from gate.errors import UsageError
from gate.model import CellResult, Verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A colour that stands for a role, and the variable that takes its place. Roles differ in shape or dash, too.
INK: Final = "#010203"
FAINT: Final = "#040506"
GOOD: Final = "#070809"
BAD: Final = "#0a0b0c"
_VARIABLES: Final = {INK: "--ink", FAINT: "--faint", GOOD: "--good", BAD: "--bad"}
_WIDTH: Final = 9.0
_ROW: Final = 0.22
"""Inches."""
_PROLOGUE: Final = re.compile(r"\A.*?(?=<svg )", re.DOTALL)
_LABEL_LIMIT: Final = 60


def forest(cells: Sequence[CellResult]) -> str:
    """Difference and interval of every cell that has one, a row each, beside zero, margin and the old rule.

    Returns:
        SVG; empty where no cell has a difference.

    Raises:
        UsageError: matplotlib is missing.
    """
    drawn = [cell for cell in cells if cell.difference is not None]
    if not drawn:
        return ""
    rows = np.arange(len(drawn))
    low, high = np.array([100 * np.array(cell.interval or (cell.difference,) * 2) for cell in drawn]).T
    middle = 100 * np.array([cell.difference for cell in drawn])
    height = 1.2 + _ROW * len(drawn)
    labels = [str(cell.cell)[-_LABEL_LIMIT:] for cell in drawn]
    left = min(0.085 * max(map(len, labels)) / _WIDTH, 0.5)
    with _canvas(_WIDTH, height) as figure:
        # Placed by hand: a layout engine measures the labels of 5,000 cells again and again.
        axes = figure.add_axes((left, 0.6 / height, 0.98 - left, 1 - 1.2 / height))
        axes.axvline(0, color=INK, linewidth=1)
        axes.hlines(rows, low, high, color=INK, linewidth=1.4)
        for verdicts, colour, marker, name in (
            ({Verdict.PASS}, GOOD, "o", "pass"),
            ({Verdict.REGRESSION}, BAD, "X", "regression"),
            (set(Verdict) - {Verdict.PASS, Verdict.REGRESSION}, FAINT, "D", "anything else"),
        ):
            chosen = np.array([cell.verdict in verdicts for cell in drawn])
            if chosen.any():
                axes.scatter(
                    middle[chosen], rows[chosen], color=colour, marker=marker, zorder=3, s=26, label=name
                )
        _ticks(axes, rows, [cell.margin and -cell.margin for cell in drawn], "|", "the margin")
        _ticks(axes, rows, [_old_rule(cell) for cell in drawn], "^", "the old rule's limit")
        axes.set_yticks(rows, labels)
        axes.set_ylim(len(drawn) - 0.5, -0.5)
        axes.set_xlabel("difference from the baseline, percentage points (95 % interval)")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=5, frameon=False, fontsize="small")
        return _svg(figure, f"Difference from the baseline with its interval, {len(drawn)} cells")


def path(cell: CellResult) -> str:
    """Both test statistics of a cell over samples, each with the boundary it had to reach.

    Returns:
        SVG; empty for a cell without looks.
    """
    if not cell.looks:
        return ""
    samples = [look.samples for look in cell.looks]
    tests = (
        ("a drop", "z_regression", "boundary_regression", BAD),
        ("no drop beyond the margin", "z_pass", "boundary_pass", GOOD),
    )
    with _canvas(_WIDTH, 2.6) as figure:
        figure.subplots_adjust(left=0.05, right=0.99, bottom=0.2, top=0.88, wspace=0.12)
        for axes, (what, statistic, boundary, colour) in zip(figure.subplots(1, 2), tests, strict=True):
            held = [np.nan if (z := getattr(look, statistic)) is None else z for look in cell.looks]
            limits = [getattr(look, boundary) for look in cell.looks]
            axes.plot(samples, limits, color=INK, linestyle="--", marker="_", label="needed")
            axes.plot(samples, held, color=colour, marker="o", markersize=4, label="reached")
            axes.set_title(f"sign of {what}", fontsize="medium")
            axes.set_xlabel("samples")
            axes.legend(frameon=False, fontsize="small")
        return _svg(figure, f"{cell.cell}: both test statistics and their boundaries after each look")


def _old_rule(cell: CellResult) -> float | None:
    if cell.old_rule_minimum is None or cell.baseline_score is None:
        return None
    return cell.old_rule_minimum - cell.baseline_score


def _ticks(axes: Any, rows: Any, places: Sequence[float | None], marker: str, label: str) -> None:  # noqa: ANN401 - matplotlib
    found = [(100 * place, row) for place, row in zip(places, rows, strict=True) if place is not None]
    if found:
        x, y = zip(*found, strict=True)
        axes.scatter(x, y, color=FAINT, marker=marker, s=40, linewidths=1, label=label, zorder=2)


@contextmanager
def _canvas(width: float, height: float) -> Iterator[Figure]:
    try:
        import matplotlib as mpl  # noqa: PLC0415 - the extra `plot`; everything else works without
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as problem:
        raise UsageError(
            "charts need matplotlib", hint="pip install 'vllm-eval-gate[plot]'; report.md needs nothing"
        ) from problem
    style: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "gate",
        "font.family": "sans-serif",
        "font.size": 9,
        "text.parse_math": False,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": FAINT,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
    }
    with mpl.rc_context(style):
        yield Figure(figsize=(width, height))


def _svg(figure: Figure, said: str) -> str:
    """The figure as one `<svg>` element that says what it shows, its colours as CSS variables."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = _PROLOGUE.sub("", out.getvalue())
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    label = said.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
