"""The Hugging Face cache on this machine, read without the hub's library and without a network.

Layout (huggingface.co/docs/huggingface_hub/guides/manage-cache): `<hub>/models--owner--name/` has
`refs/<branch>` (a commit), `snapshots/<commit>/<path>` (links) and `blobs/<digest>`, where the digest is the
SHA-256 of a large file and git's SHA-1 of a small one. `gate prefetch` leaves a manifest beside the hub's
folder: what the hub said belongs to a commit, so that a machine without a network can tell what is missing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from pydantic import Field, ValidationError

from gate.errors import UsageError
from gate.files import write_bytes
from gate.model.fields import Frozen

COMMIT: Final = re.compile(r"[0-9a-f]{40}")
REF: Final = re.compile(r"[\w][\w.-]*")
WEIGHTS: Final = "*.safetensors"
INDEX: Final = "model.safetensors.index.json"
_SHA1_DIGITS: Final = 40
_PIECE: Final = 1 << 20


class ModelFile(Frozen):
    """One file of a commit; `digest` is SHA-256 (64 digits) or git's SHA-1 (40), None where nobody said."""

    path: str = Field(pattern=r"^[^/\x00][^\x00]*$")
    size: int | None = Field(default=None, ge=0)
    digest: str | None = Field(default=None, pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")


class Manifest(Frozen):
    """What the hub said belongs to one commit of a model, as far as an engine needs it."""

    model: str
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")
    files: tuple[ModelFile, ...] = Field(min_length=1)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size or 0 for file in self.files)


class Snapshot(NamedTuple):
    """One commit of a model in the cache; it may be incomplete."""

    model: str
    commit: str
    folder: Path
    manifest: Manifest | None

    def files(self) -> tuple[ModelFile, ...]:
        """What should be there: the manifest's files, or those that are there and those the index names."""
        return self.manifest.files if self.manifest else tuple(_by_themselves(self.folder))

    def missing(self) -> tuple[str, ...]:
        """Files that are not there, or not in full."""
        return tuple(file.path for file in self.files() if not _is_there(self.folder, file))

    def damaged(self) -> tuple[str, ...]:
        """Files that are there and are not what they should be; every byte is read."""
        present = (file for file in self.files() if file.digest and _is_there(self.folder, file))
        return tuple(file.path for file in present if _digest_of(self.folder, file) != file.digest)


def hub_folder(hf_home: Path | None, environ: Mapping[str, str]) -> Path:
    """Where the hub's library keeps its cache: the given home's, else as its own variables say."""
    if hf_home is not None:
        return hf_home.expanduser() / "hub"
    if given := environ.get("HF_HUB_CACHE"):
        return Path(given).expanduser()
    cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(environ.get("HF_HOME") or f"{cache}/huggingface").expanduser() / "hub"


def cached_commit(hub: Path, model: str, revision: str) -> str | None:
    """The commit that a revision means in this cache; a commit means itself."""
    if COMMIT.fullmatch(revision):
        return revision
    ref = model_folder(hub, model) / "refs" / revision
    if not REF.fullmatch(revision) or not ref.is_file():
        return None
    commit = ref.read_text(encoding="utf-8").strip()
    return commit if COMMIT.fullmatch(commit) else None


def snapshot_of(hub: Path, model: str, revision: str) -> Snapshot | None:
    """The snapshot of a revision; None where the cache has none.

    Raises:
        UsageError: its manifest is not one.
    """
    commit = cached_commit(hub, model, revision)
    folder = model_folder(hub, model) / "snapshots" / (commit or "")
    if commit is None or not folder.is_dir():
        return None
    return Snapshot(model, commit, folder, read_manifest(hub, model, commit))


def model_folder(hub: Path, model: str) -> Path:
    """Everything the cache has of a model."""
    return hub / f"models--{model.replace('/', '--')}"


def manifest_path(hub: Path, model: str, commit: str) -> Path:
    """Where the manifest of a commit lies: beside the hub's folder, so that it travels with it."""
    return hub.parent / "vllm-eval-gate" / model_folder(hub, model).name / f"{commit}.json"


def read_manifest(hub: Path, model: str, commit: str) -> Manifest | None:
    """The manifest of a commit; None where `gate prefetch` left none. Raises UsageError."""
    path = manifest_path(hub, model, commit)
    if not path.is_file():
        return None
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(
            "is not a manifest of gate prefetch", where=str(path), hint="remove it and prefetch again"
        ) from error


def write_manifest(hub: Path, manifest: Manifest) -> None:
    """Keep the manifest of a commit; raises UsageError."""
    path = manifest_path(hub, manifest.model, manifest.commit)
    write_bytes(path, (manifest.model_dump_json(indent=1) + "\n").encode(), error=UsageError)


def forget(snapshot: Snapshot, path: str) -> None:
    """Remove a damaged file and the blob behind it, so that the hub's library fetches it again."""
    link = snapshot.folder / path
    link.resolve().unlink(missing_ok=True)
    link.unlink(missing_ok=True)


def _is_there(folder: Path, file: ModelFile) -> bool:
    path = folder / file.path
    return path.is_file() and (file.size is None or path.stat().st_size == file.size)


def _by_themselves(folder: Path) -> Iterator[ModelFile]:
    """Files of a snapshot without a manifest: a blob's name is its digest, the index names the weights."""
    names = {"config.json"}
    index = folder / INDEX
    if index.is_file():
        names |= {INDEX, *_indexed(index)}
    names |= {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if not any(Path(name).match(WEIGHTS) for name in names):
        names.add("model.safetensors")
    for name in sorted(names):
        blob = (folder / name).resolve().name
        is_digest = re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob)
        yield ModelFile(path=name, digest=blob if is_digest else None)


def _indexed(index: Path) -> set[str]:
    try:
        weights = json.loads(index.read_bytes())["weight_map"]
        return {str(name) for name in weights.values()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()  # its own digest tells that it is damaged


def _digest_of(folder: Path, file: ModelFile) -> str:
    path = folder / file.path
    digest = hashlib.sha256()
    if len(file.digest or "") == _SHA1_DIGITS:  # git's own id of a file
        digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
