"""The history page in a real Chromium: what git and records know, drawn, sorted, filtered."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import Page

from gate.fingerprint import git_in
from gate.history import trends_of, write_history
from tests.support.browser import LOOKS, ROWS, Watched, ready
from tests.support.past import RUNS, make_past

Open = Callable[..., Watched]
AITER = "gfx950/gpt-oss-20b/aiter"


@pytest.fixture(scope="module")
def history_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("past")
    found = trends_of(git_in(make_past(folder)), "HEAD", [folder / "out"])
    return write_history(found, folder / "site", now=datetime(2026, 11, 24, tzinfo=UTC))


def chart(page: Page, what: str) -> str:
    return page.locator(f"[id='{AITER}'] [data-chart={what}] svg").get_attribute("aria-label")


@pytest.mark.parametrize("look", LOOKS)
def test_it_renders_without_a_serious_accessibility_fault(opened: Open, history_page: Path, look: str):
    watched = opened(history_page, **LOOKS[look])
    page = ready(watched.page)
    assert page.locator(ROWS).count() == 2
    watched.keep(f"history-{look}", full_page=True)
    assert watched.accessibility_faults() == []
    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert overflow <= 0, f"{overflow} pixels to the side"


def test_scores_refreshes_changes_and_cost_are_drawn(opened: Open, history_page: Path):
    page = ready(opened(history_page).page)
    assert chart(page, "score") == (
        f"Score of gfx950/gpt-oss-20b/aiter over {RUNS + 2} runs, changes of level: 1, accepted refreshes: 2"
    )
    assert chart(page, "cost") == f"Cost of gfx950/gpt-oss-20b/aiter in GPU minutes, {RUNS} runs"
    drawn = page.locator(f"[id='{AITER}'] [data-chart=score] svg")
    assert drawn.locator("circle").count() == RUNS + 2
    assert "\N{MINUS SIGN}11.3" in drawn.text_content()


def test_filter_and_headings_work_by_keyboard(opened: Open, history_page: Path):
    page = ready(opened(history_page).page)
    page.locator("#filter").focus()
    page.keyboard.type("triton")
    assert page.locator("#shown").inner_text() == "1 of 2 cells"
    assert page.locator("details.cell:visible").count() == 1
    page.locator("#filter").fill("")
    page.get_by_role("button", name="Runs").focus()
    page.keyboard.press("Enter")
    assert page.locator(f"{ROWS} td:first-child").all_inner_texts() == [
        "gfx950/gpt-oss-20b/triton",
        "gfx950/gpt-oss-20b/aiter",
    ]


def test_a_cells_own_address_opens_it_and_paper_has_all(opened: Open, history_page: Path):
    watched = opened(history_page)
    page = ready(watched.page)
    page.evaluate("for (const cell of document.querySelectorAll('details.cell')) cell.open = false")
    page.locator(f"{ROWS} a").first.click()
    page.wait_for_selector(f"[id='{AITER}'][open]")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details.cell:not([open])").count() == 0
    watched.keep("history-print", full_page=True)
