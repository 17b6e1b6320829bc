"""How long report.html of thousands of cells takes to make, to open, and to answer; in a real Chromium.

    python -m benchmarks.report_page --cells 5000

Each cell has ten looks, three groups of questions and four differences of provenance.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from gate.model.result import GateReport
from gate.report.html import render_html
from tests.support import reports
from tests.support.browser import Watched, chromium, ready

ACTIONS = {
    "filter to 100 cells": ("#filter", "config-01"),
    "filter to 10 cells": ("#filter", "config-012"),
    "no filter again": ("#filter", ""),
    "sort by cell": ("th:nth-child(1) button", None),
    "sort by difference": ("th:nth-child(5) button", None),
    "show and draw all": ("#more", None),
}
DRAWN = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"


def report_of(cells: int) -> GateReport:
    """Three in a hundred fail; everything is known of those with a score."""
    full = reports.detailed()
    rich = {name: getattr(full, name) for name in ("looks", "changes", "provenance_differences")}
    report = reports.many(cells, failing=3 * cells // 100)
    told = [c if c.difference is None else c.model_copy(update=rich) for c in report.cells]
    return report.model_copy(update={"cells": tuple(told)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=5000)
    cells = parser.parse_args().cells
    report = report_of(cells)
    render_html(report_of(1))  # templates are compiled once
    before = time.process_time()
    html = render_html(report)
    print(f"{cells:,} cells: {time.process_time() - before:.1f} s of CPU time, {len(html) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder) / "report.html"
        path.write_text(html)
        watched = Watched(browser, path)
        page = ready(watched.page)
        print(f"ready: {watched.seconds():.2f} s of the main thread's CPU time")
        for name, (where, text) in ACTIONS.items():
            before = watched.seconds()
            if text is None:
                page.locator(where).click()
            else:
                page.locator(where).fill(text)
            page.evaluate(DRAWN)
            print(f"{name}: {watched.seconds() - before:.2f} s")
        watched.close()


if __name__ == "__main__":
    main()
