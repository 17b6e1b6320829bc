"""What must be equal for two runs to be comparable, and where a run came from."""

from __future__ import annotations

import hashlib
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gate.errors import ConfigError, UsageError
from gate.model.canonical import sha256_of
from gate.model.fingerprint import Fingerprint
from gate.model_cache import COMMIT, cached_commit

if TYPE_CHECKING:
    from gate.cells import CellSpec
    from gate.evals.task import Task

UNPINNED: Final = "unpinned"
UNKNOWN: Final = "unknown"
HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
SECRET_OPTION: Final = re.compile(r"--(?:[\w-]*-)?(?:api-key|hf-token|password|secret)")
GIT_SECONDS: Final = 30

Git = Callable[[Sequence[str]], str | None]


def fingerprint_of(
    spec: CellSpec, task: Task, *, model_revision: str, conversation_date: str | None
) -> Fingerprint:
    """The fingerprint of a cell as it is about to be measured.

    Args:
        spec: the cell.
        task: what it is asked.
        model_revision: what `model_revision` returned.
        conversation_date: the date the model is told (VLLM_SYSTEM_START_DATE); None where it is told none.
    """
    return Fingerprint(
        cell=spec.cell,
        task=task.name,
        protocol=task.protocol,
        endpoint=task.endpoint,
        dataset_sha256=task.dataset_sha256,
        questions_sha256=questions_sha256(task.questions),
        prompt_sha256=task.prompt_sha256,
        grader=task.grader,
        model=spec.model_name,
        model_revision=model_revision,
        temperature=spec.sampling.temperature,
        top_p=spec.sampling.top_p,
        top_k=spec.sampling.top_k,
        max_tokens=task.max_tokens or 0,  # 0: the request sets no limit
        max_model_len=spec.max_model_len,
        reasoning_effort=spec.reasoning_effort,
        conversation_date=conversation_date,
        launch_preset=spec.launch_preset,
    )


def questions_sha256(questions: Sequence[str]) -> str:
    """SHA-256 of the ids as a JSON list."""
    return sha256_of(list(questions))


def model_revision(model: str | Path, declared: str | None, *, hf_home: Path | None = None) -> str:
    """Which weights are served, as one word.

    The commit of a Hugging Face snapshot folder; `sha256:<16 hex>` over any other model folder; for a
    hub id the commit the local cache has for the declared revision (or main), else the declared revision,
    else `unpinned`. Weights are streamed: about a second per GB.

    Args:
        model: a hub id (`owner/name`) or a folder.
        declared: `model_revision` of the config.
        hf_home: the Hugging Face home whose cache the engine reads.

    Raises:
        UsageError: the folder is missing, or holds no model.
        ConfigError: the snapshot is not the declared commit.
    """
    folder = Path(model)
    if not folder.is_dir():
        if isinstance(model, Path) or not HUB_ID.fullmatch(model):
            raise UsageError(
                "the model folder does not exist",
                where=str(model),
                hint="check --model, or download it first",
            )
        known = cached_commit(hf_home / "hub", model, declared or "main") if hf_home else None
        return known or declared or UNPINNED
    if commit := _snapshot_commit(folder):
        if declared is not None and COMMIT.fullmatch(declared) and declared != commit:
            raise ConfigError(
                f"the config pins the revision {declared}, but this snapshot is {commit}",
                where=str(model),
                hint="serve the pinned revision, or correct model_revision in the config",
            )
        return commit
    return f"sha256:{_folder_sha256(folder)[:16]}"


def provenance(
    *,
    git: Git,
    environ: Mapping[str, str],
    now: datetime,
    server_args: Sequence[str],
    store: Path | None = None,
    extra: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Where a run came from: what may differ between runs because it is what is being tested.

    Args:
        git: runs git in the checkout (`git_in`).
        environ: GITHUB_* are read, nothing else.
        now: the clock, with a time zone.
        server_args: as given to the engine; values of secret options are left out.
        store: a folder whose changes do not make the checkout dirty: baselines that were just added.
        extra: versions and digests that others found out (driver, ROCm, AITER, image, ...).
    """
    found = dict(extra or {})
    found["gate_version"] = gate_version()
    found["date"] = now.astimezone(UTC).isoformat(timespec="seconds")
    found["server_args"] = shlex.join(_without_secrets(server_args))
    # GITHUB_SHA is the commit of the event, which a job may have left for another one.
    found["commit"] = git(["rev-parse", "HEAD"]) or environ.get("GITHUB_SHA") or UNKNOWN
    found["tree"] = git(["rev-parse", "HEAD^{tree}"]) or UNKNOWN
    changes = _changes(git, store)
    found["dirty"] = UNKNOWN if changes is None else str(bool(changes)).lower()
    place = [environ.get(f"GITHUB_{name}") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")]
    if all(place):
        found["run_url"] = "{}/{}/actions/runs/{}".format(*place)
    return found


def git_in(folder: Path) -> Git:
    """A function that runs git in `folder` and returns what it printed, None where it failed."""

    def git(arguments: Sequence[str]) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
                capture_output=True,
                text=True,
                timeout=GIT_SECONDS,
                check=False,
            )
        except (FileNotFoundError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    return git


def gate_version() -> str:
    """The installed version of this package, `unknown` when it runs from a bare source tree."""
    try:
        return version("vllm-eval-gate")
    except PackageNotFoundError:
        return UNKNOWN


def _changes(git: Git, store: Path | None) -> str | None:
    everything = ["diff", "--name-only", "HEAD", "--", ":/"]
    if store is None:
        return git(everything)
    without = git([*everything, f":(exclude){store.absolute()}"])
    # git refuses to exclude what lies outside of the repository, where nothing can make it dirty.
    return git(everything) if without is None else without


def _snapshot_commit(folder: Path) -> str | None:
    # Both: a link to a snapshot is one, and so is a snapshot below a linked folder.
    for place in (folder.absolute(), folder.resolve()):
        if place.parent.name == "snapshots" and COMMIT.fullmatch(place.name):
            return place.name
    return None


def _folder_sha256(folder: Path) -> str:
    weights = sorted(folder.glob("*.safetensors"), key=lambda path: path.name)
    config = folder / "config.json"
    if not weights or not config.is_file():
        raise UsageError(
            "holds no model: config.json and *.safetensors are needed",
            where=str(folder),
            hint="give the folder that `vllm serve` takes",
        )
    digest = hashlib.sha256()
    try:
        for path in (config, *weights):
            with path.open("rb") as file:
                inner = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.name} {inner}\n".encode())
    except OSError as problem:
        raise UsageError(
            f"cannot be read: {problem.strerror}",
            where=str(path),
            hint="check the path, and whether this user may read it",
        ) from problem
    return digest.hexdigest()


def _without_secrets(arguments: Sequence[str]) -> list[str]:
    kept: list[str] = []
    hide = False
    for argument in arguments:
        option, equals, _ = argument.partition("=")
        if hide:
            kept.append("***")
        elif equals and SECRET_OPTION.fullmatch(option):
            kept.append(f"{option}=***")
        else:
            kept.append(argument)
        hide = not hide and SECRET_OPTION.fullmatch(argument) is not None
    return kept
