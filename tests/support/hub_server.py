"""A Hugging Face hub in miniature: the part of its HTTP that `snapshot_download` speaks, with faults.

Written from the requests that huggingface_hub 2.4 makes (model info, tree, HEAD and GET of resolve, Range)
and its reading of the answers; large files are those named *.safetensors, whose digest is their SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


class HubServer:
    """One model at one commit, and what was asked for."""

    def __init__(self, model: str, commit: str, files: dict[str, bytes]) -> None:
        self.model = model
        self.commit = commit
        self.files = files
        self.token: str | None = None
        self.corrupt: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        self.down = False
        self.gets: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.requests = 0
        self.url = ""

    def digest(self, path: str) -> str:
        content = self.files[path]
        if path.endswith(".safetensors"):
            return hashlib.sha256(content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324

    def tree(self) -> list[dict[str, object]]:
        rows = []
        for path, content in self.files.items():
            row: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
            if path.endswith(".safetensors"):
                row["lfs"] = {"oid": self.digest(path), "size": len(content), "pointerSize": 134}
            else:
                row["oid"] = self.digest(path)
            rows.append(row)
        return rows


class _Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.requests += 1
        if hub.down:
            self._send(503, b"down", body=body)
        elif hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
            headers = {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access to this model is restricted."}
            self._send(401, b"", headers, body=body)
        elif path in {f"/api/models/{hub.model}/revision/{name}" for name in ("main", hub.commit)}:
            siblings = [{"rfilename": name} for name in hub.files]
            self._json({"id": hub.model, "sha": hub.commit, "siblings": siblings}, body=body)
        elif path == f"/api/models/{hub.model}/tree/{hub.commit}":
            self._json(hub.tree(), body=body)
        elif path.startswith(f"/{hub.model}/resolve/") and path.split("/", 5)[-1] in hub.files:
            self._file(path.split("/", 5)[-1], body=body)
        elif path.startswith(f"/api/models/{hub.model}/"):
            self._send(404, b"", {"X-Error-Code": "RevisionNotFound", "X-Error-Message": "no"}, body=body)
        else:
            self._send(404, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "no"}, body=body)

    def _file(self, name: str, *, body: bool) -> None:
        hub, content = self.hub, self.hub.files[name]
        headers = {
            "X-Repo-Commit": hub.commit,
            "ETag": f'"{hub.digest(name)}"',
            "Accept-Ranges": "bytes",
        }
        if not body:
            self._send(200, content, headers, body=False)
            return
        hub.gets[name] += 1
        wanted = self.headers.get("Range", "")
        begin = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
        if wanted:
            hub.ranges.append(f"{name} {wanted}")
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        if hub.corrupt[name]:
            hub.corrupt[name] -= 1
            content = bytes(byte ^ 1 for byte in content)
        cut = bool(hub.cut[name])
        hub.cut[name] -= cut
        self._send(206 if wanted else 200, content[begin:], headers, body=True, cut=cut)

    def _json(self, value: object, *, body: bool) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"}, body=body)

    def _send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        body: bool,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: a test reads the counters."""


@contextmanager
def hub_server(hub: HubServer) -> Iterator[HubServer]:
    """The hub on a free port, until the block ends."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
