"""report.html in a real Chromium: nothing complains, nothing is fetched, and it can be used.

`opened` (conftest.py) holds every page of every test to silence on the console and to no request but its own.
"""

from collections.abc import Callable
from pathlib import Path
from time import process_time

import pytest
from playwright.sync_api import Page

from gate.model.result import GateReport
from gate.report.html import render_html
from tests.support import reports
from tests.support.browser import LOOKS, ROWS, Watched, ready, until

Open = Callable[..., Watched]
TRITON = "gfx950/gpt-oss-20b-rocm-mxfp4-fp8/triton"
CELLS = 5_000
# CPU seconds, several times what they take (docs/benchmarks.md): a machine may be slow.
RENDER_SECONDS = 60
READY_SECONDS = 5
ANSWER_SECONDS = 2


@pytest.fixture(scope="module")
def report_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cell of each verdict, and everything that can be said about the first."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render_html(reports.report_of(reports.detailed(), *reports.all_six().cells[1:])))
    return path


def names(page: Page) -> list[str]:
    return page.locator(f"{ROWS} td:first-child").all_inner_texts()


@pytest.mark.parametrize("look", LOOKS)
def test_it_renders_without_a_serious_accessibility_fault(opened: Open, report_page: Path, look: str):
    watched = opened(report_page, **LOOKS[look])
    page = ready(watched.page)
    assert page.locator(ROWS).count() == len(reports.all_six().cells)
    watched.keep(f"report-{look}", full_page=True)
    assert watched.accessibility_faults() == []
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"{overflow} pixels to the side"


def test_the_forest_plot_has_the_interval_of_every_cell_with_a_difference(opened: Open, report_page: Path):
    page = ready(opened(report_page).page)
    forest = page.locator("#forest svg")
    assert forest.get_attribute("aria-label") == (
        "Difference from the baseline with its 95 % interval, 3 cells"
    )
    lines = forest.evaluate(
        """svg => [...svg.querySelectorAll("line")].map(line => [
          line.getAttribute("stroke") ?? line.parentNode.getAttribute("stroke"),
          line.x1.baseVal.value, line.x2.baseVal.value])"""
    )
    at = {colour: (left, right) for colour, left, right in lines}
    point = (at["var(--ink)"][0] - at["var(--quiet)"][0]) / 3  # from zero to the margin
    for colour, cell in (("var(--bad)", reports.detailed()), ("var(--good)", reports.passed())):
        ends = [(x - at["var(--ink)"][0]) / point / 100 for x in at[colour]]
        assert ends == pytest.approx(cell.interval, abs=0.0005)


def test_an_open_cell_shows_both_tests_its_groups_and_its_numerics(opened: Open, report_page: Path):
    page = ready(opened(report_page).page)
    charts = page.locator(f"[id='{TRITON}'] [data-chart] svg")
    said = [charts.nth(i).get_attribute("aria-label") for i in range(charts.count())]
    assert [text.partition(":")[0] for text in said] == [
        "Sign of a drop after each look, and the boundary",
        "Sign that less than the margin was lost after each look, and the boundary",
        "Score by question group",
        "The log-probabilities moved 2.40 times as far as between healthy runs",
        "How far each of 31 prompts stands out",
    ]
    assert "3.62 of 3.20 needed at 1,584 samples" in said[0]


def test_prompts_past_the_line_are_named_where_they_stand(opened: Open, report_page: Path):
    page = ready(opened(report_page).page)
    drawn = page.locator(f"[id='{TRITON}'] [data-chart=single] svg")
    said = drawn.get_attribute("aria-label")
    assert said.endswith(": 2 past the line, the second furthest at 13 of 5.2 needed")
    line, dots, names = drawn.evaluate(
        """svg => [
          svg.querySelector("line[stroke-dasharray], [stroke-dasharray] line").getBoundingClientRect().y,
          [...svg.querySelectorAll("path[fill='var(--bad)']")].map(dot => dot.getBoundingClientRect().bottom),
          [...svg.querySelectorAll("[stroke='var(--page)'] text")].map(text => text.textContent)]"""
    )
    assert len(dots) == 2
    assert max(dots) < line
    assert names == ["29", "31"]


def crowded() -> GateReport:
    """Names as long as a name may be, and a reason that is one word of 600 letters."""
    long = {"config": "c" * 100, "arch": "a" * 100}
    died = reports.crashed(backend="e" * 100, **long).model_copy(
        update={"reason": "e" * 600, "notes": ("n" * 300,)}
    )
    return reports.report_of(died, *(reports.passed(backend=f"{n}{'b' * 98}{n}", **long) for n in range(2)))


@pytest.mark.parametrize("width", [380, 1100])
def test_long_words_and_names_stay_on_the_page_and_are_told_apart(opened: Open, tmp_path: Path, width: int):
    path = tmp_path / "report.html"
    path.write_text(render_html(crowded()))
    page = ready(opened(path, viewport={"width": width, "height": 800}).page)
    page.evaluate("for (const cell of document.querySelectorAll('details.cell')) cell.open = true")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    drawn = page.locator("#forest svg text").filter(has_text="\N{HORIZONTAL ELLIPSIS}")
    assert [
        text[0] + text[-1] for text in drawn.evaluate_all("all => all.map(one => one.firstChild.data)")
    ] == [
        "a0",
        "a1",
    ]
    left = page.locator("#forest").bounding_box()["x"]
    assert min(drawn.nth(n).bounding_box()["x"] for n in range(2)) >= left


