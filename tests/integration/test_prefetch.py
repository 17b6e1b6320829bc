"""`gate prefetch` with the hub's own library against a small hub on this machine, faults included."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub_server import HubServer, hub_server
from tests.support.project import Finished, environment, finished_with

COMMIT = "a" * 40
FILES = {
    "config.json": b'{"model_type": "gpt_oss"}',
    "model-00001-of-00002.safetensors": b"first shard " * 40_000,
    "model-00002-of-00002.safetensors": b"second shard " * 40_000,
    "original/model.safetensors": b"the same again",
    "README.md": b"# words",
}
SHARD = "model-00001-of-00002.safetensors"
NEEDED = {"config.json", SHARD, "model-00002-of-00002.safetensors"}
TOKEN = "hf_xyzzy4711secret"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A hub that has one model."""
    with hub_server(HubServer("acme/tiny", COMMIT, dict(FILES))) as hub:
        yield hub


class Runner:
    """A machine with a config and an empty cache."""

    def __init__(self, folder: Path, hub: HubServer) -> None:
        self.folder = folder
        self.hub = hub
        self.pin(COMMIT)

    def pin(self, revision: str | None) -> None:
        pinned = f"model_revision: {revision}\n" if revision else ""
        text = f"model_name: acme/tiny\n{pinned}task: {{name: choices, dataset: questions.jsonl}}\n"
        (self.folder / "tiny.yaml").write_text(text)
        question = {"Question": "?", "Correct Answer": "a"} | {
            f"Incorrect Answer {n}": f"b{n}" for n in (1, 2, 3)
        }
        (self.folder / "questions.jsonl").write_text(json.dumps(question) + "\n")

    def prefetch(self, *options: str, env: dict[str, str] | None = None) -> Finished:
        command = [sys.executable, "-m", "gate", "prefetch", "tiny.yaml", "--hf-home", "hf", *options]
        environ = environment() | {"HF_ENDPOINT": self.hub.url, "HOME": str(self.folder)} | (env or {})
        return finished_with(command, self.folder, environ)

    @property
    def snapshot(self) -> Path:
        return self.folder / f"hf/hub/models--acme--tiny/snapshots/{COMMIT}"

    def files(self) -> set[str]:
        return {
            path.relative_to(self.snapshot).as_posix() for path in self.snapshot.rglob("*") if path.is_file()
        }


@pytest.fixture
def runner(tmp_path: Path, hub: HubServer) -> Runner:
    return Runner(tmp_path, hub)


def test_what_an_engine_needs_is_fetched_verified_and_then_neither_asked_for_nor_fetched_again(
    runner: Runner, hub: HubServer
) -> None:
    first = runner.prefetch()
    assert first.code == 0, first.out + first.err
    assert first.out.startswith("fetched  model     acme/tiny@")
    assert runner.files() == NEEDED
    asked = hub.requests
    again = runner.prefetch()
    assert (again.code, again.out.split()[0], hub.requests) == (0, "there", asked)


def test_a_machine_without_a_network_checks_every_byte(runner: Runner, hub: HubServer) -> None:
    assert runner.prefetch().code == 0
    asked, hub.down = hub.requests, True
    assert runner.prefetch("--check").code == 0
    assert runner.prefetch(env={"HF_HUB_OFFLINE": "1"}).code == 0
    blob = (runner.snapshot / SHARD).resolve()
    content = bytearray(blob.read_bytes())
    content[1000] ^= 1
    blob.write_bytes(content)
    checked = runner.prefetch("--check")
    assert (checked.code, f"{SHARD} is not what the hub says" in checked.out) == (2, True)
    (runner.snapshot / SHARD).unlink()
    missing = runner.prefetch("--check")
    assert (missing.code, "1 of 3 files missing" in missing.out) == (2, True)
    assert hub.requests == asked


