"""report.html: one page without a network, with every cell in it, and nothing in it that could run."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.report import charts
from gate.report.html import render_html
from tests.support import reports

VOID = {"meta", "input", "br", "path", "use", "rect", "img"}


class Page(HTMLParser):
    """What a browser would make of it: elements by name with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.found if tag == name]


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_html(reports.all_six()))


def test_every_cell_has_a_row_and_a_section(page: Page):
    cells = reports.all_six().cells
    assert len([row for row in page.all("tr") if "data-verdict" in row]) == len(cells)
    assert len(page.all("details")) == len(cells)
    targets = {section["id"] for section in page.all("details")}
    assert {link["href"][1:] for link in page.all("a") if link.get("href", "").startswith("#")} >= targets


def test_nothing_is_loaded_from_anywhere(page: Page):
    for name, attributes in page.found:
        for attribute in ("src", "href", "xlink:href"):
            assert (attributes.get(attribute) or "#").startswith("#"), (name, attributes)
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_every_picture_says_what_it_shows(page: Page):
    pictures = page.all("svg")
    assert len(pictures) == 1 + sum(bool(cell.looks) for cell in reports.all_six().cells)
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in pictures)


def test_charts_take_their_colours_from_the_page():
    drawn = charts.forest(reports.all_six().cells)
    assert "var(--ink)" in drawn
    # What stands for a role never reaches the page; every colour is a variable or none.
    assert not re.search(r"(?:fill|stroke): ?#[0-9a-f]{6}", drawn)


def test_the_forest_has_a_row_for_each_cell_with_a_difference():
    report = reports.many(30, failing=3)
    drawn = charts.forest(report.cells)
    for cell in report.cells:
        if cell.difference is not None:
            assert str(cell.cell)[-60:] in drawn


def test_cells_without_a_difference_or_looks_have_no_chart():
    assert charts.forest([reports.crashed(), reports.no_baseline()]) == ""
    assert charts.path(reports.crashed()) == ""


def test_the_same_report_is_the_same_page():
    assert render_html(reports.all_six()) == render_html(reports.all_six())


def test_only_what_fails_the_run_stands_open():
    page = Page(render_html(reports.report_of(reports.passed(), reports.regressed())))
    assert [("open" in section, section["id"]) for section in page.all("details")] == [
        (True, "gfx950--gpt-oss-20b-rocm-mxfp4-fp8--triton"),
        (False, "gfx950--gpt-oss-20b-rocm-mxfp4-fp8--aiter"),
    ]


@settings(max_examples=20, deadline=None)
@given(st.text(min_size=1))
def test_no_text_from_outside_becomes_an_element(text: str):
    hostile = f"</td><script>x()</script><img src=x>{text}"
    cell = reports.crashed().model_copy(update={"reason": hostile, "next_step": hostile, "notes": (hostile,)})
    page = Page(render_html(reports.report_of(cell)))
    assert len(page.all("script")) == 1
    assert page.all("img") == []
