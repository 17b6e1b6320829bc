"""A stand-in for `vllm serve`: a real process speaking HTTP, with the faults of a real engine's life.

Run as `python lifecycle_stub.py serve MODEL (--port N | --uds PATH) ...`; faults come in STUB_FAULTS,
separated by spaces: exit, never_healthy, deaf (ignores SIGTERM), child (detached grandchild, its pid in
STUB_PID_FILE), worker (child titled VLLM::EngineCore, pid likewise), unhealthy_after=N, die_after=N,
refuse_after=N, crash_line, port_taken_once=PATH, split_line, big_log=MEGABYTES, silent, slow=SECONDS.
"""

import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FAULTS = dict(part.partition("=")[::2] for part in os.environ.get("STUB_FAULTS", "").split())
PREFIX = "(EngineCore pid=7) INFO 11-23 21:00:00 "

CRASH = "(EngineCore pid=7) ERROR 11-23 21:00:09 [core.py:1512] "


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def note_pid(pid: int) -> None:
    with Path(os.environ["STUB_PID_FILE"]).open("a") as file:
        file.write(f"{pid}\n")


def child(title: str, *, detached: bool) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: time.sleep(60)"
    process = subprocess.Popen(
        [title, "-I", "-S", "-c", code], executable=sys.executable, start_new_session=detached
    )
    note_pid(process.pid)


class Handler(BaseHTTPRequestHandler):
    answered = 0
    lock = threading.Lock()

    def do_GET(self) -> None:
        with Handler.lock:
            Handler.answered += 1
            count = Handler.answered
        if count > int(FAULTS.get("die_after", 1 << 30)):
            os._exit(3)
        if count > int(FAULTS.get("refuse_after", 1 << 30)):
            self.server.server_close()
            return
        healthy = "never_healthy" not in FAULTS and count <= int(FAULTS.get("unhealthy_after", 1 << 30))
        if "crash_line" in FAULTS and count == 2:
            say(CRASH + "EngineCore encountered a fatal error.")
            say(CRASH + "torch.OutOfMemoryError: HIP out of memory.")
        self.send_response(200 if healthy else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: access logs are off."""


class UnixServer(ThreadingHTTPServer):
    """The same on a Unix socket."""

    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)


def main() -> None:
    note_pid(os.getpid()) if "STUB_PID_FILE" in os.environ else None
    port = 0 if "--uds" in sys.argv else int(sys.argv[sys.argv.index("--port") + 1])
    if "exit" in FAULTS:
        say("(APIServer pid=6) INFO 11-23 21:00:00 [api_server.py:1] starting")
        say("ValueError: the checkpoint lacks a tensor")
        sys.exit(1)
    if "deaf" in FAULTS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if (once := FAULTS.get("port_taken_once")) and not Path(once).exists():
        Path(once).touch()
        say("OSError: [Errno 98] Address already in use")
        sys.exit(1)
    if "child" in FAULTS:
        child("python", detached=True)
    if "worker" in FAULTS:
        child("VLLM::EngineCore", detached=False)
    if "split_line" in FAULTS:
        sys.stdout.write(PREFIX + "[mxfp4.py:540] Using 'EMULA")
        sys.stdout.flush()
        time.sleep(0.3)
        say("TION' Mxfp4 MoE backend.")
    elif "silent" not in FAULTS:
        say(PREFIX + "[mxfp4.py:540] Using 'EMULATION' Mxfp4 MoE backend.")
        say(PREFIX + "[quark_moe.py:1650] Using EMULATION backend for w_mxfp4_a_fp8")
    for _ in range(int(FAULTS.get("big_log", 0)) * 1024):
        sys.stdout.write("x" * 1023 + "\n")
    sys.stdout.flush()
    time.sleep(float(FAULTS.get("slow", 0)))
    if "--uds" in sys.argv:
        UnixServer(sys.argv[sys.argv.index("--uds") + 1], Handler).serve_forever()
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


main()
