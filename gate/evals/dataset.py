"""Question files: fetched once, verified by SHA-256, cached; rows with the line they stand on.

Errors name file, line and column, never what a cell holds: GPQA's text must not be republished.
"""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import json
import os
import tempfile
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from gate.errors import DatasetError

_FETCH_SECONDS: Final = 60
_LARGEST_FILE: Final = 1 << 30

Fetch = Callable[[str], bytes]


class Source(NamedTuple):
    """Where a data set is published, and the hash of what was published."""

    url: str
    sha256: str


class Dataset(NamedTuple):
    """A question file's bytes; its repr hides them."""

    content: bytes
    sha256: str
    where: str

    def __repr__(self) -> str:
        return f"Dataset({self.where}, {len(self.content)} bytes, {self.sha256})"


class Row(NamedTuple):
    """One row and the line it begins on; its repr hides the cells."""

    line: int
    cells: dict[str, Any]

    def __repr__(self) -> str:
        return f"Row(line {self.line}, columns {sorted(self.cells)})"


def download(url: str) -> bytes:
    """The bytes at `url`.

    Raises:
        DatasetError: it cannot be had.
    """
    if not url.startswith(("https://", "http://")):
        raise DatasetError(
            "only http(s) addresses are fetched",
            where=url,
            hint="download the file yourself and give its path",
        )
    try:
        with urllib.request.urlopen(url, timeout=_FETCH_SECONDS) as reply:  # noqa: S310 - checked above
            content: bytes = reply.read(_LARGEST_FILE)
    except (OSError, http.client.HTTPException) as error:
        raise DatasetError(
            f"the data set could not be fetched: {type(error).__name__}: {error}",
            where=url,
            hint="fetch it on a machine that can, and give it with --dataset-path",
        ) from error
    return content


def refuse_to_fetch(url: str) -> bytes:
    """In place of `download` where nothing may be fetched; raises DatasetError."""
    raise DatasetError(
        "the question set is not in the cache",
        where=url,
        hint="run `gate prefetch` where there is a network, or give it with --dataset-path",
    )


