"""Workflows in the real `act` runner, on this machine, without Docker and without a network of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
HEAD = "1" * 40
BASE = "2" * 40
CHECKOUT = {"uses": "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8"}


@dataclass(frozen=True)
class ActRun:
    """One run of act: its exit code and every line of its log as an event."""

    code: int
    events: list[dict[str, Any]]
    stderr: str

    def job(self, job: str) -> str:
        """`success` or `failure`."""
        (result,) = [event["jobResult"] for event in self._of(job) if "jobResult" in event]
        return str(result)

    def ran(self, job: str) -> bool:
        """Whether a job was started at all."""
        return bool(self._of(job))

    def step(self, job: str, step: str) -> str:
        """The outcome of a step: `success`, `failure`, or `not run`."""
        found = [e["stepResult"] for e in self._of(job, step) if "stepResult" in e and e["stage"] == "Main"]
        return str(found[0]) if found else "not run"

    def outputs(self, job: str, step: str) -> dict[str, str]:
        """What a step set, the last value of each name."""
        return {e["name"]: e["arg"] for e in self._of(job, step) if e.get("command") == "set-output"}

    def summary(self, job: str, step: str) -> str:
        """The job summary of a step; act repeats what the inner steps of a composite one wrote."""
        return "".join(e["content"] for e in self._of(job, step) if e.get("command") == "summary")

    def log(self) -> str:
        """Everything act said, for a failed assertion."""
        return "\n".join(event["msg"].rstrip() for event in self.events) + self.stderr

    def _of(self, job: str, step: str | None = None) -> list[dict[str, Any]]:
        mine = [event for event in self.events if event.get("jobID") == job]
        return mine if step is None else [event for event in mine if event.get("stepID") == [step]]


def outputs_of(path: Path) -> dict[str, str]:
    """A GITHUB_OUTPUT file as the runner reads it: the last one of a name wins."""
    found, lines = {}, iter(path.read_text().splitlines())
    for line in lines:
        name, _, delimiter = line.partition("<<")
        found[name] = "\n".join(iter(lines.__next__, delimiter))
    return found


def checkout(to: Path) -> Path:
    """This repository's files, as they are now, in a repository of their own."""
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    for name in filter(None, listed):
        source, target = ROOT / name, to / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            target.chmod(source.stat().st_mode)
    git(to, "init", "--quiet", "--initial-branch", "main")
    git(to, "add", "--all")
    git(
        to,
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "commit",
        "--quiet",
        "--message",
        "as it is",
    )
    return to


def job(*steps: dict[str, Any]) -> dict[str, Any]:
    """A job on this machine that checks the repository out and takes these steps."""
    return {"runs-on": "self-hosted", "permissions": {"contents": "read"}, "steps": [CHECKOUT, *steps]}


def run_act(repository: Path, jobs: dict[str, Any], temp: Path, timeout: float = 600) -> ActRun:
    """Run a workflow with these jobs for a pull request from HEAD to BASE.

    Args:
        repository: made by `checkout`.
        jobs: as in a workflow file.
        temp: an empty folder for act's own files.
        timeout: seconds after which act is killed, which kills the steps.
    """
    request = {"number": 7, "head": {"sha": HEAD, "ref": "topic"}, "base": {"sha": BASE, "ref": "main"}}
    event = {"action": "opened", "number": 7, "pull_request": request}
    workflow = {"name": "w", "on": "pull_request", "permissions": {}, "jobs": jobs}
    return run_workflow(repository, workflow, ("pull_request", event), temp, timeout=timeout)


def run_workflow(
    repository: Path,
    workflow: dict[str, Any],
    event: tuple[str, dict[str, Any]],
    temp: Path,
    *options: str,
    timeout: float = 600,
) -> ActRun:
    """Run a workflow for an event: its name and what GitHub says of it; `options` are act's."""
    file, told = temp / "workflow.yml", temp / "event.json"
    file.write_text(yaml.safe_dump(workflow))
    told.write_text(json.dumps(event[1]))
    home = Path.home()
    done = subprocess.run(
        [
            *(Path(sys.executable).parent / "act", event[0], "--json", "--no-cache-server"),
            *("--workflows", file, "--eventpath", told, "--action-cache-path", temp / "act"),
            *("--platform", "self-hosted=-self-hosted", "--platform", "ubuntu-latest=-self-hosted"),
            # act's own files go to temp; its steps see this machine's folders again, for pip and the engine.
            *("--env", f"XDG_CACHE_HOME={os.environ.get('XDG_CACHE_HOME') or home / '.cache'}"),
            *("--env", f"XDG_CONFIG_HOME={os.environ.get('XDG_CONFIG_HOME') or home / '.config'}"),
            *options,
        ],
        cwd=repository,
        env=os.environ | {"XDG_CACHE_HOME": str(temp / "cache"), "XDG_CONFIG_HOME": str(temp / "config")},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return ActRun(done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr)


def git(folder: Path, *arguments: str) -> str:
    """One git command in a folder."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout
