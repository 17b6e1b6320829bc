"""report.html: one page without a network, with every cell in it, and nothing in it that could run."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.report.changed import flipped, shifts
from gate.report.html import data_of, render_html
from gate.report.page import commands
from tests.support import reports

SCRIPTS = 3  # two libraries, and ours


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

    def sections(self) -> list[dict[str, str | None]]:
        return [section for section in self.all("details") if section.get("class") == "cell"]


def packed(html: str) -> list[dict]:
    """What the page holds for its script."""
    (text,) = re.findall(r'id="cells">([^<]*)</script>', html)
    return json.loads(gzip.decompress(base64.b64decode(text)))


@pytest.fixture(scope="module")
def page() -> Page:
    return Page(render_html(reports.all_six()))


def test_every_cell_has_a_row_and_a_section(page: Page):
    cells = reports.all_six().cells
    assert len([row for row in page.all("tr") if "data-kind" in row]) == len(cells)
    targets = {section["id"] for section in page.sections()}
    assert len(targets) == len(cells)
    assert {link["href"][1:] for link in page.all("a") if link.get("href", "").startswith("#")} == targets


def test_of_many_cells_the_worst_have_a_section_and_the_others_are_packed():
    html = render_html(reports.many(100, failing=3))
    sections, cells = Page(html).sections(), packed(html)
    assert len(sections) == 60
    assert [cell["id"] for cell in cells[:60]] == [section["id"] for section in sections]
    for cell in cells[60:]:
        (made,) = Page(cell["html"]).sections()
        assert made["id"] == cell["id"]


def test_nothing_is_loaded_from_anywhere(page: Page):
    for name, attributes in page.found:
        for attribute in ("src", "href", "xlink:href"):
            assert (attributes.get(attribute) or "#").startswith("#"), (name, attributes)
    (policy,) = [m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")


def test_every_verdict_has_a_shape_and_a_word(page: Page):
    shapes = {symbol["id"] for symbol in page.all("symbol")}
    assert {use["href"][1:] for use in page.all("use")} <= shapes
    for cell in reports.all_six().cells:
        assert f"icon-{cell.verdict.value}" in shapes


def test_charts_are_drawn_from_the_difference_the_looks_and_the_groups():
    cell = reports.detailed()
    data = data_of(cell)
    assert (data["difference"], data["low"], data["high"]) == (cell.difference, *cell.interval)
    assert data["rule"] == pytest.approx(cell.old_rule_minimum - cell.baseline_score)
    assert [look["samples"] for look in data["looks"]] == [look.samples for look in cell.looks]
    assert [group["name"] for group in data["groups"]] == ["Biology", "Chemistry", "Physics"]
    assert data["times"] == cell.numerics.times
    assert data["single"]["needed"] == cell.numerics.single.needed


def test_a_drift_of_a_few_prompts_is_drawn_prompt_by_prompt_and_not_as_one_of_most():
    cell = reports.detailed()
    few = cell.model_copy(update={"numerics": cell.numerics.model_copy(update={"few": True})})
    body = render_html(reports.report_of(few)).partition("<script")[0]
    assert ('data-chart="single"' in body, 'data-chart="numerics"' in body) == (True, False)


def test_a_cell_without_a_difference_has_nothing_to_draw():
    data = data_of(reports.crashed())
    assert (data["difference"], data["looks"], data["groups"], data["times"]) == (None, [], [], None)
    html = render_html(reports.report_of(reports.crashed(), reports.no_baseline()))
    assert 'id="forest"' not in html
    assert "data-chart" not in html.partition("<script")[0]


def test_what_changed_is_told_in_figures():
    changes = reports.detailed().changes
    rows = {row.what: row for row in shifts(changes)}
    assert rows["mean length in tokens"] == ("mean length in tokens", "1,412.6", "1,466.2", "2e-05")
    assert rows["cut off at the token limit"].p_value == "—"
    assert flipped(changes) == "9 lost their majority of right answers, 2 gained one"
    text = Page(render_html(reports.report_of(reports.detailed()))).text
    for said in ("0a1b2c3d4e5f", "broken", "0.32.1.dev7+g1a2b3c4", "2.4 times"):
        assert said in text


def test_a_single_lost_question_is_told_in_the_singular():
    changes = reports.detailed().changes.model_copy(update={"lost": 1, "tokens": None})
    assert flipped(changes).startswith("1 lost its majority")
    assert "mean length in tokens" not in {row.what for row in shifts(changes)}


def test_the_figures_at_the_top_are_those_of_all_cells():
    text = " ".join(Page(render_html(reports.all_six())).text.split())
    assert "Samples generated8,118 of a budget of 20,790" in text
    assert "Saved by stopping early52 % in 2 decided cells" in text


def test_a_report_without_cells_says_so_and_has_no_table():
    html = render_html(reports.report_of())
    assert "no cell was measured" in html
    assert '<table id="table">' not in html
    text = " ".join(Page(html).text.split())
    assert "Next: Find out why no cell was run. False alarms: at most" in text


def test_the_same_report_is_the_same_page():
    assert render_html(reports.all_six()) == render_html(reports.all_six())


def test_only_what_fails_the_run_stands_open():
    page = Page(render_html(reports.report_of(reports.passed(), reports.regressed())))
    assert [("open" in section, section["id"]) for section in page.sections()] == [
        (True, "gfx950/gpt-oss-20b-rocm-mxfp4-fp8/triton"),
        (False, "gfx950/gpt-oss-20b-rocm-mxfp4-fp8/aiter"),
    ]


def hostile_cell(text: str):
    return reports.detailed().model_copy(
        update={
            "reason": text,
            "next_step": text,
            "notes": (text,),
            "provenance_differences": {text: (text, text)},
        }
    )


@settings(max_examples=20, deadline=None)
@given(st.text(min_size=1))
def test_no_text_from_outside_becomes_an_element(text: str):
    hostile = f"</td></script><script>x()</script><img src=x>`<b>`{text}"
    page = Page(render_html(reports.report_of(hostile_cell(hostile))))
    assert len([s for s in page.all("script") if s.get("type") is None]) == SCRIPTS
    assert page.all("img") == []


def test_nor_does_it_in_a_section_that_is_made_later():
    html = render_html(reports.report_of(*[hostile_cell("</details><script>x()</script><img src=x>")] * 61))
    made = Page(packed(html)[60]["html"])
    assert made.sections()
    assert made.all("script") == made.all("img") == []


def test_only_what_stands_in_backticks_is_code():
    assert commands("run `gate run <x>` or `y") == "run <code>gate run &lt;x&gt;</code> or `y"


def test_two_cells_whose_names_differ_only_in_where_they_part_keep_apart():
    html = render_html(reports.report_of(reports.passed("a--b", "c"), reports.passed("a", "b--c")))
    assert [section["id"] for section in Page(html).sections()] == ["gfx950/a--b/c", "gfx950/a/b--c"]
    assert len({cell["id"] for cell in packed(html)}) == 2


def test_one_cell_is_told_in_the_singular():
    text = " ".join(Page(render_html(reports.report_of(reports.passed()))).text.split())
    assert "in 1 decided cell " in text
    assert "1 cells" not in text


def test_a_verdict_that_was_taken_from_a_record_says_when_it_was_measured():
    taken = reports.passed().model_copy(update={"from_record": "2026-11-23T21:00:00+00:00"})
    text = Page(render_html(reports.report_of(taken))).text
    assert "measured by an earlier run of the same commit (2026-11-23T21:00:00+00:00)" in text
