from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gate.errors import BaselineError, RecordError
from gate.files import content_hash, parse_json, read_bytes, write_bytes
from gate.model.canonical import canonical_json


def refusal(data: bytes) -> str:
    with pytest.raises(RecordError) as caught:
        parse_json(data, where="x.json", error=RecordError)
    return str(caught.value)


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert read_bytes(tmp_path / "x", limit=3, error=RecordError) == b"abc"


def test_a_file_over_the_limit_is_refused_in_the_caller_s_words(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abcd")
    with pytest.raises(BaselineError, match="4 bytes, but at most 3 are read"):
        read_bytes(tmp_path / "x", limit=3, error=BaselineError)


def test_a_file_that_claims_to_be_empty_is_held_to_the_limit_too() -> None:
    # A file of /proc says 0 bytes and has more, as does one that grows while it is read.
    with pytest.raises(RecordError, match="but at most 10 are read"):
        read_bytes(Path("/proc/self/status"), limit=10, error=RecordError)


def test_a_folder_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot be read: Is a directory"):
        read_bytes(tmp_path, limit=10, error=RecordError)


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(RecordError, match="is not a regular file"):
        read_bytes(tmp_path / "pipe", limit=10, error=RecordError)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_every_json_value_is_parsed(value: Any) -> None:
    assert parse_json(canonical_json(value).encode(), where="x", error=RecordError) == value


@given(st.binary(max_size=80))
def test_any_bytes_are_json_or_refused(data: bytes) -> None:
    try:
        value = parse_json(data, where="x", error=RecordError)
    except RecordError:
        return
    assert json.loads(data) == value


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\n\n\xff", "x.json:3: is not UTF-8"),
        (b'{"a":1', "x.json:1: ends in the middle"),
        (b'{"a":1}\n}', "x.json:2: is not JSON: Extra data"),
        (b'{"a":1,\n"a":2}', "the key 'a' is given twice"),
        (b'{"a":NaN}', "NaN is not a JSON number"),
        (b"[-Infinity]", "-Infinity is not a JSON number"),
        (b"[" * 200_000, "x.json: is nested too deeply"),
        (b"9" * 5000, "is not JSON"),
        (b'{\n"a":1,\n=======\n"b":2}', "x.json:3: holds the markers of a merge conflict"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_not_json_is_refused_with_its_line(data: bytes, said: str) -> None:
    assert said in refusal(data)


def test_a_marker_inside_a_string_is_no_conflict() -> None:
    assert parse_json(b'["<<<<<<< HEAD"]', where="x", error=RecordError) == ["<<<<<<< HEAD"]


def test_a_replaced_file_has_the_new_content_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "x.json"
    write_bytes(path, b"old", error=RecordError)
    write_bytes(path, b"new and longer", error=RecordError)
    assert path.read_bytes() == b"new and longer"
    assert list(path.parent.iterdir()) == [path]


def test_what_a_killed_writer_left_behind_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".x.json.tmp").write_bytes(b"half of something that was much longer")
    write_bytes(tmp_path / "x.json", b"whole", error=RecordError)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x.json", b"whole")]


def test_a_replacement_that_is_not_allowed_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"old")
    with pytest.raises(RecordError, match="was not written: it has changed since it was read"):
        write_bytes(path, b"new", allowed=lambda: False, error=RecordError)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x.json", b"old")]


def test_permission_is_asked_while_the_lock_is_held(tmp_path: Path) -> None:
    path = tmp_path / "x.json"

    def second_writer_is_kept_out() -> bool:
        with pytest.raises(RecordError, match="another process is writing it"):
            write_bytes(path, b"second", error=RecordError)
        return True

    write_bytes(path, b"first", allowed=second_writer_is_kept_out, error=RecordError)
    assert path.read_bytes() == b"first"


def test_a_writer_that_locks_a_file_just_renamed_by_another_notices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    lock = fcntl.flock

    def renamed_meanwhile(handle: int, operation: int) -> None:
        (tmp_path / ".x.json.tmp").write_bytes(b"theirs")
        (tmp_path / ".x.json.tmp").rename(path)
        lock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", renamed_meanwhile)
    with pytest.raises(RecordError, match="has just written it"):
        write_bytes(path, b"ours", error=RecordError)
    assert path.read_bytes() == b"theirs"


def test_a_temporary_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    (tmp_path / ".x.json.tmp").symlink_to("victim")
    with pytest.raises(RecordError, match=r"cannot be written: .*symbolic links"):
        write_bytes(tmp_path / "x.json", b"new", error=RecordError)
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_where_nothing_can_be_written_the_caller_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BaselineError, match="file/x: cannot be written: ") as told:
        write_bytes(tmp_path / "file/x", b"", error=BaselineError, hint="give another folder")
    assert told.value.hint == "give another folder"
    with pytest.raises(BaselineError, match="make the folder writable, or free some space"):
        write_bytes(tmp_path / "file/x", b"", error=BaselineError)


def test_the_hash_of_a_missing_file_is_none(tmp_path: Path) -> None:
    assert content_hash(tmp_path / "x.json") is None
