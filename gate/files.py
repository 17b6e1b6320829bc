"""Files of ours: read with a size limit, parsed with line numbers, replaced all at once or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from gate.errors import GateError

CONFLICT_MARKER: Final = re.compile(r"^(?:<{7}|={7}|>{7})(?: |$)", re.MULTILINE)
SAFE_FIELD: Final = re.compile(r"[^A-Za-z0-9_.+-]")
_CHECK_THE_PATH: Final = "check the path, and whether this user may read it"
_RESTORE: Final = "restore it from git or from where it was made"
_MAKE_ROOM: Final = "make the folder writable, or free some space, and run it again"


def read_bytes(path: Path, *, limit: int, error: type[GateError]) -> bytes:
    """The whole file; of one that is larger than `limit` no more than that is held.

    Args:
        path: a regular file.
        limit: bytes.
        error: what to raise.
    """
    try:
        with open(path, "rb", opener=_open_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise error("is not a regular file", where=str(path), hint="give the path of a file")
            data = file.read(limit + 1)
    except OSError as problem:
        raise error(f"cannot be read: {problem.strerror}", where=str(path), hint=_CHECK_THE_PATH) from problem
    size = max(status.st_size, len(data))
    if size > limit:
        raise error(f"{size:,} bytes, but at most {limit:,} are read", where=str(path), hint=_RESTORE)
    return data


def parse_json(data: bytes, *, where: str, error: type[GateError]) -> Any:  # noqa: ANN401 - any JSON value
    """The JSON value in `data`; says in which line it is truncated, merge-conflicted or not JSON.

    Refuses what `json` lets through: a key given twice, NaN and infinities.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise error("is not UTF-8", where=f"{where}:{line}", hint=_RESTORE) from problem
    if conflict := CONFLICT_MARKER.search(text):
        line = text.count("\n", 0, conflict.start()) + 1
        raise error(
            "holds the markers of a merge conflict",
            where=f"{where}:{line}",
            hint="take one side whole (git checkout --ours/--theirs), then add the other side's run again",
        )
    try:
        return json.loads(text, object_pairs_hook=_unique_keys, parse_constant=_no_constant)
    except json.JSONDecodeError as problem:
        ended = not text[problem.pos :].strip() or problem.msg.startswith("Unterminated string")
        said = "ends in the middle: it is truncated" if ended else f"is not JSON: {problem.msg}"
        raise error(
            said,
            where=f"{where}:{problem.lineno}",
            hint=_RESTORE,
        ) from problem
    except RecursionError as problem:
        raise error("is nested too deeply", where=where, hint=_RESTORE) from problem
    except ValueError as problem:
        raise error(f"is not JSON: {problem}", where=where, hint=_RESTORE) from problem


def invalid_field(problem: ValidationError) -> str:
    """The first thing pydantic found wrong, as `field: what`; never the value that was found."""
    first = problem.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(SAFE_FIELD.sub("?", str(part))[:60] for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{field}: {message}" if field else message


def content_hash(path: Path) -> str | None:
    """SHA-256 in hex of the file's bytes, None where there is no file. Raises OSError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def write_bytes(
    path: Path,
    data: bytes,
    *,
    error: type[GateError],
    hint: str = _MAKE_ROOM,
    allowed: Callable[[], bool] | None = None,
) -> None:
    """Replace the whole content of `path`: whenever the process dies, it holds the old bytes or the new ones.

    The temporary file lies beside it under a fixed name and is the lock too: a killed writer leaves at most
    one, and the next writer takes it over.

    Args:
        path: the file; its folder is made where it is missing.
        data: the new content.
        error: what to raise where `allowed` said no, another process is writing the file, the disk is full,
            the folder is read-only, ...; the file is then what it was.
        hint: what to do about a disk or a folder.
        allowed: asked under the lock, just before the rename; False leaves `path` alone.
    """
    try:
        _replace(path, data, allowed)
    except _Changed as problem:
        raise error(
            f"was not written: {problem}", where=str(path), hint="nothing is lost: run the command again"
        ) from problem
    except OSError as problem:
        raise error(f"cannot be written: {problem.strerror}", where=str(path), hint=hint) from problem


class _Changed(Exception):
    """The file is not what it was when it was read, or somebody else is writing it."""


def _replace(path: Path, data: bytes, allowed: Callable[[], bool] | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.tmp"
    with _locked(temporary) as handle:
        try:
            os.ftruncate(handle, 0)
            _write_all(handle, data)
            os.fsync(handle)
            _require(allowed)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    _sync_folder(path.parent)


def _open_without_waiting(name: str, flags: int) -> int:
    # Opening a FIFO to read waits for a writer for ever; a regular file does not care.
    return os.open(name, flags | os.O_NONBLOCK)


@contextlib.contextmanager
def _locked(temporary: Path) -> Iterator[int]:
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise _Changed("another process is writing it") from problem
        # Between open and lock its owner may have renamed it: then this handle is the finished file.
        if not _same_file(handle, temporary):
            raise _Changed("another process has just written it")
        yield handle
    finally:
        os.close(handle)


def _require(allowed: Callable[[], bool] | None) -> None:
    if allowed is not None and not allowed():
        raise _Changed("it has changed since it was read")


def _write_all(handle: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _same_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {SAFE_FIELD.sub('?', twice)[:60]!r} is given twice")
    return result


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")
