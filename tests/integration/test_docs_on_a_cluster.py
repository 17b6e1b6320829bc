"""The docs' commands for a Ray cluster, typed as printed: two `ray start` and a `gate run`."""

from __future__ import annotations

import os
import shlex
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from tests.support.docs import lines, printed
from tests.support.project import environment, finished
from tests.support.several import CONFIGS, GOOD, Several
from tests.support.waiting import PATIENCE, until

PAGE = "docs/scaling.md"
RAY = Path(sys.executable).with_name("ray")


def test_the_cluster_of_the_docs_measures_every_cell(tmp_path: Path, three_baselines: Path) -> None:
    project = Several(tmp_path, three_baselines)
    head, node = (line.text for line in lines() if line.page == PAGE and line.text.startswith("ray start"))
    (command,) = printed(PAGE, "gate run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = {
        "HEAD:6379": f"127.0.0.1:{port}",
        "gfx950": "cpu",
        '{"gfx950": 1}': '{"cpu": 1}',
        "s3://bucket/gate": f"file://{tmp_path}/store",
    }
    with ExitStack() as cluster:
        # Sockets have short paths.
        short = tempfile.TemporaryDirectory(prefix="gr", dir="/tmp", ignore_cleanup_errors=True)
        temp = cluster.enter_context(short)
        alone = ("--node-ip-address", "127.0.0.1", "--object-store-memory", "80000000", "--block")
        of_head = ("--port", str(port), "--include-dashboard", "false", "--temp-dir", temp)
        started = cluster.enter_context(running(typed(head, here), *of_head, *alone))
        until(lambda: "Active" in status(here["HEAD:6379"]), started)
        started = cluster.enter_context(running(typed(node, here), *alone))
        until(lambda: "cpu" in status(here["HEAD:6379"]), started)
        words = [here.get(word, word) for word in command]
        at = words.index("configs/models-gfx950.txt")
        words[at : at + 1] = sorted(str(path) for path in project.folder.glob("configs/*.yaml"))
        done = finished(
            [
                *(sys.executable, "-m", "gate", *words, "--engine-command", project.engine(*GOOD)),
                *("--model", str(project.model), "--dataset-path", str(project.dataset)),
            ],
            project.folder,
            timeout=PATIENCE,
        )
    assert done.code == 0, done.out + done.err
    assert len(list((tmp_path / "store").rglob("records/*.json"))) == len(CONFIGS)


def typed(line: str, here: dict[str, str]) -> list[str]:
    """The words of a printed line, for this machine."""
    return [here.get(word, word) for word in shlex.split(line, comments=True)]


def status(address: str) -> str:
    """What the cluster says of itself; nothing where there is none yet."""
    return finished([str(RAY), "status", "--address", address], Path.cwd(), timeout=PATIENCE).out


@contextmanager
def running(words: Sequence[str], *more: str) -> Iterator[subprocess.Popen[str]]:
    """`ray start` in the foreground, and everything that it starts; ended in the end."""
    env = environment() | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",
    }
    with subprocess.Popen(
        [*words, *more], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            family = [*psutil.Process(process.pid).children(recursive=True), process]
            for member in family:
                member.kill()
            psutil.wait_procs(family[:-1])
            process.communicate()