def read_file(path: Path, sha256: str | None = None) -> Dataset:
    """A question file given as a path.

    Raises:
        DatasetError: unreadable, empty, or not the bytes with the declared `sha256`.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"the data set cannot be read: {error.strerror}",
            where=str(path),
            hint="check --dataset-path or `task: {dataset: ...}`",
        ) from error
    return _verified(content, str(path), sha256)


def fetch_once(source: Source, cache_dir: Path, fetch: Fetch = download) -> Dataset:
    """A published data set: from the cache if it is there unaltered, else fetched and cached.

    Raises:
        DatasetError: it cannot be fetched, or is not what was published.
    """
    cached = cache_dir / f"{source.sha256}{Path(source.url).suffix}"
    if cached.is_file():
        content = cached.read_bytes()
        if hashlib.sha256(content).hexdigest() == source.sha256:
            return Dataset(content, source.sha256, str(cached))
    dataset = _verified(fetch(source.url), source.url, source.sha256)
    cache_dir.mkdir(parents=True, exist_ok=True)
    # Two cells may fetch at once: each renames a whole file into place.
    handle, name = tempfile.mkstemp(dir=cache_dir)
    with os.fdopen(handle, "wb") as file:
        file.write(dataset.content)
    Path(name).replace(cached)
    return dataset


def load_dataset(
    *,
    path: Path | None,
    dataset: str | None,
    sha256: str | None,
    published: Source | None,
    cache_dir: Path,
    fetch: Fetch = download,
) -> Dataset:
    """The data set of a task, by precedence: a given path, the config's path or address, the published one.

    Raises:
        DatasetError: see `read_file` and `fetch_once`; or there is nothing to load, or an address whose
            content nobody vouches for.
    """
    if path is not None:
        return read_file(path, sha256)
    if dataset is not None and not dataset.startswith(("https://", "http://")):
        return read_file(Path(dataset), sha256)
    url = dataset or (published.url if published else None)
    expected = sha256 or (published.sha256 if published else None)
    if url is None:
        raise DatasetError("this task has no published data set", hint="set `task: {dataset: PATH}`")
    if expected is None:
        raise DatasetError(
            "an address needs the hash of what it serves", where=url, hint="set `task: {dataset_sha256: ...}`"
        )
    return fetch_once(Source(url, expected), cache_dir, fetch)


def _verified(content: bytes, where: str, sha256: str | None) -> Dataset:
    found = hashlib.sha256(content).hexdigest()
    if sha256 is not None and found != sha256.lower():
        raise DatasetError(
            f"the data set's SHA-256 is {found}, not {sha256}",
            where=where,
            hint="it is another version or was altered; nothing measured on it compares with the baseline",
        )
    if not content.strip():
        raise DatasetError("the data set is empty", where=where, hint="fetch it again, or give another path")
    return Dataset(content, found, where)


def read_csv(dataset: Dataset, columns: Sequence[str]) -> list[Row]:
    """Rows of a CSV file with a header; every one of `columns` has text in every row.

    Raises:
        DatasetError: not UTF-8, not CSV, a column missing or empty.
    """
    reader = csv.DictReader(io.StringIO(_text(dataset), newline=""), strict=True)
    rows: list[Row] = []
    line = 1
    try:
        missing = [name for name in columns if name not in (reader.fieldnames or ())]
        if missing:
            raise DatasetError(
                f"the data set lacks the column {missing[0]!r}",
                where=f"{dataset.where}:1",
                hint="add it to the header, or name the column that holds it in the config",
            )
        line = reader.line_num + 1
        for cells in reader:
            if None in cells:
                raise DatasetError(
                    "the row has more cells than the header",
                    where=f"{dataset.where}:{line}",
                    hint="quote the cell that holds a comma",
                )
            rows.append(Row(line, cells))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DatasetError(
            f"not CSV: {error}",
            where=f"{dataset.where}:{line}",
            hint="close the quotes of this row, or write the file again as CSV",
        ) from error
    _check_text(dataset, rows, columns)
    return rows


def read_jsonl(dataset: Dataset, columns: Sequence[str]) -> list[Row]:
    """Rows of a JSON Lines file; every one of `columns` is in every row. Lines with `#` first are comments.

    Raises:
        DatasetError: not UTF-8, not JSON, a column missing.
    """
    rows: list[Row] = []
    for line, text in _lines(dataset):
        try:
            cells = json.loads(text)
        except ValueError:
            # Without `from`: the cause quotes the line.
            raise DatasetError(
                "not a line of JSON", where=f"{dataset.where}:{line}", hint="write one JSON object a line"
            ) from None
        if not isinstance(cells, dict):
            raise DatasetError(
                "not a JSON object",
                where=f"{dataset.where}:{line}",
                hint='write each line as {"question": ..., ...}',
            )
        rows.append(Row(line, cells))
    for row in rows:
        if missing := [name for name in columns if name not in row.cells]:
            where = f"{dataset.where}:{row.line}"
            raise DatasetError(
                f"the data set lacks the column {missing[0]!r}",
                where=where,
                hint="add it to every line, or name the column that holds it in the config",
            )
    if not rows:
        raise DatasetError(
            "the data set has no row", where=dataset.where, hint="fetch it again, or give another path"
        )
    return rows


def _lines(dataset: Dataset) -> Iterator[tuple[int, str]]:
    # Not splitlines(): it also cuts at separators that JSON allows inside a string.
    for line, text in enumerate(_text(dataset).split("\n"), start=1):
        if text.strip() and not text.startswith("#"):
            yield line, text


def _check_text(dataset: Dataset, rows: Sequence[Row], columns: Sequence[str]) -> None:
    if not rows:
        raise DatasetError(
            "the data set has no row", where=dataset.where, hint="fetch it again, or give another path"
        )
    for row in rows:
        for name in columns:
            if not (row.cells[name] or "").strip():
                where = f"{dataset.where}:{row.line}"
                raise DatasetError(
                    f"the column {name!r} is empty", where=where, hint="fill it in, or remove the row"
                )


def _text(dataset: Dataset) -> str:
    try:
        return dataset.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = dataset.content.count(b"\n", 0, error.start) + 1
        # Without `from`: the cause carries the whole file.
        raise DatasetError(
            "not UTF-8", where=f"{dataset.where}:{line}", hint="save the file as UTF-8"
        ) from None
