"""A real browser, one for each module."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Watched, chromium


# Not for the whole session: Playwright holds an event loop open in this thread, and tests of asyncio follow.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens a file; when the test is over, no page may have complained or asked the network for anything."""
    pages: list[Watched] = []

    def open_file(file: Path, **look: Any) -> Watched:
        pages.append(Watched(browser, file, **look))
        return pages[-1]

    yield open_file
    for page in pages:
        page.close()
