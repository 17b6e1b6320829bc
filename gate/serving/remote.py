"""A server that somebody else runs: introduced before anything is asked, watched while it is.

    gate run CONFIG --base-url http://gpu-7:8000 --arch gfx950 --conversation-date 2026-01-01 --engine-log LOG

Nothing is started, stopped or started again. What it says over HTTP proves its configuration at most; which
kernels ran is in its log only.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from gate.errors import EngineError, EngineLost, UsageError
from gate.model.evidence import Evidence
from gate.serving.engine_log import merged, read_log
from gate.serving.server_info import (
    ServedModel,
    ServerInfo,
    read_models,
    read_server_info,
    read_version,
)

API_KEY_VARIABLE: Final = "GATE_API_KEY"
WATCH_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 60.0  # /server_info asks pip and the driver the first time
_HEALTH_SECONDS: Final = 10.0
_LIMIT: Final = 8_000_000
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Address:
    """Where the server is, and what its owner says of it.

    Args:
        url: http(s)://host[:port][/prefix]; a trailing /v1 is left out.
        model: the name that requests use; None where it serves only one.
        conversation_date: the date it tells the model, as its owner declares; `none` where it tells none.
        log: its log, if it can be read here.
        api_key: sent as a bearer token, never shown.
    """

    url: str
    model: str | None = None
    conversation_date: str | None = None
    log: Path | None = None
    api_key: str | None = field(default=None, repr=False)

    def check(self) -> None:
        """Refuse an address that cannot be asked, or that would leak.

        Raises:
            UsageError: says which part, without quoting a password.
        """
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(
                "--base-url is not http://HOST:PORT or https://HOST",
                hint="write it like http://127.0.0.1:8000, without a path",
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UsageError(
                "--base-url holds credentials or a query", hint=f"give a key in {API_KEY_VARIABLE} instead"
            )
        if self.conversation_date is None:
            raise UsageError(
                "with --base-url the date that the server tells the model must be declared",
                hint="--conversation-date 2026-01-01 if it runs with VLLM_SYSTEM_START_DATE=2026-01-01; "
                "`--conversation-date none` if its model is told no date",
            )
        if self.conversation_date != "none" and not _DATE.fullmatch(self.conversation_date):
            raise UsageError(
                f"--conversation-date {self.conversation_date!r} is neither YYYY-MM-DD nor none",
                hint="write it like 2026-01-01, or none where the server tells no date",
            )

    @property
    def base(self) -> str:
        """The URL that paths are added to."""
        return self.url.rstrip("/").removesuffix("/v1")

    @property
    def host(self) -> str:
        """What a record may say of the address."""
        return urllib.parse.urlsplit(self.url).netloc.rpartition("@")[2]

    def headers(self) -> dict[str, str]:
        """What is sent with every request."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    @property
    def declared_date(self) -> str | None:
        """The date for the fingerprint."""
        return None if self.conversation_date == "none" else self.conversation_date


@dataclass(frozen=True)
class Remote:
    """A server as it introduced itself."""

    address: Address
    model: ServedModel
    version: str | None
    info: ServerInfo | None

    def provenance(self) -> dict[str, str]:
        """What it says of its versions, where it is, and what nobody but its owner vouches for."""
        known = dict(self.info.versions) if self.info else {}
        if self.version:
            known["engine_version"] = self.version
        declared = [
            "arch",
            "model",
            *([] if self.info and self.info.conversation_date else ["conversation_date"]),
        ]
        return {**known, "server": self.address.host, "declared": ", ".join(declared)}

    def evidence(self) -> Evidence:
        """What it has said so far: over HTTP, and in its log where that can be read."""
        said = self.info.evidence() if self.info else Evidence()
        if self.version:
            facts = {"engine_version": self.version}
            said = merged(said, Evidence(facts=facts, source="server_info"))
        return merged(read_log(self.address.log), said) if self.address.log else said


@dataclass(frozen=True)
class RemoteServer:
    """In a launcher's place: there is nothing to launch, and no second start."""

    address: Address

    def check(self) -> None:
        """Raise `UsageError` for an address that cannot be asked."""
        self.address.check()

    def placed(self, environment: Mapping[str, str]) -> RemoteServer:
        """The same server: which GPUs it sees is its owner's affair."""
        return self


