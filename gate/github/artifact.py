"""The artifacts of a run, read as if an attacker had made them: it may be so.

Contributors' code ran where they were written. So there are caps on count and size before and while they are
unpacked, and nothing is written to disk: no path can lead anywhere and no link is followed. Errors name
nothing that stands inside, because they are posted.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, BinaryIO, Final, NamedTuple

from gate import records
from gate.errors import RecordError

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,320}\.json")
_END: Final = struct.Struct("<4s4H2LH")
_END_MARK: Final = b"PK\x05\x06"
_ZIP64_MARK: Final = b"PK\x06\x07"
_ENCRYPTED: Final = 0x1
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ArtifactError(RecordError):
    """An artifact is not what a job of ours uploads; nothing in it is used."""


class Caps(NamedTuple):
    """The most that is read, of all artifacts of a run together unless it says otherwise.

    archive: bytes of one zip file; directory: bytes of its table of contents; files: their number;
    file: bytes of one of them; unpacked: bytes of them all.
    """

    archive: int = 128_000_000
    directory: int = 1_000_000
    files: int = records.COUNT_LIMIT
    file: int = records.SIZE_LIMIT
    unpacked: int = 512_000_000


def read_artifacts(paths: Sequence[Path], caps: Caps = Caps()) -> dict[str, bytes]:  # noqa: B008 - frozen
    """Name -> content of every file in the artifacts of one run: zip files, or folders they were unpacked to.

    Raises:
        ArtifactError: too many, too large, not a plain `*.json` file at the top, or there twice.
    """
    try:
        return _read_all(paths, caps)
    except (zipfile.BadZipFile, zlib.error, EOFError) as problem:
        raise ArtifactError(
            "an artifact is not a zip file that can be read", hint="run the measuring job again"
        ) from problem
    except OSError as problem:
        raise ArtifactError(
            f"an artifact cannot be read: {problem.strerror}",
            hint="check that the job may read the folder it was downloaded to",
        ) from problem


_ONLY: Final = "upload the folder `records` of the run's output, and nothing else"


def _read_all(paths: Sequence[Path], caps: Caps) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    room = caps.unpacked
    for path in paths:
        for name, file in _folder(path, caps) if path.is_dir() else _archive(path, caps):
            if not _NAME.fullmatch(name):
                raise ArtifactError("an artifact holds something else than run records (*.json)", hint=_ONLY)
            if name in found:
                raise ArtifactError("the artifacts hold two files of one name", hint=_ONLY)
            if len(found) >= caps.files:
                raise ArtifactError(f"the artifacts hold more than {caps.files:,} files", hint=_ONLY)
            found[name] = _read(file, min(caps.file, room))
            room -= len(found[name])
    return found


def _read(file: IO[bytes], room: int) -> bytes:
    """All of it; hardly a byte more is unpacked than there is room for."""
    content = file.read(room + 1)
    if len(content) > room:
        raise ArtifactError("an artifact unpacks to more than is read", hint=_ONLY)
    return content


def _folder(folder: Path, caps: Caps) -> Iterator[tuple[str, IO[bytes]]]:
    with os.scandir(folder) as entries:
        for number, entry in enumerate(entries):
            if number >= caps.files:
                raise ArtifactError(f"the artifacts hold more than {caps.files:,} files", hint=_ONLY)
            if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                raise ArtifactError("an artifact holds a link, a folder or a device", hint=_ONLY)
            with Path(entry.path).open("rb") as file:
                yield entry.name, file


def _archive(path: Path, caps: Caps) -> Iterator[tuple[str, IO[bytes]]]:
    with path.open("rb") as file:
        _check_end(file, caps)
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > caps.unpacked:
                raise ArtifactError("an artifact unpacks to more than is read", hint=_ONLY)
            for info in infos:
                _check_entry(info, caps)
                with archive.open(info) as member:
                    yield info.filename, member


def _check_end(file: BinaryIO, caps: Caps) -> None:
    """Look at the end of a zip file before Python's reader builds an object for every entry it names."""
    size = file.seek(0, os.SEEK_END)
    if size > caps.archive:
        raise ArtifactError(f"an artifact of {size:,} bytes; at most {caps.archive:,} are read", hint=_ONLY)
    file.seek(max(0, size - _END.size - 0xFFFF))
    tail = file.read()
    at = tail.rfind(_END_MARK)
    if at < 0 or len(tail) - at < _END.size:
        raise ArtifactError(
            "an artifact is not a zip file that can be read", hint="run the measuring job again"
        )
    entries, directory = _END.unpack_from(tail, at)[4:6]
    if entries > caps.files or directory > caps.directory or _ZIP64_MARK in tail[max(0, at - 20) : at]:
        raise ArtifactError(f"the artifacts hold more than {caps.files:,} files", hint=_ONLY)
    file.seek(0)


def _check_entry(info: zipfile.ZipInfo, caps: Caps) -> None:
    """Refuse what no upload of ours holds, whatever the entry's content."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if info.is_dir() or kind not in (0, stat.S_IFREG):
        raise ArtifactError("an artifact holds a link, a folder or a device", hint=_ONLY)
    if info.flag_bits & _ENCRYPTED or info.compress_type not in _METHODS:
        raise ArtifactError("an artifact is packed in a way that is not read", hint=_ONLY)
    if info.file_size > caps.file:
        raise ArtifactError("an artifact unpacks to more than is read", hint=_ONLY)
