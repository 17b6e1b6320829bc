"""report.html in a real Chromium: nothing complains, nothing is fetched, and it can be used."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gate.report.html import render_html
from tests.support import reports
from tests.support.browser import Watched

Open = Callable[..., Watched]
LOOKS = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "wide": {"viewport": {"width": 1600, "height": 1000}},
}
ROWS = "#table tbody tr:not([hidden])"


@pytest.fixture(scope="module")
def report_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(reports.all_six()))
    return path


@pytest.mark.parametrize("look", LOOKS)
def test_it_renders_without_a_serious_accessibility_fault(opened: Open, report_page: Path, look: str):
    watched = opened(report_page, **LOOKS[look])
    assert watched.page.locator(ROWS).count() == len(reports.all_six().cells)
    watched.keep(f"report-{look}", full_page=True)
    assert watched.accessibility_faults() == []
    overflow = watched.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"{overflow} pixels to the side"


def test_typing_filters_the_cells_by_keyboard(opened: Open, report_page: Path):
    page = opened(report_page).page
    page.locator("#filter").focus()
    page.keyboard.type("triton gfx950")
    assert page.locator(ROWS).count() == 1
    assert "triton" in page.locator(ROWS).inner_text()
    assert page.locator("#shown").inner_text() == "1 of 6 cells"


def test_choosing_a_verdict_shows_its_cells_only(opened: Open, report_page: Path):
    page = opened(report_page).page
    page.locator("#verdict").select_option("regression")
    assert page.locator(ROWS).count() == 1
    page.locator("#verdict").select_option("")
    assert page.locator(ROWS).count() == 6


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_heading_sorts_the_cells_up_and_down(opened: Open, report_page: Path, by: str):
    page = opened(report_page).page
    button = page.get_by_role("button", name="Difference")

    def press() -> list[str]:
        if by == "mouse":
            button.click()
        else:
            button.focus()
            page.keyboard.press("Enter")
        return [text.split("\t")[0] for text in page.locator(ROWS).all_inner_texts()]

    up, down = press(), press()
    assert "triton" in up[0]
    assert "triton" not in down[0]
    assert page.get_by_role("columnheader", name="Difference").get_attribute("aria-sort") == "descending"
