"""`--store` on a shared folder and on a real S3 API: whole objects, one writer, and any node goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gate import cli, records
from gate.errors import RecordError, StorageError, UsageError
from gate.evals.parts import Parts, open_journal, stored_key
from gate.model.sample import Finish, Outcome, Sample
from gate.objects import Objects, objects_at
from gate.outputs import Outputs
from tests.support.base_branch import BaseBranch
from tests.support.project import STORED, Project, environment, finished_with
from tests.support.waiting import until

KEY = {"head": "a" * 40, "cell": "cpu/tiny/default"}
HEAD = "0123456789abcdef0123456789abcdef01234567"
BACKENDS = ("file", "s3")


def sample(number: int, repeat: int = 0) -> Sample:
    return Sample(f"{number:012x}", repeat, Outcome.CORRECT, 17, Finish.STOP)


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    """An S3 API on a free port, and the variables that lead any client to it."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.stop()


@pytest.fixture(params=BACKENDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of nobody else's."""
    if request.param == "file":
        return f"file://{tmp_path / 'store'}"
    variables = request.getfixturevalue("s3")
    request.getfixturevalue("monkeypatch").setattr(os, "environ", os.environ | variables)
    import botocore.session

    bucket = f"b{time.monotonic_ns()}"
    botocore.session.get_session().create_client("s3").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/gate"


@pytest.fixture
def objects(url: str) -> Objects:
    return objects_at(url)


@pytest.fixture
def parts(objects: Objects) -> Parts:
    return Parts(objects, "journals/cell")


def test_objects_are_whole_and_listed_and_gone(objects: Objects) -> None:
    assert objects.names("a") == []
    assert objects.create("a/2", b"two")
    objects.put("a/1", b"one")
    objects.put("a/1", b"ONE")
    assert objects.names("a") == ["a/1", "a/2"]
    assert objects.read(["a/1", "a/2", "a/3"]) == {"a/1": b"ONE", "a/2": b"two"}
    objects.remove(["a/1", "a/2"])
    assert objects.names("a") == []


def test_of_many_who_create_one_object_one_succeeds(objects: Objects) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda n: objects.create("a/1", b"%d" % n), range(8)))
    assert sum(made) == 1
    assert objects.read(["a/1"]) == {"a/1": b"%d" % made.index(True)}


def test_another_node_finds_what_was_appended(parts: Parts) -> None:
    assert (parts.exists(), stored_key(parts)) == (False, None)
    with open_journal(parts, KEY) as journal:
        journal.append(sample(1))
        journal.sync()
        journal.append(sample(2))
    with open_journal(parts, KEY) as journal:
        assert list(journal.samples.values()) == [sample(1), sample(2)]
        journal.append(sample(3))
    assert stored_key(parts) == KEY
    with open_journal(parts, KEY) as journal:
        assert len(journal.samples) == 3
    with pytest.raises(RecordError, match="another sequence: head differ"):
        open_journal(parts, {**KEY, "head": "b"})
    parts.unlink()
    assert not parts.exists()
    parts.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        parts.unlink()


def test_its_lines_are_those_of_a_file(parts: Parts, tmp_path: Path) -> None:
    where: list[Path | Parts] = [parts, tmp_path / "journal.jsonl"]
    for one in where:
        with open_journal(one, KEY) as journal:
            for number in range(5):
                journal.append(sample(number))
                journal.sync()
    found = parts.objects.read(parts.numbers())
    joined = b"".join(found[name].partition(b"\n")[2] for name in sorted(found))
    assert joined == (tmp_path / "journal.jsonl").read_bytes()
    assert stored_key(tmp_path / "journal.jsonl") == KEY


def test_nobody_begins_while_another_writes(parts: Parts) -> None:
    with open_journal(parts, KEY), pytest.raises(RecordError, match="another process is measuring"):
        open_journal(parts, KEY)
    open_journal(parts, KEY).close()


