"""The fake as a real HTTP server: validation on both sides, permissions, faults, and what was asked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from tests.support.github_fake import actions, checks, code, issues, pulls
from tests.support.github_fake.calls import HANDLERS, Call, Refused, Reply
from tests.support.github_fake.description import Match, github
from tests.support.github_fake.state import Identity, Repository, World

# The modules register their operations when they are imported.
_PARTS: Final = (actions, checks, code, issues, pulls)
ENTERPRISE: Final = "/api/v3"
NOT_ALLOWED: Final = "Resource not accessible by integration"


@dataclass
class Fault:
    """What goes wrong the next `times` an operation is asked for.

    `reply` instead of an answer; `drop`: the connection ends without one; `after`: the work is done first,
    as when a gateway gives up too early; `delay`: seconds before the answer; `meanwhile` runs before the
    operation does, in the middle of somebody's find and edit.
    """

    operation: str
    reply: Reply | None = None
    drop: bool = False
    after: bool = False
    delay: float = 0.0
    meanwhile: Callable[[], object] | None = None
    times: int = 1


class Asked(NamedTuple):
    """One request as it arrived."""

    operation: str
    login: str
    path: str
    query: dict[str, str]
    body: Any
    at: float
    headers: dict[str, str]


@dataclass
class FakeGitHub:
    """The server; use it as a context manager. `violations` is what GitHub would not have accepted."""

    folder: Path
    enterprise: bool = False
    violations: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(self.folder)
        self.lock = threading.RLock()
        self.app_keys: dict[str, str] = {}

    def __enter__(self) -> FakeGitHub:
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """What GITHUB_API_URL should say."""
        return f"http://127.0.0.1:{self._server.server_port}" + (ENTERPRISE if self.enterprise else "")

    def repository(self, name: str, *, fork_of: Repository | None = None) -> Repository:
        """A new repository."""
        return self.world.repository(name, fork_of=fork_of)

    def token(self, login: str | None = None, **fields: Any) -> str:
        """A token: that of Actions unless a login is given."""
        return self.world.token(login, **fields) if login else self.world.token(**fields)

    def fail(self, operation: str, **what: Any) -> Fault:
        """Let something go wrong; see Fault."""
        assert operation in HANDLERS, operation
        fault = Fault(operation, **what)
        self.faults.append(fault)
        return fault

    def count(self, operation: str) -> int:
        """How often an operation was asked for."""
        return sum(asked.operation == operation for asked in self.asked)

    def writes(self) -> list[Asked]:
        """Everything that was asked for but reads, in order."""
        return [a for a in self.asked if github().operations[a.operation].method != "GET"]

    def fault_for(self, operation: str) -> Fault | None:
        """The next fault of an operation, used up."""
        with self.lock:
            for fault in self.faults:
                if fault.operation == operation and fault.times > 0:
                    fault.times -= 1
                    return fault
        return None

    def answer(self, match: Match, who: Identity, call: Call) -> Reply:
        """What the operation says, filled in and held against the description."""
        handler = HANDLERS[match.operation.id]
        allowed = not handler.needs or any(who.may(need) for need in handler.needs)
        with self.lock:
            try:
                reply = handler.answer(call) if allowed else _lacking(handler.needs)
            except Refused as refused:
                reply = refused.reply
            except Exception as error:
                self.violations.append(f"the fake itself failed at {match.operation.id}: {error!r}")
                raise
        body = None if reply.body is None else match.operation.fill(reply.status, reply.body)
        for problem in match.operation.problems_of_response(reply.status, body):
            self.violations.append(f"the fake's own answer to {match.operation.id}: {problem}")
        return reply._replace(body=body)


class _Handler(BaseHTTPRequestHandler):
    fake: FakeGitHub
    protocol_version = "HTTP/1.1"
    # A small answer would wait for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = -1

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PATCH = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test asks for `asked`."""

    def _serve(self) -> None:
        address = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = address.path
        if self.fake.enterprise:
            path = path.removeprefix(ENTERPRISE)
        if path.startswith("/_storage/"):
            self._stored(path)
            return
        if path.startswith("/_upload/"):
            self._upload(path, raw)
            return
        match = github().match(self.command, path, tuple(HANDLERS))
        if match is None:
            known = github().match(self.command, path)
            what = f"not in this fake: {known.operation.id}" if known else "no such operation at GitHub"
            self._refuse(f"{self.command} {path}: {what}", 404)
            return
        who = self._who()
        if who is None:
            self._send(Reply(401, {"message": "Bad credentials"}))
            return
        query, body = dict(parse_qsl(address.query)), json.loads(raw) if raw else None
        name = match.operation.id
        with self.fake.lock:
            self.fake.asked.append(
                Asked(name, who.login, path, query, body, time.monotonic(), dict(self.headers))
            )
        problems = list(match.operation.problems_of_request(match.parameters, query, body))
        if problems:
            self._refuse(f"{name}: {'; '.join(problems)}", 422)
            return
        parameters = match.parameters | {"*": path}
        self._act(match, who, Call(self.fake.world, who, self.fake.url, parameters, query, body))

    def _act(self, match: Match, who: Identity, call: Call) -> None:
        fault = self.fake.fault_for(match.operation.id)
        if fault is not None:
            if fault.meanwhile is not None:
                fault.meanwhile()
            if fault.delay:
                time.sleep(fault.delay)
            if fault.after:
                self.fake.answer(match, who, call)
            if fault.drop:
                self.close_connection = True
                self.connection.close()
                return
            if fault.reply is not None:
                self._send(fault.reply)
                return
        self._send(self.fake.answer(match, who, call))

    def _who(self) -> Identity | None:
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() not in ("token", "bearer"):
            return None
        if token.count(".") == 2:  # a JWT of an app; which one is what its issuer says
            return _issuer(token, self.fake.app_keys)
        return self.fake.world.tokens.get(token)

    def _stored(self, path: str) -> None:
        assert "Authorization" not in self.headers, "a token was sent to the storage"
        for repository in self.fake.world.repositories.values():
            found = repository.artifacts.get(int(path.rpartition("/")[2]))
            if found is not None:
                self._write(200, found[1], {"Content-Type": "application/zip"})
                return
        self._write(404, b"", {})

    def _upload(self, path: str, content: bytes) -> None:
        """What actions/upload-artifact does, by a protocol of its own: /_upload/RUN/NAME."""
        run_id, name = path.removeprefix("/_upload/").split("/")
        for repository in self.fake.world.repositories.values():
            run = repository.runs.get(int(run_id))
            if run is not None:
                repository.add_artifact(run, name, content)
        self._write(204, b"", {})

    def _refuse(self, problem: str, status: int) -> None:
        self.fake.violations.append(problem)
        self._send(Reply(status, {"message": f"Invalid request. {problem}"}))

    def _send(self, reply: Reply) -> None:
        data = b"" if reply.body is None else json.dumps(reply.body).encode()
        self._write(reply.status, data, {"Content-Type": "application/json", **reply.headers})

    def _write(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()
        except (BrokenPipeError, ConnectionResetError):  # a client that did not wait: what slow tests want
            self.close_connection = True


def _lacking(needs: Sequence[str]) -> Reply:
    """GitHub names in a header which permissions would have done."""
    would_do = "; ".join(need.replace(":", "=") for need in needs)
    return Refused(403, NOT_ALLOWED).reply._replace(headers={"X-Accepted-GitHub-Permissions": would_do})


def _issuer(token: str, keys: dict[str, str]) -> Identity | None:
    import jwt

    for app, key in keys.items():
        try:
            jwt.decode(token, key, algorithms=["RS256"], options={"verify_aud": False})
        except jwt.InvalidTokenError:
            continue
        return Identity(app, frozenset(), kind="jwt", app=app)
    return None
