"""The only place that builds PyGithub: who we are, how long we wait, what is tried again.

Reads are repeated by PyGithub's own retry. Writes are not: a gateway may say 502 after the work was done, and
between looking and writing somebody else may have written. Whoever writes passes a function to
`Hub.write`, which looks again before each try.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

import requests
from github import Auth, Github, GithubException, GithubIntegration, GithubRetry
from github.Repository import Repository

from gate.errors import GitHubError, UsageError
from gate.github.retry import Say, ToldRetry

PUBLIC_API: Final = "https://api.github.com"
TOKEN_VARIABLES: Final = ("GATE_GITHUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN")
ACTIONS_LOGIN: Final = "github-actions[bot]"
_APP_TOKEN: Final = "ghs_"  # noqa: S105 - how such a token begins
_TOO_MANY: Final = 429
_NO_SUCH_THING: Final = 404
_LOOKS_AGAIN: Final = 2
_FORBIDDEN: Final = 403
_SHOWN: Final = 100
_SERVER: Final = range(500, 600)

T = TypeVar("T")


class Clock(Protocol):
    """What tells the time and waits; a test passes one of its own."""

    def time(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float, /) -> None:
        """Wait."""


@dataclass(frozen=True)
class Pace:
    """How patient we are, in seconds.

    GitHub asks for a second between writes; two keep a busy repository out of its secondary limits. After a
    secondary limit without a Retry-After it asks for a minute. `longest_wait` is for one limit: a reporting
    job that waits longer blocks a runner for nothing. `connections` is how often again a connection is tried
    that nobody takes: a wrong address stays wrong, and each try may take the whole `timeout`.
    """

    between_writes: float = 2.0
    timeout: int = 30
    tries: int = 6
    connections: int = 2
    backoff: float = 1.0
    secondary_wait: float = 60.0
    longest_wait: float = 900.0


@dataclass(frozen=True)
class Credentials:
    """Where GitHub is and who we are; neither the token nor the key is ever shown.

    Either a token, or the id and private key of an App, whose token for one repository is asked for.
    """

    api_url: str = PUBLIC_API
    token: str | None = field(default=None, repr=False)
    app_id: str | None = None
    app_key: str | None = field(default=None, repr=False)
    login: str | None = None

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Credentials:
        """From GITHUB_API_URL, GATE_GITHUB_TOKEN (or GITHUB_TOKEN, GH_TOKEN), GATE_APP_ID and
        GATE_APP_KEY_FILE, GATE_BOT_LOGIN. Never from a command line, which other users of a machine can read.

        Raises:
            UsageError: there is neither a token nor an App.
        """  # noqa: D205 - a list of names
        token = next((environ[name] for name in TOKEN_VARIABLES if environ.get(name)), None)
        app_id, key_file = environ.get("GATE_APP_ID"), environ.get("GATE_APP_KEY_FILE")
        if token is None and not (app_id and key_file):
            raise UsageError(
                "there is no token for GitHub",
                hint=f"set {TOKEN_VARIABLES[0]}, or GATE_APP_ID and GATE_APP_KEY_FILE; never an option",
            )
        return cls(
            api_url=(environ.get("GITHUB_API_URL") or PUBLIC_API).rstrip("/"),
            token=token,
            app_id=app_id if token is None else None,
            app_key=_read_key(Path(key_file)) if key_file and token is None else None,
            login=environ.get("GATE_BOT_LOGIN") or None,
        )


class Hub:
    """One repository on GitHub, and the way to write to it.

    Args:
        credentials: who we are.
        repository: `owner/name`.
        pace: how patient.
        clock: time.
        say: told what is waited for, before each wait: minutes of silence look like a program that hangs.
    """

    def __init__(
        self,
        credentials: Credentials,
        repository: str,
        *,
        pace: Pace | None = None,
        clock: Clock = time,
        say: Say = lambda text: print(f"gate: {text}", file=sys.stderr),
    ) -> None:
        self._pace = pace or Pace()
        self._say = say
        self._clock = clock
        self._last_write = float("-inf")
        self._login = credentials.login
        self.name = repository
        retry = _retry(self._pace, urlsplit(credentials.api_url).netloc.rpartition("@")[2], say)
        with told(repository):
            token = credentials.token or _installation_token(credentials, repository, self._pace, retry)
            self._of_an_app = token.startswith(_APP_TOKEN)
            self.api = _github(Auth.Token(token), credentials.api_url, self._pace, retry)
            self.repository: Repository = self.api.get_repo(repository)

    @property
    def login(self) -> str:
        """The login under which we write.

        A token of an App (Actions' own is one) cannot ask who it is: until something was written, and
        `wrote_as` said so, it is taken for the one of Actions.
        """
        if self._login is None:
            self._login = ACTIONS_LOGIN if self._of_an_app else self.api.get_user().login
        return self._login

    def wrote_as(self, login: str) -> None:
        """Learn from what was written under which login we write."""
        self._login = login

    def write(self, action: Callable[[], T]) -> T:
        """Call `action`, which looks first and then writes, until it got through.

        Limits are waited for as long as GitHub says; server errors and lost connections with a growing
        pause; a 404 at once, because what was found may have been deleted meanwhile.

        Raises:
            GithubException: GitHub said no.
            GitHubError: it did not get through in `Pace.tries` tries.
        """
        for attempt in range(self._pace.tries):
            self._wait_for_turn()
            try:
                return action()
            except (GithubException, requests.ConnectionError, requests.Timeout) as error:
                pause = _pause_after(error, attempt, self._pace, self._clock)
                if pause is None:
                    raise
                if attempt + 1 == self._pace.tries or pause > self._pace.longest_wait:
                    raise GitHubError(
                        f"did not get through (tries: {attempt + 1}): {_said(error)}",
                        where=self.name,
                        hint="nothing was decided by this: publish the same records again later",
                    ) from error
                self._say(f"{self.name}: {_said(error)}; tries again in {pause:.0f} s")
                self._clock.sleep(pause)
            finally:
                self._last_write = self._clock.time()
        raise AssertionError("unreachable: the last try returns or raises")

    def _wait_for_turn(self) -> None:
        rest = self._last_write + self._pace.between_writes - self._clock.time()
        if rest > 0:
            self._clock.sleep(rest)


@contextmanager
def told(where: str) -> Iterator[None]:
    """Turn what PyGithub and requests raise into a GitHubError that says what to do."""
    try:
        yield
    except GithubException as error:
        raise GitHubError(_said(error), where=where, hint=_hint(error)) from error
    except requests.RequestException as error:
        raise GitHubError(
            f"cannot be reached: {type(error).__name__}",
            where=where,
            hint="check GITHUB_API_URL, and HTTPS_PROXY where there is a proxy",
        ) from error


def _retry(pace: Pace, host: str, say: Say) -> GithubRetry:
    # PyGithub's own would send a POST again after a 502, and make a second comment.
    return ToldRetry(
        host=host,
        say=say,
        total=pace.tries,
        connect=min(pace.connections, pace.tries),
        backoff_factor=pace.backoff,
        secondary_rate_wait=pace.secondary_wait,
        max_rate_limit_wait=pace.longest_wait,
        allowed_methods=frozenset({"GET"}),
        status_forcelist=[_TOO_MANY, *_SERVER],
    )


def _github(auth: Auth.Auth, api_url: str, pace: Pace, retry: GithubRetry) -> Github:
    return Github(
        auth=auth,
        base_url=api_url,
        timeout=pace.timeout,
        per_page=100,
        retry=retry,
        seconds_between_requests=0,
        seconds_between_writes=pace.between_writes,
        lazy=True,
    )


def _installation_token(credentials: Credentials, repository: str, pace: Pace, retry: GithubRetry) -> str:
    if credentials.app_id is None or credentials.app_key is None:
        raise UsageError("there is no token for GitHub", hint=f"set {TOKEN_VARIABLES[0]}")
    integration = GithubIntegration(
        auth=Auth.AppAuth(credentials.app_id, credentials.app_key),
        base_url=credentials.api_url,
        timeout=pace.timeout,
        retry=retry,
        seconds_between_writes=0,
    )
    owner, _, name = repository.partition("/")
    return integration.get_access_token(integration.get_repo_installation(owner, name).id).token


def _read_key(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "the App's private key cannot be read",
            where=str(path),
            hint="check GATE_APP_KEY_FILE, and whether this user may read it",
        ) from error


def _pause_after(error: Exception, attempt: int, pace: Pace, clock: Clock) -> float | None:
    """Seconds until the next try; None where another would end the same way."""
    growing = pace.backoff * float(2**attempt)
    if not isinstance(error, GithubException):
        return growing
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    limited = error.status in (_TOO_MANY, _FORBIDDEN)
    if limited and headers.get("retry-after", "").isdigit():
        return float(headers["retry-after"])
    if limited and headers.get("x-ratelimit-remaining") == "0":
        return max(float(headers.get("x-ratelimit-reset", 0)) - clock.time() + 1, growing)
    if error.status == _TOO_MANY or (error.status == _FORBIDDEN and "rate limit" in _said(error).lower()):
        return pace.secondary_wait
    if error.status in _SERVER:
        return growing
    return 0.0 if error.status == _NO_SUCH_THING and attempt < _LOOKS_AGAIN else None


def _said(error: Exception) -> str:
    """What GitHub said, in a line; a connection's error names its address, never its headers."""
    if not isinstance(error, GithubException):
        return type(error).__name__
    message = error.data.get("message") if isinstance(error.data, dict) else error.message
    return f"{error.status} {' '.join(str(message or 'without a message').split())[:300]}"


def _hint(error: GithubException) -> str:
    headers = {name.lower(): value for name, value in (error.headers or {}).items()}
    # As `pull_requests=write; issues=write`, a semicolon between what would do.
    asked = headers.get("x-accepted-github-permissions", "")
    asked = asked.replace("_", "-").replace("=", ": ").replace("; ", " or ")[:_SHOWN]
    asked = f" ({asked})" if asked else ""
    hints = {
        401: f"the token is wrong or has expired; of {', '.join(TOKEN_VARIABLES)} the first one set is taken",
        403: f"the token lacks a permission{asked}: a comment needs pull-requests: write, a check run "
        "checks: write, and only a token of a GitHub App (Actions' own is one) can write check runs",
        404: "check the repository's name, the number of the pull request, and that the token may read them",
    }
    return hints.get(error.status, "see https://www.githubstatus.com if this goes on")
