"""What several files of integration tests stand on."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.several import stored_baselines


@pytest.fixture(scope="session")
def three_baselines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One collected baseline, as that of each of three cells; for `Several`, which copies it."""
    return stored_baselines(tmp_path_factory.mktemp("stored"))