def test_a_damaged_cache_is_mended_by_fetching_that_file_alone(runner: Runner, hub: HubServer) -> None:
    assert runner.prefetch().code == 0
    hub.gets.clear()
    blob = (runner.snapshot / SHARD).resolve()
    blob.write_bytes(b"x" * blob.stat().st_size)
    assert runner.prefetch().code == 0
    assert dict(hub.gets) == {SHARD: 1}
    assert (runner.snapshot / SHARD).read_bytes() == FILES[SHARD]


def test_an_interrupted_download_goes_on_where_it_was_cut(runner: Runner, hub: HubServer) -> None:
    hub.files[SHARD] = bytes(range(256)) * 100_000  # the library keeps what arrived in pieces of 10 MB
    hub.cut[SHARD] = 1
    done = runner.prefetch()
    assert done.code == 0, done.out + done.err
    assert [one.split(" ")[0] for one in hub.ranges] == [SHARD]
    assert (runner.snapshot / SHARD).read_bytes() == hub.files[SHARD]


def test_after_a_download_that_ended_only_what_is_missing_is_fetched(runner: Runner, hub: HubServer) -> None:
    hub.cut[SHARD] = 1000
    broken = runner.prefetch()
    assert (broken.code, "run it again" in broken.out) == (2, True), broken.out
    assert runner.prefetch("--check").code == 2
    hub.cut[SHARD] = 0
    complete = set(runner.files())
    hub.gets.clear()
    assert runner.prefetch().code == 0
    assert set(hub.gets) == NEEDED - complete


def test_what_arrives_damaged_is_fetched_once_more(runner: Runner, hub: HubServer) -> None:
    hub.corrupt[SHARD] = 1
    done = runner.prefetch()
    assert done.code == 0, done.out + done.err
    assert hub.gets[SHARD] == 2
    assert (runner.snapshot / SHARD).read_bytes() == FILES[SHARD]


def test_what_always_arrives_damaged_is_refused_and_not_left_in_the_cache(
    runner: Runner, hub: HubServer
) -> None:
    hub.corrupt[SHARD] = 100
    done = runner.prefetch()
    assert done.code == 2
    assert f"{SHARD} is not what the hub says it is, after 2 downloads" in done.out
    assert SHARD not in runner.files()
    assert runner.prefetch("--check").code == 2


def test_the_token_comes_from_the_environment_and_is_in_no_output(runner: Runner, hub: HubServer) -> None:
    hub.token = TOKEN
    (runner.folder / ".cache/huggingface").mkdir(parents=True)
    (runner.folder / ".cache/huggingface/token").write_text(TOKEN)
    without = runner.prefetch()
    assert (without.code, "set HF_TOKEN" in without.out) == (2, True), without.out
    wrong = runner.prefetch(env={"HF_TOKEN": "hf_another_secret"})
    assert (wrong.code, "hf_another_secret" in wrong.out + wrong.err) == (2, False)
    right = runner.prefetch(env={"HF_TOKEN": TOKEN})
    assert (right.code, TOKEN in right.out + right.err) == (0, False), right.out
    kept = [path for path in (runner.folder / "hf").rglob("*") if path.is_file()]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


def test_an_unpinned_model_is_named_with_the_commit_to_pin(runner: Runner, hub: HubServer) -> None:
    runner.pin(None)
    done = runner.prefetch()
    assert (done.code, f"commit {COMMIT}; not pinned" in done.out) == (0, True), done.out
    assert (runner.folder / "hf/hub/models--acme--tiny/refs/main").read_text() == COMMIT
    hub.down = True
    later = runner.prefetch()
    assert (later.code, later.out.split()[0]) == (0, "there"), later.out


def test_a_revision_that_the_hub_does_not_have_is_named(runner: Runner) -> None:
    runner.pin("b" * 40)
    done = runner.prefetch()
    assert (done.code, "correct model_revision" in done.out) == (2, True), done.out + done.err


def test_programs_read_rows_and_the_other_rows_survive_one_that_failed(
    runner: Runner, hub: HubServer
) -> None:
    hub.down = True
    done = runner.prefetch("--json")
    rows = {row["what"]: row["state"] for row in json.loads(done.out)}
    assert (done.code, rows) == (2, {"model": "failed", "data set": "there"})
