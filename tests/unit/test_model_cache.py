"""The model cache read from its files alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from pydantic import ValidationError

from gate import prefetch as prefetching
from gate.errors import UsageError
from gate.hub import HubError, is_needed
from gate.model_cache import (
    Manifest,
    ModelFile,
    cached_commit,
    hub_folder,
    manifest_path,
    read_manifest,
    snapshot_of,
    write_manifest,
)

MODEL, COMMIT = "acme/tiny", "c" * 40


def cache(hub: Path, files: dict[str, bytes], *, ref: str = "main") -> Path:
    """A cache as the hub's library leaves it; files named *.safetensors by SHA-256, others by git's SHA-1."""
    root = hub / "models--acme--tiny"
    snapshot = root / "snapshots" / COMMIT
    for path, content in files.items():
        sha1 = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324
        digest = hashlib.sha256(content).hexdigest() if path.endswith(".safetensors") else sha1
        (root / "blobs").mkdir(parents=True, exist_ok=True)
        (root / "blobs" / digest).write_bytes(content)
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).symlink_to(root / "blobs" / digest)
    (root / "refs").mkdir()
    (root / "refs" / ref).write_text(COMMIT)
    return snapshot


INDEX = b'{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}'
WHOLE = {
    "config.json": b"{}",
    "model.safetensors.index.json": INDEX,
    "model-1.safetensors": b"1",
    "model-2.safetensors": b"2",
}


def test_a_cache_that_somebody_else_filled_is_checked_against_itself(tmp_path: Path) -> None:
    cache(tmp_path, WHOLE)
    snapshot = snapshot_of(tmp_path, MODEL, "main")
    assert snapshot is not None
    assert (snapshot.missing(), snapshot.damaged()) == ((), ())


@pytest.mark.parametrize("path", ["config.json", "model-2.safetensors"])
def test_what_the_index_or_an_engine_needs_is_missing(tmp_path: Path, path: str) -> None:
    cache(tmp_path, {name: content for name, content in WHOLE.items() if name != path})
    snapshot = snapshot_of(tmp_path, MODEL, COMMIT)
    assert snapshot is not None
    assert snapshot.missing() == (path,)


def test_a_model_without_weights_is_not_complete(tmp_path: Path) -> None:
    cache(tmp_path, {"config.json": b"{}"})
    snapshot = snapshot_of(tmp_path, MODEL, COMMIT)
    assert snapshot is not None
    assert snapshot.missing() == ("model.safetensors",)


@pytest.mark.parametrize("path", sorted(WHOLE))
def test_every_changed_byte_is_found_by_the_blobs_own_name(tmp_path: Path, path: str) -> None:
    folder = cache(tmp_path, WHOLE)
    (folder / path).resolve().write_bytes(b"?")
    snapshot = snapshot_of(tmp_path, MODEL, COMMIT)
    assert snapshot is not None
    assert snapshot.damaged() == (path,)


def test_a_ref_that_is_none_means_no_commit(tmp_path: Path) -> None:
    cache(tmp_path, WHOLE)
    (tmp_path / "models--acme--tiny/refs/torn").write_text("c0ffee")
    assert cached_commit(tmp_path, MODEL, "main") == COMMIT
    assert [cached_commit(tmp_path, MODEL, ref) for ref in ("other", "../refs/main", "torn")] == [None] * 3
    assert snapshot_of(tmp_path, MODEL, "d" * 40) is None


def test_a_manifest_lies_beside_the_hub_and_is_what_counts(tmp_path: Path) -> None:
    hub = tmp_path / "hf/hub"
    cache(hub, WHOLE)
    more = ModelFile(path="tokenizer.json", size=3, digest="a" * 64)
    write_manifest(hub, Manifest(model=MODEL, commit=COMMIT, files=(more,)))
    snapshot = snapshot_of(hub, MODEL, "main")
    assert snapshot is not None
    assert snapshot.missing() == ("tokenizer.json",)
    assert manifest_path(hub, MODEL, COMMIT).is_relative_to(tmp_path / "hf/vllm-eval-gate")


def test_a_file_of_another_size_counts_as_missing(tmp_path: Path) -> None:
    hub = tmp_path / "hub"
    cache(hub, WHOLE)
    write_manifest(hub, Manifest(model=MODEL, commit=COMMIT, files=(ModelFile(path="config.json", size=9),)))
    snapshot = snapshot_of(hub, MODEL, "main")
    assert snapshot is not None
    assert snapshot.missing() == ("config.json",)


def test_a_manifest_that_is_none_is_named(tmp_path: Path) -> None:
    path = manifest_path(tmp_path / "hub", MODEL, COMMIT)
    path.parent.mkdir(parents=True)
    path.write_text('{"model": ')
    with pytest.raises(UsageError, match=r"not a manifest"):
        read_manifest(tmp_path / "hub", MODEL, COMMIT)


@pytest.mark.parametrize("path", ["/etc/passwd", ""])
def test_a_manifest_names_no_file_outside(path: str) -> None:
    with pytest.raises(ValidationError):
        ModelFile(path=path)


@pytest.mark.parametrize(
    ("environ", "hub"),
    [
        ({"HF_HUB_CACHE": "/c/hub"}, "/c/hub"),
        ({"HF_HOME": "/c/hf"}, "/c/hf/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, str(Path("~/.cache/huggingface/hub").expanduser())),
    ],
)
def test_the_cache_is_where_the_hubs_own_variables_say(environ: dict[str, str], hub: str) -> None:
    assert str(hub_folder(None, environ)) == hub
    assert hub_folder(Path("/given"), environ) == Path("/given/hub")


def test_copies_of_the_weights_in_other_formats_are_not_needed() -> None:
    names = ["model.safetensors", "tokenizer.json", "original/a.safetensors", "metal/model.bin", "a/b.gguf"]
    assert [name for name in names if is_needed(name)] == ["model.safetensors", "tokenizer.json"]


class Moving:
    """A hub whose branch moves between the listing and the download."""

    def listing(self, model: str, revision: str) -> Manifest:
        return Manifest(model=model, commit=COMMIT, files=(ModelFile(path="config.json", size=1 << 60),))

    def download(self, model: str, revision: str) -> str:
        return "d" * 40


def test_a_model_that_no_disk_holds_is_refused_before_it_is_fetched(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="GiB are free"):
        prefetching.fill(tmp_path / "hub", Moving(), MODEL, "main")


def test_a_branch_that_moves_meanwhile_is_told(tmp_path: Path) -> None:
    hub = Moving()
    small = Manifest(model=MODEL, commit=COMMIT, files=(ModelFile(path="config.json", size=1),))
    hub.listing = lambda model, revision: small
    with pytest.raises(UsageError, match="main moved to d"):
        prefetching.fill(tmp_path / "hub", hub, MODEL, "main")


def test_a_hub_that_does_not_answer_is_an_error_where_nothing_complete_is_there(tmp_path: Path) -> None:
    def down(model: str, revision: str) -> Manifest:
        raise HubError("ConnectError: refused", where=model, hint="check the network")

    hub = Moving()
    hub.listing = down
    cache(tmp_path / "hub", WHOLE)
    with pytest.raises(HubError, match="refused"):
        prefetching.fill(tmp_path / "hub", hub, MODEL, "main")
