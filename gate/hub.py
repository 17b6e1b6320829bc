"""The Hugging Face hub; the only place that uses its library, which `gate[prefetch]` installs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Final, Protocol, TypeVar

from gate.errors import UsageError
from gate.model_cache import Manifest, ModelFile

# Copies of the weights in other formats; gpt-oss carries its own twice.
NOT_NEEDED: Final = (
    *("original/*", "metal/*", "*.gguf", "*.onnx", "*.msgpack", "*.h5", "*.pth", "*.pt", "*.bin"),
    *(".gitattributes", "*.md"),
)
_AGAIN: Final = "run it again: what is complete is not fetched again"
_NO_ANSWER: Final = "the hub did not answer: check the network and HF_ENDPOINT"
_HINTS: Final = {
    "GatedRepoError": "accept the model's licence on the hub, and set HF_TOKEN to a token of that account",
    "RevisionNotFoundError": "correct model_revision in the config",
    "RepositoryNotFoundError": "check model_name; a private model needs HF_TOKEN",
    "LocalEntryNotFoundError": _NO_ANSWER,
    "ConnectError": _NO_ANSWER,
    "OfflineModeIsEnabled": "unset HF_HUB_OFFLINE for the job that fills the cache",
}
Value = TypeVar("Value")


def is_needed(path: str) -> bool:
    """Whether an engine reads this file of a model; patterns as the hub's library takes them."""
    return not any(fnmatch(path, pattern) for pattern in NOT_NEEDED)


class HubError(UsageError):
    """The hub refused, or could not be reached."""


class Hub(Protocol):
    """Where models come from."""

    def listing(self, model: str, revision: str) -> Manifest:
        """What a revision consists of, its commit resolved; raises HubError."""

    def download(self, model: str, revision: str) -> str:
        """Fetch what is missing of a revision; its commit. Raises HubError."""


class HuggingFace:
    """The hub behind HF_ENDPOINT; the token is HF_TOKEN's and nothing else's, and no message holds it.

    Args:
        cache: the hub's folder of the cache.
        environ: HF_TOKEN is read.
    """

    def __init__(self, cache: Path, environ: Mapping[str, str]) -> None:
        self._cache = cache
        self._token = environ.get("HF_TOKEN", "").strip()
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            import huggingface_hub  # noqa: PLC0415 - an extra, and slow to import
        except ModuleNotFoundError as error:
            raise UsageError(
                "the hub's library is not installed", hint="pip install 'vllm-eval-gate[prefetch]'"
            ) from error
        self._library = huggingface_hub

    def listing(self, model: str, revision: str) -> Manifest:
        """See `Hub`."""
        return self._asked(model, revision, lambda: self._listing(model, revision))

    def download(self, model: str, revision: str) -> str:
        """See `Hub`."""
        folder = self._asked(
            model,
            revision,
            lambda: self._library.snapshot_download(
                model,
                revision=revision,
                cache_dir=self._cache,
                token=self._token or False,
                ignore_patterns=list(NOT_NEEDED),
            ),
        )
        return Path(folder).name

    def _listing(self, model: str, revision: str) -> Manifest:
        api = self._library.HfApi(token=self._token or False)
        commit = api.model_info(model, revision=revision).sha or ""
        listed = api.list_repo_tree(model, revision=commit, recursive=True)
        files = [
            ModelFile(path=file.path, size=file.size, digest=file.lfs.sha256 if file.lfs else file.blob_id)
            for file in listed
            if isinstance(file, self._library.hf_api.RepoFile) and is_needed(file.path)
        ]
        return Manifest(model=model, commit=commit, files=tuple(sorted(files, key=lambda file: file.path)))

    def _asked(self, model: str, revision: str, question: Callable[[], Value]) -> Value:
        try:
            return question()
        except Exception as error:  # noqa: BLE001 - its transport, and what that raises, changes
            said = " ".join(str(error).split())[:500]
            said = said.replace(self._token, "***") if self._token else said
            kinds = {kind.__name__ for kind in type(error).__mro__}
            hint = next((hint for name, hint in _HINTS.items() if name in kinds), _AGAIN)
            # Without `from`: its request holds the token.
            raise HubError(
                f"{type(error).__name__}: {said}", where=f"{model} at {revision}", hint=hint
            ) from None
