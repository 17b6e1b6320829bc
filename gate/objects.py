"""Objects under one URL, where every node reaches them: what `--store` needs of a file system.

Through fsspec, which `gate[store]` installs. Three promises are all that the journal rests on: an object is
there whole or not at all; `create` succeeds for one writer only; what was created is listed at once. A
backend that cannot keep them (no conditional writes) is refused, never emulated with a lock.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from gate.errors import StorageError, UsageError
from gate.files import write_bytes

_AGAIN = "the same command goes on from what is in it"


class Objects(Protocol):
    """Objects by name (`journals/x/000001.jsonl`); every method raises StorageError."""

    @property
    def url(self) -> str:
        """Where they are, for people."""

    def create(self, name: str, data: bytes) -> bool:
        """Make an object; False where there is one of this name, which stays as it is."""

    def put(self, name: str, data: bytes) -> None:
        """Make an object, or replace it whole."""

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        """Those of them that are there."""

    def names(self, folder: str) -> list[str]:
        """The names of what lies in a folder, ascending."""

    def remove(self, names: Sequence[str]) -> None:
        """Remove those of them that are there."""


def objects_at(url: str) -> Objects:
    """The objects under file://FOLDER, s3://BUCKET/PREFIX, or another URL that fsspec knows.

    Raises:
        UsageError: fsspec or the backend's own library is not installed, or nobody knows such URLs.
    """
    if url.startswith("file://"):
        return Files(Path(url.removeprefix("file://")).absolute())
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra, and slow to import

        system, root = url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as missing:
        raise UsageError(
            f"a store at {url.partition(':')[0]}:// needs a library that is not installed",
            hint="pip install 'vllm-eval-gate[store]'",
        ) from missing
    except ValueError as unknown:
        raise UsageError(
            f"{url.partition(':')[0]}: is no kind of store",
            hint="give file://FOLDER or s3://BUCKET/PREFIX",
        ) from unknown
    return Bucket(system, root.rstrip("/"), url.rstrip("/"))


class Files:
    """Objects as files of a folder that several machines may share; `create` is a hard link."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def url(self) -> str:
        """See `Objects`."""
        return self._root.as_uri()

    def create(self, name: str, data: bytes) -> bool:
        """See `Objects`: written whole under another name, and then linked, which only one can do."""
        path = self._root / name
        with _told(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(prefix=".new-", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(temporary, path)
            except FileExistsError:
                return False
            finally:
                Path(temporary).unlink()
        return True

    def put(self, name: str, data: bytes) -> None:
        """See `Objects`."""
        write_bytes(self._root / name, data, error=StorageError, hint=_AGAIN)

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """See `Objects`."""
        found: dict[str, bytes] = {}
        for name in names:
            with _told(self._root / name), contextlib.suppress(FileNotFoundError):
                found[name] = (self._root / name).read_bytes()
        return found

    def names(self, folder: str) -> list[str]:
        """See `Objects`."""
        with _told(self._root / folder):
            try:
                found = [path.name for path in (self._root / folder).iterdir()]
            except FileNotFoundError:
                return []
        return [f"{folder}/{name}" for name in sorted(found) if not name.startswith(".")]

    def remove(self, names: Sequence[str]) -> None:
        """See `Objects`."""
        for name in names:
            with _told(self._root / name):
                (self._root / name).unlink(missing_ok=True)


class Bucket:
    """Objects of a backend of fsspec that creates conditionally, as S3 does (If-None-Match)."""

    def __init__(self, system: Any, root: str, url: str) -> None:  # noqa: ANN401 - fsspec has no types
        self._system = system
        self._root = root
        self.url = url

    def create(self, name: str, data: bytes) -> bool:
        """See `Objects`."""
        with _told(f"{self.url}/{name}"):
            try:
                self._system.pipe_file(f"{self._root}/{name}", data, mode="create")
            except FileExistsError:
                return False
            except (TypeError, NotImplementedError, ValueError) as cannot:
                raise UsageError(
                    "this backend cannot create an object only where there is none",
                    where=self.url,
                    hint="use file:// on a shared folder, or s3://",
                ) from cannot
        return True

    def put(self, name: str, data: bytes) -> None:
        """See `Objects`."""
        with _told(f"{self.url}/{name}"):
            self._system.pipe_file(f"{self._root}/{name}", data)

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """See `Objects`: all at once."""
        with _told(self.url):
            paths = {f"{self._root}/{name}": name for name in names}
            found = self._system.cat(list(paths), on_error="return") if paths else {}
            for path, content in found.items():
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise StorageError(f"cannot be read: {content}", where=path, hint=_AGAIN)
        return {paths[path]: data for path, data in found.items() if isinstance(data, bytes)}

    def names(self, folder: str) -> list[str]:
        """See `Objects`."""
        with _told(f"{self.url}/{folder}"):
            try:
                found = self._system.ls(f"{self._root}/{folder}", detail=False)
            except FileNotFoundError:
                return []
        return sorted(f"{folder}/{path.rpartition('/')[2]}" for path in found)

    def remove(self, names: Sequence[str]) -> None:
        """See `Objects`."""
        with _told(self.url), contextlib.suppress(FileNotFoundError):
            if names:
                self._system.rm([f"{self._root}/{name}" for name in names])


@contextlib.contextmanager
def _told(where: object) -> Any:  # noqa: ANN401
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot be used: {error.strerror or error}", where=str(where), hint=_AGAIN
        ) from error
