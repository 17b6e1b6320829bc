"""The engine in a real container: what shuts it in, what is recorded, and that nothing of it is left.

    python -m benchmarks.container [--engine .venv-engine] [--stand-in-only]

Installs Podman with Debian's package manager where it is missing (as root), makes images of the embedded
engine and of the stand-in without a registry, in a storage of its own, and runs `gate` with them: to a
verdict, with SIGINT, SIGTERM and SIGKILL, with an engine that dies, and with the real vLLM. Prints a table
and removes everything but the packages. Exits 1 where a row is wrong. Without root it is rootless Podman
that is tried.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from benchmarks.container_image import build, layer
from benchmarks.podman import ENGINE, Podman, described, installed, podman_in
from tests.support.project import LOG, ROOT, STORED, STUB, Project

CONFIG: Final = ROOT / "configs/tiny-gpt-oss-w4a8.yaml"
COMMIT: Final = "0123456789abcdef0123456789abcdef01234567"
WRITTEN: Final = ("/model/x", "/x", "/gate/x", "/tmp/x")  # noqa: S108 - in the container
PAUSE: Final = 0.05
GONE_SECONDS: Final = 60.0
SAMPLES: Final = 15
SECRETS: Final = {
    **{
        "GITHUB_TOKEN": "secret",
        "ACTIONS_RUNTIME_TOKEN": "secret",
        "RUNNER_TEMP": "secret",
        "HF_TOKEN": "secret",
    },
    **{"HTTPS_PROXY": "http://u:secret@127.0.0.1:1", "https_proxy": "http://u:secret@127.0.0.1:1"},
}
STAND_IN: Final = """#!{python}
import json, os, runpy, socket, sys
def attempt(act):
    try:
        act()
    except OSError as error:
        return error.strerror
    return "done"
