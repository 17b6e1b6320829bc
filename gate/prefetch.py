"""`gate prefetch`: models and question sets into the caches, verified; or only verified, offline."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from gate.cells import CellSpec, cells_of
from gate.decide.words import count
from gate.errors import GateError, UsageError
from gate.evals.dataset import download, refuse_to_fetch
from gate.fingerprint import HUB_ID, model_revision
from gate.hub import Hub, HubError, HuggingFace
from gate.model_cache import (
    COMMIT,
    Manifest,
    Snapshot,
    forget,
    hub_folder,
    snapshot_of,
    write_manifest,
)
from gate.question_sets import asked_of, question_set

MAIN: Final = "main"
_GIB: Final = 1 << 30
_SLACK: Final = 1.05
ATTEMPTS: Final = 2

State = Literal["fetched", "there", "given", "failed"]


@dataclass(frozen=True)
class PrefetchRequest:
    """What the command line asked for; `check` verifies what is there and asks nobody."""

    paths: tuple[Path, ...]
    cache: Path
    hf_home: Path | None = None
    model: str | None = None
    dataset_path: Path | None = None
    check: bool = False


class Row(NamedTuple):
    """One model or question set, and what became of it."""

    what: Literal["model", "data set"]
    name: str
    state: State
    detail: str


def prefetch(
    request: PrefetchRequest, environ: Mapping[str, str], make_hub: Callable[[Path], Hub] | None = None
) -> tuple[Row, ...]:
    """Fill the caches for these configs, or check them; what fails is a row, and the others go on.

    Raises:
        ConfigError: a config is wrong.
        UsageError: the hub's library is not installed.
    """
    specs = cells_of(request.paths, arch=None, unknown_arch="any")
    hub = hub_folder(request.hf_home, environ)
    source: Hub | None = None
    if not request.check and environ.get("HF_HUB_OFFLINE", "0") in ("", "0"):
        source = make_hub(hub) if make_hub else HuggingFace(hub, environ)
    return (*_models(specs, request, hub, source), *_datasets(specs, request, offline=source is None))


def _models(
    specs: Sequence[CellSpec], request: PrefetchRequest, hub: Path, source: Hub | None
) -> Iterator[Row]:
    wanted = dict.fromkeys((request.model or spec.model_name, spec.model_revision) for spec in specs)
    for model, pinned in wanted:
        name = f"{model}@{pinned or MAIN}"
        try:
            if Path(model).is_dir() or not HUB_ID.fullmatch(model) or model.startswith("local/"):
                yield _given(model, request.model, pinned)
                continue
            state, snapshot = fill(hub, source, model, pinned or MAIN)
        except GateError as error:
            yield Row("model", name, "failed", str(error))
        else:
            yield Row("model", name, state, _described(snapshot, pinned))


def fill(hub: Path, source: Hub | None, model: str, revision: str) -> tuple[State, Snapshot]:
    """A complete and undamaged snapshot of a revision.

    What is already there in full is not asked for again; a pinned commit that is there needs no network.
    A file that arrives damaged is fetched once more.

    Raises:
        UsageError: it is not there, or not what the hub says; HubError where the hub refuses.
    """
    found = snapshot_of(hub, model, revision)
    if found is not None and (source is None or (COMMIT.fullmatch(revision) and found.manifest)):
        problem = _problem(found)
        if problem is None:
            return "there", found
        if source is None:
            raise UsageError(problem, where=str(found.folder), hint="run `gate prefetch` without --check")
    if source is None:
        raise UsageError(
            "is not in the cache", where=str(hub), hint="run `gate prefetch` where there is a network"
        )
    return _fetch(hub, source, model, revision)


def _fetch(hub: Path, source: Hub, model: str, revision: str) -> tuple[State, Snapshot]:
    try:
        manifest = source.listing(model, revision)
    except HubError:
        found = snapshot_of(hub, model, revision)
        if found is None or found.manifest is None or _problem(found) is not None:
            raise
        return "there", found  # as complete as when it was prefetched; the hub just does not answer today
    write_manifest(hub, manifest)  # first: a download that ends half way is then known to be half
    state: State = "there"
    for _ in range(ATTEMPTS):
        snapshot = _snapshot(hub, manifest)
        missing = snapshot.missing()
        for path in snapshot.damaged():
            forget(snapshot, path)
            missing = (*missing, path)
        if not missing:
            return state, snapshot
        _check_disk(hub, manifest, missing)
        state = "fetched"
        commit = source.download(model, revision)
        if commit != manifest.commit:
            raise UsageError(f"{revision} moved to {commit} meanwhile", hint="run it again")
    snapshot = _snapshot(hub, manifest)
    if (problem := _problem(snapshot)) is not None:
        for path in snapshot.damaged():
            forget(snapshot, path)
        raise UsageError(
            f"{problem}, after {ATTEMPTS} downloads",
            where=f"{model} at {revision}",
            hint="something between here and the hub changes what arrives (a proxy, a disk): find it",
        )
    return state, snapshot


def _snapshot(hub: Path, manifest: Manifest) -> Snapshot:
    found = snapshot_of(hub, manifest.model, manifest.commit)
    nothing = Snapshot(manifest.model, manifest.commit, hub / "nothing", manifest)
    return nothing if found is None else found._replace(manifest=manifest)


def _problem(snapshot: Snapshot) -> str | None:
    """Why a snapshot cannot be used; None where it can."""
    if missing := snapshot.missing():
        files = count(len(snapshot.files()), "file")
        return f"{len(missing)} of {files} missing, {missing[0]} among them"
    if damaged := snapshot.damaged():
        return f"{', '.join(damaged)} is not what the hub says it is"
    return None


def _check_disk(hub: Path, manifest: Manifest, missing: Sequence[str]) -> None:
    needed = sum(file.size or 0 for file in manifest.files if file.path in missing) * _SLACK
    hub.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(hub).free
    if needed > free:
        raise UsageError(
            f"{needed / _GIB:.1f} GiB are to be fetched, and {free / _GIB:.1f} GiB are free",
            where=str(hub),
            hint="free some, or give another --hf-home",
        )


def _given(model: str, folder: str | None, pinned: str | None) -> Row:
    if folder is None:
        detail = "on no hub: its folder is given with --model when it is measured"
        return Row("model", model, "given", detail)
    return Row("model", model, "given", f"a folder, {model_revision(Path(folder), pinned)}")


def _described(snapshot: Snapshot, pinned: str | None) -> str:
    files = snapshot.files()
    size = sum((snapshot.folder / file.path).stat().st_size for file in files)
    said = f"{count(len(files), 'file')}, {size / _GIB:.2f} GiB, commit {snapshot.commit}"
    if snapshot.manifest is None:
        said += "; checked against itself only: gate prefetch keeps a list of what the hub has"
    return said if pinned else f"{said}; not pinned: set model_revision to that commit"


def _datasets(specs: Sequence[CellSpec], request: PrefetchRequest, *, offline: bool) -> Iterator[Row]:
    fetch = refuse_to_fetch if offline else download
    for spec in asked_of(specs):
        name = f"{spec.task.name} ({spec.source})"
        before = _entries(request.cache)
        try:
            task = question_set(spec, request.dataset_path, request.cache, fetch)
        except GateError as error:
            yield Row("data set", name, "failed", str(error))
        else:
            state: State = "fetched" if _entries(request.cache) - before else "there"
            detail = f"{count(len(task.questions), 'question')}, SHA-256 {task.dataset_sha256}"
            yield Row("data set", name, state, detail)


def _entries(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.is_dir() else set()  # noqa: PTH208 - names only
