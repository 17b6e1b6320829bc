"""A Podman with a storage and settings of its own, of which nothing is left."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.support.project import environment

ENGINE: Final = "localhost/gate-engine:1"
PACKAGES: Final = ("podman", "crun", "runc", "catatonit", "uidmap", "fuse-overlayfs")
RUNTIMES: Final = ("crun", "runc")


class Podman(NamedTuple):
    """A Podman with a storage of its own."""

    words: tuple[str, ...]
    environ: Mapping[str, str]

    def ask(self, *words: str) -> str:
        """What it prints; raises CalledProcessError."""
        done = subprocess.run(
            [*self.words, *words], env=dict(self.environ), capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def names(self) -> str:
        """Its containers, running or not."""
        return self.ask("ps", "--all", "--format", "{{.Names}}")


def installed() -> None:
    """Install Podman where it is missing; exits where only an administrator can."""
    if shutil.which("podman"):
        return
    if os.getuid() != 0 or not shutil.which("apt-get"):
        sys.exit(f"Podman is missing: have {' '.join(PACKAGES)} installed")
    subprocess.run(["/usr/bin/apt-get", "update", "-qq"], check=True)
    subprocess.run(["/usr/bin/apt-get", "install", "-qq", "--no-install-recommends", *PACKAGES], check=True)


@contextmanager
def podman_in(folder: Path) -> Iterator[Callable[[], Podman]]:
    """A Podman whose images, containers and settings are all in `folder`; what it yields finds a runtime."""
    words = ("podman", "--root", str(folder / "root"), "--runroot", str(folder / "run"))
    settings = folder / "containers.conf"
    # Another gate of this machine ends what a killed one left, too: its notes are kept apart in TMPDIR.
    (folder / "tmp").mkdir()
    own = {"CONTAINERS_CONF": str(settings), "TMPDIR": str(folder / "tmp")}
    podman = Podman(words, {**environment(), **own})

    def write(runtime: str) -> None:
        # A machine that is itself shut in may not raise its limits to Podman's own.
        files, processes = (
            resource.getrlimit(kind)[1] for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)
        )
        nofile, nproc = (
            min(number, most) if number > 0 else most
            for number, most in ((files, 1048576), (processes, 32768))
        )
        limits = json.dumps([f"nofile={nofile}:{nofile}", f"nproc={nproc}:{nproc}"])
        settings.write_text(
            f"[containers]\ndefault_ulimits = {limits}\n"
            f'[engine]\ncgroup_manager = "cgroupfs"\nruntime = "{runtime}"\n'
        )

    def settled() -> Podman:
        problems = []
        for runtime in RUNTIMES:
            write(runtime)
            try:
                podman.ask("run", "--rm", "--init", "--network", "none", ENGINE, "/bin/sh", "-c", "exit")
            except subprocess.CalledProcessError as error:
                problems.append(f"{runtime}: {error.stderr.strip()}")
            else:
                return podman
        sys.exit("no container can be started:\n" + "\n".join(problems))

    write(RUNTIMES[0])
    try:
        yield settled
    finally:
        podman.ask("rm", "--all", "--force")
        podman.ask("rmi", "--all", "--force")
        remove = ["/bin/rm", "-rf", str(folder / "root"), str(folder / "run")]
        within = [] if os.getuid() == 0 else [*podman.words, "unshare"]
        subprocess.run([*within, *remove], env=dict(podman.environ), check=True)


def described(podman: Podman) -> str:
    """Which Podman it is."""
    info = json.loads(podman.ask("info", "--format", "json"))
    host = info["host"]
    parts = [
        f"Podman {info['version']['Version']}",
        host["ociRuntime"]["name"],
        "without root" if host["security"]["rootless"] else "as root",
        f"{info['store']['graphDriverName']} storage",
        f"cgroup {host['cgroupVersion']}",
    ]
    return ", ".join(parts)
