"""The repository's workflows and its action, parsed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
GITHUB_LABELS = ("ubuntu-", "macos-", "windows-")


class Job(NamedTuple):
    """One job of a workflow; `text` is everything that can be written in it, as YAML."""

    workflow: Path
    name: str
    definition: dict[str, Any]
    permissions: dict[str, str] | str
    text: str

    @property
    def hosted_by_github(self) -> bool:
        """Whether it runs on GitHub's own machine: only these labels are known to be."""
        labels = self.definition.get("runs-on", "")
        names = labels if isinstance(labels, list) else [labels]
        return all(
            isinstance(name, str) and name.startswith(("ubuntu-", "macos-", "windows-")) for name in names
        )


def workflow_files(root: Path = ROOT) -> list[Path]:
    """Every workflow of this repository and every example of one."""
    folders = (root / ".github/workflows", root / "examples/workflows")
    return sorted(
        path for folder in folders for suffix in ("*.yml", "*.yaml") for path in folder.glob(suffix)
    )


def action_files(root: Path = ROOT) -> list[Path]:
    """Every action of this repository."""
    return [root / "action.yml"]


def load(path: Path) -> dict[str, Any]:
    """A workflow or action; `on:` stays a string, which YAML 1.1 would make True."""
    return yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - strings only


def jobs(path: Path) -> Iterator[Job]:
    """The jobs of one workflow, each with the permissions that hold for it."""
    workflow = load(path)
    outer = workflow.get("permissions", "unset")
    shared = {key: value for key, value in workflow.items() if key != "jobs"}
    for name, definition in workflow["jobs"].items():
        text = yaml.safe_dump([shared, definition])
        yield Job(path, name, definition, definition.get("permissions", outer), text)


def steps(path: Path) -> Iterator[dict[str, Any]]:
    """Every step of a workflow or composite action."""
    document = load(path)
    if "runs" in document:
        yield from document["runs"]["steps"]
    for job in document.get("jobs", {}).values():
        yield from job.get("steps", [])