def introduce(address: Address) -> Remote:
    """Ask a server who it is.

    Raises:
        UsageError: it contradicts what its owner declares, or serves several models and none was named.
        EngineError: it cannot be reached, or is no vLLM.
    """
    address.check()
    models = read_models(_get(address, "/v1/models", needed=True))
    named = [model for model in models if address.model in {None, model.id}]
    if len(named) != 1:
        served = ", ".join(model.id for model in models) or "nothing"
        raise UsageError(
            f"the server serves {served}",
            where=address.host,
            hint="say which of them is under test with --served-model",
        )
    info = read_server_info(_get(address, "/server_info?config_format=json"))
    if info and info.conversation_date and info.conversation_date != address.declared_date:
        raise UsageError(
            f"the server tells its model the date {info.conversation_date}, and not, as declared, "
            f"{address.conversation_date}",
            where=address.host,
            hint="declare what it really does with --conversation-date",
        )
    return Remote(address, named[0], read_version(_get(address, "/version")), info)


class RemoteEngine:
    """A `Remote` while it is measured."""

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def base_url(self) -> str:
        """Where it answers."""
        return self._address.base

    @property
    def headers(self) -> Mapping[str, str]:
        """The key, where there is one."""
        return self._address.headers()

    @property
    def socket(self) -> None:
        """None: it has a host."""
        return

    async def evidence(self) -> Evidence:
        """What it says now: it may have been replaced since it introduced itself."""
        return (await asyncio.to_thread(introduce, self._address)).evidence()

    async def died(self) -> EngineLost:
        """Return when it can no longer be reached or says 503, twice in a row."""
        failures = 0
        while failures < 2:  # noqa: PLR2004 - one may be a hiccup
            await asyncio.sleep(WATCH_SECONDS)
            alive = await asyncio.to_thread(_healthy, self._address)
            failures = 0 if alive else failures + 1
        return EngineLost(
            "the server is unwell or can no longer be reached",
            where=self._address.host,
            hint="the same command goes on from the journal once it is back",
        )


@asynccontextmanager
async def remote_engine(address: Address) -> AsyncIterator[RemoteEngine]:
    """The engine at `address` for the length of the block; nothing is started or stopped."""
    yield RemoteEngine(address)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to somebody else."""

    def redirect_request(self, *_: Any) -> None:  # noqa: ANN401 - six arguments, none of them used
        return None


def _open(address: Address, path: str, seconds: float) -> tuple[int, bytes]:
    request = urllib.request.Request(address.base + path, headers=address.headers())  # noqa: S310 - http(s), checked
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
    try:
        with opener.open(request, timeout=seconds) as reply:
            return reply.status, reply.read(_LIMIT)
    except urllib.error.HTTPError as error:
        return error.code, b""


def _get(address: Address, path: str, *, needed: bool = False) -> Any:  # noqa: ANN401 - somebody else's JSON
    """The JSON at `path`; None where it is not there and not needed."""
    try:
        status, raw = _open(address, path, _ANSWER_SECONDS)
        if status == HTTPStatus.OK:
            return json.loads(raw)
    except (OSError, ValueError, http.client.HTTPException) as error:
        status, problem = 0, f"cannot be asked: {_why(error)}"
    else:
        problem = f"answers HTTP {status}"
    if needed or status == 0:
        hint = f"check --base-url; a server with a key needs {API_KEY_VARIABLE}"
        raise EngineError(f"{path} {problem}", where=address.host, hint=hint)
    return None


def _why(error: Exception) -> str:
    """`Connection refused` rather than `URLError`; of anything else its class, which quotes no reply."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return (isinstance(cause, OSError) and cause.strerror) or type(cause).__name__


def _healthy(address: Address) -> bool:
    """Whether anybody answers; a gateway without /health is no reason for alarm."""
    try:
        return _open(address, "/health", _HEALTH_SECONDS)[0] != HTTPStatus.SERVICE_UNAVAILABLE
    except TimeoutError:
        return True  # slow is not dead: the hang watchdog judges that
    except (OSError, http.client.HTTPException) as error:
        return isinstance(getattr(error, "reason", None), TimeoutError)
