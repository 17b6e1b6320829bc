"""Fixtures that every kind of test may use."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import settings

# No deadline: how long an example takes says something about the machine, not about the code.
settings.register_profile("gate", deadline=None)
settings.load_profile("gate")

ROOT = Path(__file__).resolve().parent.parent


class EmbeddedEngine(NamedTuple):
    """The real vLLM for CPU and the tiny checkpoint, as `make engine` leaves them."""

    command: Path
    model: Path
    dataset: Path


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def embedded_engine() -> EmbeddedEngine:
    """The embedded engine; a test that needs it fails where `make engine` did not run."""
    engine = EmbeddedEngine(
        ROOT / ".venv-engine/bin/vllm",
        ROOT / ".cache/tiny-gpt-oss-w4a8",
        ROOT / ".cache/tiny-questions.csv",
    )
    missing = [str(path) for path in engine if not path.exists()]
    assert not missing, f"run `make engine` first: {missing}"
    return engine
