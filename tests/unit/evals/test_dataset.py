"""Question files are verified, and what is wrong with one is said without quoting it."""

from __future__ import annotations

import hashlib
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.errors import DatasetError
from gate.evals.dataset import (
    Dataset,
    Source,
    download,
    fetch_once,
    load_dataset,
    read_csv,
    read_file,
    read_jsonl,
)

CSV = b"q,a\nsecret,1\n"
SHA = hashlib.sha256(CSV).hexdigest()
SOURCE = Source("https://example.org/data.csv", SHA)


def of(content):
    return Dataset(content, "0" * 64, "file.csv")


def refuse(url):
    raise AssertionError(f"fetched {url}")


def test_a_published_data_set_is_fetched_once_and_then_read_from_the_cache(tmp_path):
    fetched = []

    def fetch(url):
        fetched.append(url)
        return CSV

    first = fetch_once(SOURCE, tmp_path / "cache", fetch)
    again = fetch_once(SOURCE, tmp_path / "cache", refuse)
    assert first.content == again.content == CSV
    assert fetched == [SOURCE.url]


def test_an_altered_cache_is_fetched_anew(tmp_path):
    fetch_once(SOURCE, tmp_path, lambda url: CSV)
    next(tmp_path.iterdir()).write_bytes(b"altered")
    assert fetch_once(SOURCE, tmp_path, lambda url: CSV).content == CSV


def test_what_was_not_published_is_refused_and_not_cached(tmp_path):
    with pytest.raises(DatasetError, match=f"SHA-256 is .*, not {SHA}"):
        fetch_once(SOURCE, tmp_path / "cache", lambda url: b"q,a\n")
    assert not (tmp_path / "cache").exists()


def test_a_path_needs_no_hash_but_keeps_to_a_declared_one(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(CSV)
    assert read_file(path).sha256 == SHA
    assert read_file(path, SHA.upper()).sha256 == SHA
    with pytest.raises(DatasetError, match=r"data\.csv: the data set's SHA-256 is"):
        read_file(path, "0" * 64)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DatasetError, match=r"none\.csv: the data set cannot be read: No such file"):
        read_file(tmp_path / "none.csv")


@pytest.mark.parametrize("content", [b"", b" \n\n"])
def test_an_empty_file_is_refused(tmp_path, content):
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(DatasetError, match="empty"):
        read_file(tmp_path / "data.csv")


def test_a_given_path_goes_before_the_configs_and_that_before_the_published_one(tmp_path):
    paths = [tmp_path / name for name in ("given.csv", "config.csv")]
    for path in paths:
        path.write_bytes(CSV + path.name.encode())
    common = {"sha256": None, "published": SOURCE, "cache_dir": tmp_path, "fetch": lambda url: CSV}
    loaded = [
        load_dataset(path=paths[0], dataset=str(paths[1]), **common).where,
        load_dataset(path=None, dataset=str(paths[1]), **common).where,
        load_dataset(path=None, dataset=None, **common).where,
        load_dataset(path=None, dataset="https://example.org/mirror.csv", **common).where,
    ]
    assert loaded[:2] == [str(path) for path in paths]
    assert loaded[2] == "https://example.org/data.csv"
    assert loaded[3] == str(tmp_path / f"{SHA}.csv")


@pytest.mark.parametrize("dataset", [None, "https://example.org/x.csv"])
def test_nothing_published_and_nothing_vouched_for_is_refused(tmp_path, dataset):
    with pytest.raises(DatasetError, match="dataset"):
        load_dataset(
            path=None, dataset=dataset, sha256=None, published=None, cache_dir=tmp_path, fetch=refuse
        )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"q,b\nsecret,1\n", r"(?m)^file\.csv:1: the data set lacks the column 'a'$"),
        (b"q,a\n", r"(?m)^file\.csv: the data set has no row$"),
        (b"q,a\nsecret,1\nsecret2,\n", r"(?m)^file\.csv:3: the column 'a' is empty$"),
        (b"q,a\nsecret\n", r"(?m)^file\.csv:2: the column 'a' is empty$"),
        (b"q,a\nsecret,1,2\n", r"(?m)^file\.csv:2: the row has more cells than the header$"),
        (b'q,a\n"sec\nret",1\nsecret,1,2\n', r"(?m)^file\.csv:4: the row has more cells"),
        (b'q,a\n"secret,1\n', r"(?m)^file\.csv:2: not CSV: unexpected end of data$"),
        (b"q,a\nsecret,1\nsecr\xe9t,2\n", r"(?m)^file\.csv:3: not UTF-8$"),
        (b"q,a\n" + b"s" * 200_000 + b",1\n", r"(?m)^file\.csv:2: not CSV: field larger than field limit"),
    ],
)
def test_a_malformed_csv_is_located_and_never_quoted(content, message):
    with pytest.raises(DatasetError, match=message) as caught:
        read_csv(of(content), ["q", "a"])
    assert "sec" not in str(caught.value)


def test_csv_cells_keep_their_spaces_line_ends_and_any_byte_order_mark_is_dropped():
    rows = read_csv(of(b'\xef\xbb\xbfq,a\n" x\r\ny ",1\n\nz,2\n'), ["q", "a"])
    assert [row.cells["q"] for row in rows] == [" x\r\ny ", "z"]
    assert rows[0].line == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"q": "secret"\n', r"(?m)^file\.csv:1: not a line of JSON$"),
        (b'# c\n["secret"]\n', r"(?m)^file\.csv:2: not a JSON object$"),
        (b'{"q": "secret"}\n', r"(?m)^file\.csv:1: the data set lacks the column 'a'$"),
        (b"# c\n", r"(?m)^file\.csv: the data set has no row$"),
    ],
)
def test_malformed_json_lines_are_located_and_never_quoted(content, message):
    with pytest.raises(DatasetError, match=message) as caught:
        read_jsonl(of(content), ["q", "a"])
    assert "secret" not in str(caught.value)


def test_json_lines_may_hold_line_separators():
    content = '{"q": "x\u2028y", "a": 1}\n'.encode()
    assert read_jsonl(of(content), ["q"])[0].cells["q"] == "x\u2028y"


@given(st.binary(max_size=200))
def test_any_bytes_are_rows_or_a_data_set_error(content):
    for read in (read_csv, read_jsonl):
        with suppress(DatasetError):
            read(of(content), ["q"])


def test_reprs_hide_the_content():
    dataset = of(CSV)
    assert "secret" not in f"{dataset!r} {read_csv(dataset, ['q'])!r}"


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/data.csv" else 404)
        self.end_headers()
        self.wfile.write(CSV)

    def log_message(self, *args):
        pass


@pytest.fixture
def site():
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_download_reads_an_address(site):
    assert download(f"{site}/data.csv") == CSV


def test_what_cannot_be_fetched_says_how_to_go_on(site):
    with pytest.raises(DatasetError, match=r"HTTP Error 404.*\n.*--dataset-path"):
        download(f"{site}/none.csv")


def test_only_web_addresses_are_fetched():
    with pytest.raises(DatasetError, match="only http"):
        download("file:///etc/passwd")
