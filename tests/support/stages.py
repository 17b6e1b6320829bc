"""The shipped workflows in act, with a fake GitHub: a repository that copied them, and its pull requests.

act has no artifact service and clones actions from github.com; so `actions/checkout` and
`actions/upload-artifact` are stand-ins here. The gate is this checkout, in the environment of the tests: that
it installs itself is shown by test_act.py, and would take most of the time here.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.act import ActRun, git, run_workflow
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.state import Fields, Pull, Repository
from tests.support.project import Project
from tests.support.workflows import ROOT

GATE = "your-org/vllm-eval-gate@" + "0" * 40
LIST = "configs/models-stub.txt"
TEMPLATES, OURS = "examples/workflows", ".github/workflows"

# Takes the commit that is asked for from the fake's repository, as the real one does from GitHub.
CHECKOUT = """
name: checkout
description: stand-in
inputs:
  ref: {description: commit, required: false, default: main}
  path: {description: where to, required: false, default: .}
  repository: {description: "ignored: the fake has every head in the base repository, too", required: false}
  persist-credentials: {description: ignored, required: false}
runs:
  using: composite
  steps:
    - shell: bash
      env: {REF: "${{ inputs.ref }}", FOLDER: "${{ inputs.path }}"}
      run: |
        mkdir -p "$FOLDER"
        cd "$FOLDER"
        git init --quiet --initial-branch base .
        git fetch --quiet "$STAND_IN_ORIGIN" "${REF:-main}"
        git checkout --quiet --force FETCH_HEAD
"""

UPLOAD = """
name: upload-artifact
description: stand-in
inputs:
  name: {description: name, required: true}
  path: {description: folder, required: true}
  if-no-files-found: {description: ignored, required: false}
  overwrite: {description: ignored, required: false}
runs:
  using: composite
  steps:
    - shell: bash
      env: {NAME: "${{ inputs.name }}", FOLDER: "${{ inputs.path }}"}
      run: |
        python3 - <<'END'
        import io, os, pathlib, urllib.request, zipfile
        held = io.BytesIO()
        with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(pathlib.Path(os.environ["FOLDER"]).glob("*")):
                archive.write(file, file.name)
        url = "{GITHUB_API_URL}/_upload/{GITHUB_RUN_ID}/{NAME}".format(**os.environ)
        urllib.request.urlopen(urllib.request.Request(url, held.getvalue(), method="PUT"))
        END
"""


class Workplace:
    """`org/engine` on the fake, with the stub engine's config and baseline, and the shipped workflows."""

    def __init__(self, fake: FakeGitHub, project: Project, folder: Path) -> None:
        self.fake = fake
        self.folder = folder
        self.project = project
        self.repository: Repository = fake.repository("org/engine")
        self.repository.roles["mia"] = "maintain"
        files = {
            "configs/stub.yaml": project.config.read_text(),
            LIST: "stub.yaml\n",
            "configs/runners.yaml": "lists: {models-stub.txt: {arch: cpu, runs_on: [self-hosted]}}\n",
            "baselines/cpu/stub/default.json": project.baseline.read_text(),
        }
        self.base = self.repository.git.commit_files("main", files)
        self.actions = stand_ins(folder, GATE)
        # Without a ref act itself checks out what it was started in: the default branch.
        self.here = folder / "here"
        git(folder, "clone", "--quiet", str(self.repository.git.folder), str(self.here))

    def pull(self, head: Repository) -> Pull:
        """A pull request from a branch `topic` of a repository."""
        head.git.fetch(self.repository.git, "refs/heads/main", "refs/heads/topic")
        head.git.commit_files("topic", {"kernel.py": f"by = '{head.full_name}'\n"})
        return self.repository.open_pull(head, "topic")

    def run_of(self, pull: Pull) -> Fields:
        """What GitHub knows of the run that measures it."""
        gate = ".github/workflows/gate.yml"
        return self.repository.add_run(pull.head, gate, pull.head_repo, pull.head_ref)

    def act(
        self,
        workflow: str,
        event: tuple[str, dict[str, Any]],
        *engine: str,
        run: Fields | None = None,
        of: str = TEMPLATES,
    ) -> ActRun:
        """Run a workflow of a folder for an event, with a stub engine of these options, as this run."""
        temp = self.folder / f"act-{len(list(self.folder.glob('act-*')))}"
        temp.mkdir()
        given = {
            "GITHUB_API_URL": self.fake.url,
            "GITHUB_REPOSITORY": self.repository.full_name,
            "GITHUB_RUN_ID": str(run["id"] if run else 1),
            "STAND_IN_ORIGIN": str(self.repository.git.folder),
        }
        return run_workflow(
            self.here,
            self._workflow(f"{of}/{workflow}", engine),
            event,
            temp,
            *act_options(given, self.actions, self.fake.token()),
        )

    def _workflow(self, path: str, engine: tuple[str, ...]) -> dict[str, Any]:
        """A workflow as a user would fill it in, and without its build: which configs, which engine."""
        workflow: dict[str, Any] = yaml.safe_load((ROOT / path).read_text())
        for job in workflow["jobs"].values():
            job["steps"] = [step for step in job["steps"] if step.get("run") != "make engine"]
            for step in job["steps"]:
                if step.get("uses") == "./":
                    step["uses"] = GATE
                inputs = step.get("with", {})
                if str(inputs.get("configs")).endswith(".txt"):
                    inputs["configs"] = LIST
                if "repeats" in inputs:
                    inputs["repeats"] = "16"
                if "engine-command" in inputs:
                    inputs.pop("hf-home", None)
                    inputs["engine-command"] = self.project.engine(*engine)
                    inputs["model-dir"] = str(self.project.model)
                    inputs["dataset-path"] = str(self.project.dataset)
        # YAML 1.1 reads the key `on` as true.
        workflow["on"] = workflow.pop(True)
        return workflow


def stand_ins(folder: Path, gate: str) -> dict[str, Path]:
    """What the workflows use -> the folder that act takes instead; `gate` is how they name the gate."""
    installed = f'#!/usr/bin/env bash\necho "python={sys.executable}" >> "$GITHUB_OUTPUT"\n'
    ours = {"action.yml": (ROOT / "action.yml").read_text(), "action/install.sh": installed}
    return {
        gate: committed(folder / "gate", ours),
        pinned("actions/checkout"): committed(folder / "checkout", {"action.yml": CHECKOUT}),
        pinned("actions/upload-artifact"): committed(folder / "upload-artifact", {"action.yml": UPLOAD}),
    }


def act_options(environ: Mapping[str, str], actions: Mapping[str, Path], token: str) -> tuple[str, ...]:
    """Options of act: variables, where the actions are, and the job's token."""
    return (
        *(word for key, value in environ.items() for word in ("--env", f"{key}={value}")),
        *(w for uses, path in actions.items() for w in ("--local-repository", f"{uses}={path}")),
        *("--secret", f"GITHUB_TOKEN={token}"),
    )


def pinned(action: str) -> str:
    """The action as the shipped workflows pin it."""
    text = (ROOT / "examples/workflows/gate.yml").read_text()
    return next(word for word in text.split() if word.startswith(f"{action}@"))


def committed(folder: Path, files: dict[str, str]) -> Path:
    """A repository with one commit."""
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", "--all")
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    git(folder, *who, "commit", "--quiet", "--message", "one")
    return folder
