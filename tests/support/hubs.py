"""Hubs for tests: no pause that a test has to sit through, and the clock is looked at instead."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gate.github.client import Credentials, Hub, Pace
from tests.support.github_fake import FakeGitHub

AT_ONCE = Pace(between_writes=0, timeout=20, backoff=0.01, secondary_wait=0.01)


@dataclass
class Ticks:
    """A clock that jumps instead of waiting, and remembers how far."""

    slept: list[float] = field(default_factory=list)

    def time(self) -> float:
        return time.time() + sum(self.slept)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def hub(
    fake: FakeGitHub,
    token: str | None = None,
    *,
    repository: str = "org/engine",
    pace: Pace = AT_ONCE,
    clock: Ticks | None = None,
    say: Callable[[str], None] = print,
    **credentials: Any,
) -> Hub:
    """A hub of the fake's `org/engine`, with Actions' own token unless another is given."""
    given = Credentials(fake.url, token or fake.token(), **credentials)
    return Hub(given, repository, pace=pace, clock=clock or Ticks(), say=say)
