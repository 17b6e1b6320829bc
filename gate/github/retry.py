"""Trying again aloud: minutes of silence look like a program that hangs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, cast

from github import GithubRetry
from urllib3 import BaseHTTPResponse

Say = Callable[[str], None]


class ToldRetry(GithubRetry):
    """PyGithub's retry, which says whom it waits for, why and how long.

    Args:
        host: whom.
        say: told before each wait.
        given: of GithubRetry and urllib3's Retry.
    """

    def __init__(self, *, host: str, say: Say, **given: Any) -> None:  # noqa: ANN401 - urllib3's
        self._host = host
        self._say = say
        super().__init__(**given)

    def new(self, **changes: Any) -> Self:  # noqa: ANN401 - urllib3's
        """The next one; urllib3 makes one for each try."""
        return super().new(**changes, host=self._host, say=self._say)

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: BaseHTTPResponse | None = None,
        error: Exception | None = None,
        *rest: Any,  # noqa: ANN401 - urllib3's
        **named: Any,  # noqa: ANN401 - urllib3's
    ) -> Self:
        """The next try; raises where this was the last."""
        following = super().increment(method, url, response, error, *rest, **named)  # type: ignore[arg-type]
        wait = (following.get_retry_after(response) if response else None) or following.get_backoff_time()
        said = f"answers {response.status}" if response else f"does not answer ({type(error).__name__})"
        self._say(f"{self._host} {said}; tries again in {wait:.0f} s")
        return cast("Self", following)