lines = open("/proc/self/status").read().splitlines()
status = dict(line.split(":\\t", 1) for line in lines if ":\\t" in line)
shut = ("CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")
places = ("127.0.0.1", "192.0.2.1")
print("inside " + json.dumps({{
    "user": f"{{os.getuid()}}:{{os.getgid()}}",
    "status": {{name: status[name] for name in shut}},
    "interfaces": os.listdir("/sys/class/net"),
    "variables": dict(os.environ),
    "writes": {{path: attempt(lambda: open(path, "w").close()) for path in {written!r}}},
    "connects": {{at: attempt(lambda: socket.create_connection((at, {port}), 5)) for at in places}},
}}), flush=True)
sys.argv[1:1] = {options!r}
runpy.run_path("/stand-in/engine.py", run_name="__main__")
"""


class Row(NamedTuple):
    """One line of the table; `wrong` is empty where what was seen is right."""

    check: str
    seen: str
    wrong: str = ""


class Bench(NamedTuple):
    """What the runs share."""

    podman: Podman
    project: Project
    user: str

    def start(self, image: str, out: str) -> subprocess.Popen[str]:
        """`gate run` of the stand-in, with secrets and a proxy around it."""
        words = self.project.arguments("run", engine="unused")
        words[words.index("--out") + 1] = str(self.project.folder / out)
        return self.run([*words, "--engine-image", image], out, SECRETS)

    def run(self, words: list[str], out: str, more: Mapping[str, str]) -> subprocess.Popen[str]:
        """A `gate` command with this container engine; its output is beside its folder."""
        options = ["--container-cli", " ".join(self.podman.words), "--container-user", self.user]
        with (self.project.folder / f"{out}.txt").open("w") as said:
            return subprocess.Popen(
                [*words, *options],
                cwd=ROOT,
                env={**self.podman.environ, **more},
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def said(self, out: str) -> str:
        """What a run printed."""
        return (self.project.folder / f"{out}.txt").read_text()

    def record(self, out: str) -> dict[str, Any]:
        """The only record of a run."""
        (path,) = (self.project.folder / out / "records").glob("*.json")
        return dict(json.loads(path.read_text()))

    def hanging(self, out: str) -> subprocess.Popen[str]:
        """A run in the middle of its cell: its engine answers no more, so it cannot end."""
        process = self.start("localhost/hangs:1", out)
        while sampled(self.project.folder / out) < SAMPLES:
            if process.poll() is not None:
                raise SystemExit(f"the run ended before it was disturbed:\n{self.said(out)}")
            time.sleep(PAUSE)
        return process

    def left(self, tree: list[psutil.Process]) -> str:
        """Containers and processes that there still are, after a while; empty where all are gone."""
        deadline = time.monotonic() + GONE_SECONDS
        while True:
            running = " ".join(str(process.pid) for process in tree if runs(process))
            found = f"{self.podman.names()} {running}".strip()
            if not found or time.monotonic() > deadline:
                return found
            time.sleep(PAUSE)


def sampled(out: Path) -> int:
    """Samples in the journals of a run."""
    return sum(path.read_bytes().count(b"\n") - 1 for path in out.glob("journals/*.jsonl"))


def runs(process: psutil.Process) -> bool:
    """Whether it has not ended."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def verdict(bench: Bench) -> Iterator[Row]:
    """A whole run, and what its engine saw inside."""
    process = bench.start("localhost/stand-in:1", "whole")
    code = process.wait()
    last = bench.said("whole").splitlines()[-1]
    yield Row("`gate run` to its verdict", last, "" if code in (0, 1) else bench.said("whole"))
    (log,) = (bench.project.folder / "whole/logs").glob("*.log")
    lines = [line for line in log.read_text().splitlines() if line.startswith("inside ")]
    inside = json.loads(lines[0].removeprefix("inside "))
    yield equal("user", inside["user"], bench.user)
    yield equal("capabilities", {v for k, v in inside["status"].items() if k.startswith("Cap")}, {"0" * 16})
    yield equal(
        "no new privileges, seccomp filter",
        [inside["status"][k] for k in ("NoNewPrivs", "Seccomp")],
        ["1", "2"],
    )
    yield equal("network interfaces", inside["interfaces"], ["lo"])
    reached = {at for at, told in inside["connects"].items() if told == "done"}
    yield Row("connections to this machine and out", str(inside["connects"]), "reached" if reached else "")
    written = [path for path, told in inside["writes"].items() if told == "done"]
    yield equal("of /model, /, /gate, /tmp it can write", written, list(WRITTEN[2:]))
    leaked = [k for k, v in inside["variables"].items() if k in SECRETS or "secret" in v]
    yield equal("secrets and proxies inside", leaked, [])
    found = bench.record("whole")["provenance"]
    digest = bench.podman.ask("image", "inspect", "--format", "{{.Digest}}", "localhost/stand-in:1")
    told = found["image_digest"]
    yield Row(
        "digest in the record", told, "" if digest in told and found["launcher"] == "container" else digest
    )
    yield equal("containers left", bench.left([]), "")


def equal(check: str, seen: object, wanted: object) -> Row:
    """A row that is right where both are the same."""
    return Row(check, str(seen) or "none", "" if seen == wanted else f"wanted {wanted}")


def signalled(bench: Bench, number: signal.Signals) -> Row:
    """A run that gets a signal in the middle of its cell."""
    process = bench.hanging(number.name)
    named = bench.podman.names()
    tree = psutil.Process(process.pid).children(recursive=True)
    began = time.monotonic()
    process.send_signal(number)
    code = process.wait()
    left = bench.left(tree)
    wanted = -number if number is signal.SIGKILL else 4
    wrong = left or ("" if code == wanted and named.startswith("gate-") else f"exit {code}, named {named!r}")
    return Row(
        f"{number.name} to gate", f"exit {code}, container gone after {time.monotonic() - began:.1f} s", wrong
    )


def both_killed(bench: Bench) -> Iterator[Row]:
    """Gate and warden are killed at once; the next run finds the container."""
    process = bench.hanging("both")
    tree = psutil.Process(process.pid).children(recursive=True)
    (warden,) = (one for one in tree if one.ppid() == process.pid and "warden.py" in " ".join(one.cmdline()))
    warden.suspend()
    process.kill()
    warden.kill()
    process.wait()
    left = bench.podman.names()
    yield Row("SIGKILL to gate and warden", f"left: {left or 'nothing'}")
    code = bench.start("localhost/stand-in:1", "next").wait()
    after = bench.left(tree)
    yield Row(
        "the next run",
        f"exit {code}, left: {after or 'nothing'}",
        after if code in (0, 1) else bench.said("next"),
    )