def elsewhere(parts: Parts, **changes: object) -> None:
    """Make the owner one of another machine."""
    owner = json.loads(parts.objects.read([parts.owner])[parts.owner])
    parts.objects.put(parts.owner, json.dumps(owner | {"machine": "gpu-7 boot"} | changes).encode())


def test_a_silent_writer_is_replaced_and_can_write_no_more(parts: Parts) -> None:
    first = open_journal(parts, KEY)
    first.append(sample(1))
    first.sync()
    elsewhere(parts)
    with pytest.raises(RecordError, match=r"where gpu-7 is gone, \d+ s longer"):
        open_journal(parts, KEY)
    elsewhere(parts, seen=time.time() - 61)
    with open_journal(parts, KEY) as second:
        first.append(sample(2))
        with pytest.raises(RecordError, match="another process is measuring this sequence now"):
            first.sync()
        with pytest.raises(RecordError, match="another process"):
            first.append(sample(3))
        second.append(sample(2))
    with pytest.raises(RecordError):
        first.close()
    with open_journal(parts, KEY) as third:
        assert list(third.samples.values()) == [sample(1), sample(2)]


class Forgetful:
    """Objects whose answers to `create` get lost on the way."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.url = objects.url

    def create(self, name: str, data: bytes) -> bool:
        return self._objects.create(name, data) and False

    def put(self, name: str, data: bytes) -> None:
        self._objects.put(name, data)

    def read(self, names: Sequence[str]) -> Mapping[str, bytes]:
        return self._objects.read(names)

    def names(self, folder: str) -> list[str]:
        return self._objects.names(folder)

    def remove(self, names: Sequence[str]) -> None:
        self._objects.remove(names)


def test_a_part_that_was_written_unnoticed_is_no_other_writers(parts: Parts) -> None:
    with open_journal(parts._replace(objects=Forgetful(parts.objects)), KEY) as journal:
        journal.append(sample(1))
    with open_journal(parts, KEY) as journal:
        assert list(journal.samples.values()) == [sample(1)]


def test_a_gap_and_a_torn_owner_are_refused(parts: Parts) -> None:
    for _ in range(3):
        open_journal(parts, KEY).close()
    parts.objects.put(parts.owner, b"{}")
    with pytest.raises(RecordError, match="says nothing of its writer"):
        open_journal(parts, KEY)
    parts.objects.remove([parts.owner, parts.part(2)])
    with pytest.raises(RecordError, match="parts are missing"):
        open_journal(parts, KEY)


def test_lines_are_written_without_being_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gate.evals.parts.FLUSH_SECONDS", 0.01)
    monkeypatch.setattr("gate.evals.parts.REFRESH_SECONDS", 0.0)
    parts = Parts(objects_at(f"file://{tmp_path}"), "journals/cell")
    with open_journal(parts, KEY) as journal:
        signed = parts.objects.read([parts.owner])
        journal.append(sample(1))
        while not parts.objects.read([parts.part(2)]) or parts.objects.read([parts.owner]) == signed:
            time.sleep(0.01)
        journal.close()


def test_a_store_that_cannot_be_used_is_an_error_of_storage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    objects = objects_at(f"file://{tmp_path / 'file'}")
    for act, said in (
        (lambda: objects.create("a/1", b""), "cannot be used"),
        (lambda: objects.put("a/1", b""), "a/1: cannot be written"),
        (lambda: objects.names("a"), "cannot be used"),
        (lambda: objects.read(["a/1"]), "cannot be used"),
    ):
        with pytest.raises(StorageError, match=said) as error:
            act()
        assert error.value.hint == "the same command goes on from what is in it"


def test_urls_that_nobody_knows_are_refused() -> None:
    with pytest.raises(UsageError, match="gopher: is no kind of store"):
        objects_at("gopher://a/b")


def test_a_backend_without_conditional_writes_is_refused() -> None:
    from gate.objects import Bucket

    class Old:
        def pipe_file(self, path: str, data: bytes) -> None:
            raise AssertionError("written unconditionally")

    with pytest.raises(UsageError, match="cannot create an object only where there is none"):
        Bucket(Old(), "root", "old://root").create("a", b"")


@pytest.fixture(scope="module")
def baselines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(tmp_path_factory.mktemp("stored"))
    done = project.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return project.folder / "baselines"


def test_another_folder_goes_on_from_the_store_of_a_killed_run(
    tmp_path: Path, baselines: Path, url: str
) -> None:
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    (project.folder / "baselines").symlink_to(baselines)
    command = project.arguments("run", engine=project.staying())
    command += ["--head-sha", HEAD, "--concurrency", "4", "--store", url]
    env = environment() | {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    parts = Parts(objects_at(url), f"journals/{stem(project)}")
    with subprocess.Popen(command, cwd=project.folder, env=env, stderr=subprocess.DEVNULL) as killed:
        until(lambda: bool(kept_in(parts)), killed)
        killed.send_signal(signal.SIGKILL)
    kept = kept_in(parts)
    assert kept
    project.go_on.touch()
    here, out = project.folder / "out", project.folder / "elsewhere"
    done = finished_with([*command, "--out", str(out)], project.folder, env)
    assert done.code in {0, 3}, done.err
    assert kept <= kept_in(parts)
    assert not (here / "journals").exists()
    quiet = finished_with([*command[:-2], "--out", str(project.folder / "quiet")], project.folder, env)
    assert quiet.code == done.code, quiet.err
    name = "cpu__stub__default.json"
    assert records.read(out / "records" / name).outcomes == (
        records.read(project.folder / "quiet/records" / name).outcomes
    )
    stored = parts.objects.read([f"records/{name}"])[f"records/{name}"]
    assert stored == (out / "records" / name).read_bytes()


def test_records_are_decided_and_merged_where_runs_left_them(
    tmp_path: Path, url: str, objects: Objects, capsys: pytest.CaptureFixture[str]
) -> None:
    branch = BaseBranch(tmp_path / "base")
    for spec in branch.specs:
        path = records.record_path(tmp_path / "records", spec.cell)
        records.write(path, branch.record(spec))
        Outputs(tmp_path, objects).share(path)
    options = ["--baselines", str(branch.baselines), "--arch", "gfx950"]
    said = []
    for place in (url, str(tmp_path / "records")):
        for command in (
            ["check", place, str(branch.config)],
            ["merge", place, "--configs", str(branch.config)],
        ):
            with pytest.raises(SystemExit) as ended:
                cli.main([*command, *options])
            assert ended.value.code == 0
            said.append(capsys.readouterr().out)
    assert said[:2] == said[2:]
    assert said[0].count("pass") >= len(branch.specs)
    objects.put(f"records/{path.name}", b"{}")
    with pytest.raises(RecordError, match=f"{re.escape(url)}/records/{path.name}: "):
        records.read_all(objects)


def test_a_store_without_records_is_named(url: str, objects: Objects) -> None:
    with pytest.raises(RecordError, match=f"{re.escape(url)}: holds no run records"):
        records.read_all(objects)


def stem(project: Project) -> str:
    """The journal's name for this commit."""
    from gate.model.cell import Cell
    from gate.sequence import candidate_stream

    cell = Cell(arch="cpu", config="stub", backend="default")
    journal = Outputs(project.folder).journal(cell, candidate_stream(HEAD, "", str(cell)))
    assert isinstance(journal, Path)
    return journal.stem


def kept_in(parts: Parts) -> set[bytes]:
    """The samples of a journal in the store, each once."""
    lines = [
        line
        for data in parts.objects.read(parts.numbers()).values()
        for line in data.splitlines()
        if b'"q":' in line
    ]
    assert len(lines) == len(set(lines))
    return set(lines)