def test_a_closed_cell_is_drawn_when_it_is_opened_by_keyboard(opened: Open, report_page: Path):
    page = ready(opened(report_page).page)
    cell = page.locator(f"[id='{TRITON.replace('triton', 'emulation')}']")
    assert cell.locator("svg[role=img]").count() == 0
    cell.locator("summary").first.focus()
    page.keyboard.press("Enter")
    cell.locator("svg[role=img]").first.wait_for(state="visible")


def test_charts_fit_their_place_again_when_the_window_is_narrowed(opened: Open, report_page: Path):
    page = ready(opened(report_page, viewport={"width": 1200, "height": 800}).page)
    page.set_viewport_size({"width": 400, "height": 800})
    until(page, "document.querySelector('#forest svg').getAttribute('width') < 400")
    until(page, "document.documentElement.scrollWidth <= innerWidth")


def test_a_window_that_opens_a_few_pixels_wide_is_drawn_in_once_it_has_room(opened: Open, report_page: Path):
    page = ready(opened(report_page, viewport={"width": 40, "height": 800}).page)
    assert page.locator("svg[role=img]").count() == 0
    page.set_viewport_size({"width": 900, "height": 800})
    until(page, "document.querySelectorAll('svg[role=img]').length === 6")


def test_typing_filters_table_forest_and_sections(opened: Open, report_page: Path):
    page = ready(opened(report_page).page)
    page.locator("#filter").focus()
    page.keyboard.type("triton gfx950")
    assert names(page) == ["gfx950/gpt-oss-20b-rocm-mxfp4-fp8/triton"]
    assert page.locator("#shown").inner_text() == "1 of 6 cells"
    assert page.locator("#forest svg").get_attribute("aria-label").endswith(", 1 cell")
    assert page.locator("details.cell:visible").count() == 1
    page.locator("#filter").fill("nothing like it")
    assert page.locator("#shown").inner_text() == "0 of 6 cells"
    assert page.locator("#forest").inner_text() == "None of these cells has a difference."


def test_choosing_a_verdict_by_keyboard_shows_its_cells_only(opened: Open, report_page: Path):
    page = ready(opened(report_page).page)
    page.locator("#verdict").focus()
    page.keyboard.type("regression")
    until(page, f"document.querySelectorAll('{ROWS}').length === 1")
    page.locator("#verdict").select_option("")
    assert page.locator(ROWS).count() == 6


@pytest.mark.parametrize("by", ["mouse", "keyboard"])
def test_a_heading_sorts_up_and_down_and_what_has_no_value_comes_last(
    opened: Open, report_page: Path, by: str
):
    page = ready(opened(report_page).page)
    button = page.get_by_role("button", name="Difference")

    def press() -> list[str]:
        if by == "mouse":
            button.click()
        else:
            button.focus()
            page.keyboard.press("Enter")
        return [name.rpartition("/")[2] for name in names(page)[:3]]

    assert press() == ["triton", "emulation", "aiter"]
    assert press() == ["aiter", "emulation", "triton"]
    assert page.get_by_role("columnheader", name="Difference").get_attribute("aria-sort") == "descending"
    forest = page.locator("#forest svg").text_content()
    assert forest.index("aiter") < forest.index("triton")


def test_verdicts_sort_by_how_bad_they_are(opened: Open, report_page: Path):
    page = ready(opened(report_page).page)
    page.get_by_role("button", name="Verdict").click()
    shown = page.locator(f"{ROWS} td:nth-child(2)").all_inner_texts()
    assert [text.strip() for text in shown] == [
        *("regression", "not measured", "incomparable", "inconclusive", "no baseline", "pass")
    ]


def test_on_paper_everything_is_open_and_no_control_is_left(opened: Open, report_page: Path):
    watched = opened(report_page)
    page = ready(watched.page)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.cell:not([open])").count() == 0
    assert page.locator("input:visible, select:visible").count() == 0
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    watched.keep("report-print", full_page=True)
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_paper_is_white_in_the_dark_too(opened: Open, report_page: Path):
    page = ready(opened(report_page, color_scheme="dark").page)
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("library", ["d3/dist/d3.min.js", "@observablehq/plot/dist/plot.umd.min.js"])
def test_the_libraries_in_the_page_are_those_that_the_lock_file_pins(root: Path, library: str):
    ours = root / "gate/report/vendor" / Path(library).name
    assert ours.read_bytes() == (root / "node_modules" / library).read_bytes()


def test_five_thousand_cells_are_ready_and_answer_in_time(opened: Open, tmp_path: Path):
    before = process_time()
    html = render_html(reports.many(CELLS, failing=150))
    assert process_time() - before < RENDER_SECONDS
    assert len(html) < 6_000_000
    path = tmp_path / "report.html"
    path.write_text(html)
    watched = opened(path)
    page = ready(watched.page)
    assert watched.seconds() < READY_SECONDS
    for text, expected in (("config-01", 100), ("config-012", 10), ("", 200)):
        before = watched.seconds()
        page.locator("#filter").fill(text)
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        assert watched.seconds() - before < ANSWER_SECONDS
        assert page.locator(ROWS).count() == expected
    page.get_by_role("button", name="Cell", exact=True).click()
    assert page.locator("#shown").inner_text() == "5,000 cells, the first 200 are shown"
    assert page.locator(ROWS).count() == 200
    page.get_by_role("button", name="Show all 5,000 cells").click()
    assert page.locator(ROWS).count() == CELLS
    assert page.locator("#more").is_hidden()
    page.locator("#filter").fill("config-4321")
    page.locator(f"{ROWS} a").click()
    made = page.locator("details.cell[open]:visible")
    assert "config-4321" in made.locator("summary").first.inner_text()
    made.locator("svg[role=img]").first.wait_for(state="visible")
    watched.keep("report-5000")