def dies(bench: Bench) -> Row:
    """An engine that is killed inside, also when it was started again."""
    code = bench.start("localhost/dies:1", "dies").wait()
    why = next((line.strip() for line in bench.said("dies").splitlines() if line.startswith("  why: ")), "")
    wrong = "" if code == 4 and "exited with status 137" in why else bench.said("dies")
    return Row("the engine dies in the container", f"exit {code}, {why}", wrong or bench.left([]))


def real(bench: Bench) -> Row:
    """The embedded model, by the real vLLM for CPU in its image."""
    words = [
        *(sys.executable, "-m", "gate", "run", str(CONFIG), "--backend", "emulation", "--arch", "cpu"),
        *("--engine-image", ENGINE, "--model", str(ROOT / ".cache/tiny-gpt-oss-w4a8"), "--no-probe"),
        *("--dataset-path", str(ROOT / ".cache/tiny-questions.csv"), "--baselines", str(ROOT / "baselines")),
        *("--head-sha", COMMIT, "--out", str(bench.project.folder / "real")),
    ]
    began = time.monotonic()
    code = bench.run(words, "real", {}).wait()
    lines = bench.said("real").splitlines()
    told = next((line for line in lines if line.startswith(("pass:", "fail:", "inconclusive:"))), "nothing")
    wrong = bench.said("real") if told == "nothing" else ""
    return Row(
        "the real vLLM",
        f"exit {code} after {time.monotonic() - began:.0f} s, {told}",
        wrong or bench.left([]),
    )


def images(podman: Podman, engine: Path, port: int) -> None:
    """The stand-in, one that hangs after 20 requests, and one that dies then."""
    python = engine.resolve() / "bin/python"
    faults = {"stand-in": (), "hangs": ("--hangs-after", "20"), "dies": ("--dies-after", "20")}
    for name, options in faults.items():
        given = ["--log", "/stand-in/log", "--accuracy", "0.6", *options]
        program = STAND_IN.format(python=python, written=WRITTEN, port=port, options=given)
        files = {"vllm": program, "engine.py": STUB.read_text(), "log": LOG.read_text()}
        layer(podman.words, f"localhost/{name}:1", ENGINE, files)


def rows(bench: Bench, *, with_engine: bool) -> Iterator[Row]:
    """Every check, in the order of the table."""
    yield from verdict(bench)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        yield signalled(bench, number)
    yield from both_killed(bench)
    yield dies(bench)
    if with_engine:
        yield real(bench)


def main() -> int:
    """Try everything and print a table; 1 where something is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--engine", type=Path, default=ROOT / ".venv-engine")
    parser.add_argument("--stand-in-only", action="store_true", help="leave the real vLLM out")
    options = parser.parse_args()
    installed()
    wrong = []
    with (
        tempfile.TemporaryDirectory(prefix="gate-soak-") as folder,
        socket.create_server(("127.0.0.1", 0)) as listening,
        podman_in(Path(folder)) as settled,
    ):
        build(("podman", "--root", f"{folder}/root", "--runroot", f"{folder}/run"), ENGINE, options.engine)
        podman = settled()
        images(podman, options.engine, listening.getsockname()[1])
        (Path(folder) / "project").mkdir()
        project = Project(Path(folder) / "project")
        if (done := project.collect(*STORED, repeats=64)).code:
            sys.exit(f"no baseline was collected:\n{done.err}")
        user = "1000:1000" if os.getuid() == 0 else f"{os.getuid()}:{os.getgid()}"
        print(f"{described(podman)}\n\n| check | seen | wrong |\n| --- | --- | --- |", flush=True)
        for row in rows(Bench(podman, project, user), with_engine=not options.stand_in_only):
            wrong += [row] if row.wrong else []
            print(f"| {row.check} | {row.seen} | {row.wrong or 'nothing'} |", flush=True)
    print(f"\n{len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
