"""A real browser, one for all tests of pages."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.support.browser import Watched, chromium


@pytest.fixture(scope="session")
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
