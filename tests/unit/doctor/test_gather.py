"""What `gate doctor` finds out about a machine: files, environment, tools and GitHub's API, all stand-ins."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gate.doctor import gather as gather_module
from gate.doctor.facts import Actions, ContainerEngine, Encodings, Facts, Moment, Token
from gate.doctor.gather import DoctorRequest, gather
from gate.engine import EngineChoice
from gate.model_cache import Manifest, ModelFile, manifest_path, write_manifest
from gate.serving import gpu
from gate.serving.gpu import Gpu, GpuProcess, Machine
from tests.support.questions import write_questions

COMMIT = "c" * 40
NOT_THERE = EngineChoice("no-such-vllm")  # asking a Python takes time, and is tested by itself
SECRET = "ghp_xyzzy4711"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A config, its question set, and an empty Hugging Face home."""
    write_questions(tmp_path / "questions.csv", 8)
    (tmp_path / "tiny.yaml").write_text(
        f"model_name: acme/tiny\nmodel_revision: {COMMIT}\ntask: gpqa_diamond\n"
    )
    return tmp_path


def gathered(folder: Path, environ: dict[str, str] | None = None, **changes: Any) -> Facts:
    values = {
        "paths": (folder / "tiny.yaml",),
        "engine": NOT_THERE,
        "out": folder / "out/deep/down",
        "cache": folder / "cache",
        "hf_home": folder / "hf",
        "dataset_path": folder / "questions.csv",
    }
    return gather(DoctorRequest(**(values | changes)), environ or {}, root=folder / "root")


def snapshot(folder: Path, config: str = "{}") -> Path:
    made = folder / f"hf/hub/models--acme--tiny/snapshots/{COMMIT}"
    made.mkdir(parents=True)
    (made / "config.json").write_text(config)
    (made / "model.safetensors").write_bytes(b"weights")
    return made


def test_a_python_without_vllm_is_told_apart_from_a_command_that_is_not_there(folder: Path) -> None:
    here = gathered(folder, engine=EngineChoice(sys.executable))
    assert here.engine is not None
    assert (here.engine.importable, here.engine.problem) == (False, None)
    gone = gathered(folder)
    assert gone.engine is not None
    assert "no-such-vllm" in (gone.engine.problem or "")
    assert gone.engine.do


def test_a_model_in_the_cache_is_found_with_its_size_and_its_list(folder: Path) -> None:
    snapshot(folder, '{"model_type": "gpt_oss"}')
    (facts,) = gathered(folder).models
    assert (facts.commit, facts.problem, facts.size, facts.is_harmony) == (COMMIT, None, 7, True)
    assert not facts.listed
    there, missing = ModelFile(path="config.json", size=25), ModelFile(path="tokenizer.json", size=900)
    write_manifest(folder / "hf/hub", Manifest(model="acme/tiny", commit=COMMIT, files=(there, missing)))
    (facts,) = gathered(folder).models
    assert (facts.listed, facts.to_fetch) == (True, 900)
    assert "tokenizer.json" in (facts.problem or "")


def test_a_model_that_is_not_there_or_whose_list_is_torn_is_a_fact(folder: Path) -> None:
    (facts,) = gathered(folder).models
    assert f"at {COMMIT}" in (facts.problem or "")
    snapshot(folder)
    path = manifest_path(folder / "hf/hub", "acme/tiny", COMMIT)
    path.parent.mkdir(parents=True)
    path.write_text("{")
    (facts,) = gathered(folder).models
    assert "not a manifest" in (facts.problem or "")


def test_a_folder_given_instead_of_a_model_is_looked_into(folder: Path) -> None:
    given = snapshot(folder)
    (facts,) = gathered(folder, model=str(given)).models
    assert (facts.folder, facts.problem, facts.size) == (given, None, 7)
    (empty,) = gathered(folder, model=str(folder)).models
    assert "holds no model" in (empty.problem or "")
    (nowhere,) = gathered(folder, model="local/tiny").models
    assert "on no hub" in (nowhere.problem or "")


def test_a_harmony_model_is_known_by_its_config_or_before_it_is_there_by_its_name(folder: Path) -> None:
    (absent,) = gathered(folder, model="openai/gpt-oss-20b").models
    assert absent.problem
    assert absent.is_harmony
    given = snapshot(folder)
    (other,) = gathered(folder, model=str(given)).models
    assert not other.is_harmony
    (given / "config.json").write_text('{"model_type": "gpt_oss"}')
    (facts,) = gathered(folder, model=str(given)).models
    assert facts.is_harmony


def test_question_sets_are_read_and_never_fetched(folder: Path) -> None:
    (facts,) = gathered(folder).datasets
    assert (facts.name, facts.questions, facts.problem) == ("gpqa_diamond", 8, None)
    (absent,) = gathered(folder, dataset_path=None).datasets
    assert "not in the cache" in (absent.problem or "")


def test_gpus_and_who_is_on_them_are_known_without_the_engine(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = Machine((), (), (Gpu("sm90", memory=81559, used=900),), None, processes=(GpuProcess(7, "python"),))
    monkeypatch.setattr(gpu, "ask_machine", lambda: busy)
    facts = gathered(folder)
    assert (facts.gpus, facts.gpu_processes) == (busy.nvidia, busy.processes)
    assert facts.arch == "sm90"


@pytest.mark.parametrize("asked", [True, False])
def test_what_was_asked_for_is_a_fact(folder: Path, asked: bool) -> None:
    assert gathered(folder, allow_persistent=asked).allow_persistent is asked


def test_disks_are_those_of_folders_that_are_not_made_yet(folder: Path) -> None:
    facts = gathered(folder)
    assert {disk.what: disk.path for disk in facts.disks}["results"] == folder
    assert min(disk.free for disk in facts.disks) > 0
    assert not (folder / "out").exists()
    assert facts.memory_available <= facts.memory_total


def test_without_a_config_the_machine_alone_is_looked_at(folder: Path) -> None:
    facts = gathered(folder, paths=())
    assert (facts.specs, facts.models, facts.datasets, facts.image) == ((), (), (), None)


def test_the_port_range_is_the_kernels(folder: Path) -> None:
    assert gathered(folder).ports is None
    file = folder / "root/proc/sys/net/ipv4/ip_local_port_range"
    file.parent.mkdir(parents=True)
    file.write_text("32768\t60999\n")
    facts = gathered(folder)
    assert (facts.ports, facts.port_problem) == ((32768, 60999), None)


RANKS = hashlib.sha256(b"ranks").hexdigest()


def test_the_encoding_is_known_by_its_bytes(folder: Path) -> None:
    assert gathered(folder).encodings == (Encodings(None, None),)
    base = {"TIKTOKEN_ENCODINGS_BASE": str(folder)}
    assert gathered(folder, base).encodings == (Encodings(str(folder), None),)
    (folder / "o200k_base.tiktoken").write_bytes(b"ranks")
    assert gathered(folder, base).encodings == (Encodings(str(folder), RANKS),)


def test_an_encoding_in_the_working_folder_is_not_where_the_engine_looks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "o200k_base.tiktoken").write_bytes(b"ranks")
    monkeypatch.chdir(folder)
    assert gathered(folder).encodings == (Encodings(None, None),)
    (empty,) = gathered(folder, {"TIKTOKEN_ENCODINGS_BASE": ""}).encodings
    assert empty.sha256 is None


def name_encodings(folder: Path, base: Path) -> None:
    with (folder / "tiny.yaml").open("a") as config:
        config.write(f"env: {{TIKTOKEN_ENCODINGS_BASE: {base}}}\n")


def test_a_config_that_names_the_encodings_folder_wins_over_the_machine(folder: Path) -> None:
    (folder / "o200k_base.tiktoken").write_bytes(b"ranks")
    name_encodings(folder, folder)
    facts = gathered(folder, {"TIKTOKEN_ENCODINGS_BASE": str(folder / "elsewhere")})
    assert facts.encodings == (Encodings(str(folder), RANKS),)


def client_of_an_image(folder: Path, own: str) -> EngineChoice:
    """A container engine's client whose image is this machine, with a variable of its own."""
    client = folder / "client"
    client.write_text(
        f"#!{sys.executable}\nimport os, sys\nwords = sys.argv[1:]\n"
        'if words[0] == "image":\n    print(\'[{"Id": "sha256:0"}]\')\n'
        'elif words[0] == "run":\n'
        f'    os.environ["TIKTOKEN_ENCODINGS_BASE"] = {own!r}\n'
        "    os.execv(sys.executable, [sys.executable, *words[words.index('vllm:1') + 1 :]])\n"
    )
    client.chmod(0o755)
    return EngineChoice(image="vllm:1", container_cli=str(client), container_user="1000:1000")


def test_an_image_is_asked_for_the_encodings_that_its_engine_will_read(folder: Path) -> None:
    inside = folder / "of the image"
    inside.mkdir()
    (inside / "o200k_base.tiktoken").write_bytes(b"ranks")
    image = client_of_an_image(folder, str(inside))
    assert gathered(folder, engine=image).encodings == (Encodings(str(inside), RANKS, in_image=True),)
    gone = {"TIKTOKEN_ENCODINGS_BASE": str(folder / "gone")}  # not mounted: it is no folder of this machine
    assert gathered(folder, gone, engine=image).encodings[0].in_image
    mounted = {"TIKTOKEN_ENCODINGS_BASE": str(folder)}
    assert gathered(folder, mounted, engine=image).encodings == (Encodings(str(folder), None),)
    empty = folder / "named"
    name_encodings(folder, empty)
    named = gathered(folder, mounted, engine=image).encodings
    assert named == (Encodings(str(empty), None, in_image=True),)


def tool(folder: Path, name: str, script: str) -> dict[str, str]:
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    (tools / name).write_text(f"#!/bin/sh\n{script}\n")
    (tools / name).chmod(0o755)
    return {"PATH": str(tools)}


IMAGE = EngineChoice(image="vllm@sha256:" + "0" * 64, container_user="1000:1000")


def asked_of(
    folder: Path, script: str, choice: EngineChoice = IMAGE, client: str = "docker"
) -> ContainerEngine:
    """What is found out of a container engine whose client is this script."""
    found = gathered(folder, tool(folder, client, script), engine=choice).container_engine
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("script", "server", "has_image", "problem"),
    [
        ("echo linux 28.3; exit 0", "linux 28.3", True, None),
        ('[ "$1" = version ] && echo linux 28.3', "linux 28.3", False, None),
        ("echo permission denied >&2; exit 1", None, False, "permission denied"),
    ],
)
def test_the_container_engine_is_asked_whether_it_answers_and_has_the_image(
    folder: Path, script: str, server: str | None, has_image: bool, problem: str | None
) -> None:
    found = asked_of(folder, script)
    assert (found.server, found.has_image, found.problem) == (server, has_image, problem)


def test_the_client_is_the_one_that_would_run_the_engine_with_its_own_words(folder: Path) -> None:
    podman = replace(IMAGE, container_cli="podman --root /data/images")
    found = asked_of(folder, 'echo "$@"', podman, "podman")
    assert found.client == "podman --root /data/images"
    assert (found.server or "").startswith("--root /data/images version")
    assert found.has_image


@pytest.mark.parametrize(
    ("choice", "problem", "do"),
    [
        (replace(IMAGE, container_cli="no-such-client"), "no-such-client not found", "install Docker"),
        (replace(IMAGE, container_user="0:0"), "the engine's container would run as root", "1000:1000"),
        (replace(IMAGE, container_user="mia"), "--container-user 'mia' is not UID:GID", "1000:1000"),
        (replace(IMAGE, container_groups=("a b",)), "--container-group 'a b' is no group", "renderD128"),
    ],
)
def test_what_a_run_would_be_refused_for_is_a_fact(
    folder: Path, choice: EngineChoice, problem: str, do: str
) -> None:
    found = asked_of(folder, "echo linux 28.3", choice)
    assert (found.server, found.problem, do in (found.do or "")) == (None, problem, True)


def test_a_container_that_would_run_as_the_gate_which_is_root_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 0)
    assert asked_of(folder, "echo linux 28.3", replace(IMAGE, container_user=None)).server is None
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert asked_of(folder, "echo linux 28.3", replace(IMAGE, container_user=None)).server == "linux 28.3"


def test_a_client_that_cannot_run_or_never_answers_is_a_fact(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather_module, "CLIENT_SECONDS", 0.1)
    assert asked_of(folder, "exec /bin/sleep 120").problem == "TimeoutExpired"
    environ = tool(folder, "docker", "")
    (Path(environ["PATH"]) / "docker").write_text("#!/no/such/interpreter\n")
    found = gathered(folder, environ, engine=IMAGE).container_engine
    assert found is not None
    assert (found.server, found.problem) == (None, "FileNotFoundError")


def job(folder: Path, *, event: dict[str, Any], runner: dict[str, Any] | None) -> dict[str, str]:
    """The environment of an Actions job on a self-hosted runner."""
    (folder / "event.json").write_text(json.dumps(event))
    work = folder / "actions-runner/_work/repo"
    work.mkdir(parents=True, exist_ok=True)
    if runner is not None:
        (folder / "actions-runner/.runner").write_text(json.dumps(runner), encoding="utf-8-sig")
    return {
        "GITHUB_ACTIONS": "true",
        "GITHUB_EVENT_PATH": str(folder / "event.json"),
        "RUNNER_ENVIRONMENT": "self-hosted",
        "RUNNER_WORKSPACE": str(work),
    }


@pytest.mark.parametrize(
    ("runner", "ephemeral"),
    [({"ephemeral": True}, True), ({"Ephemeral": "True"}, True), ({"agentId": 7}, False), (None, None)],
)
def test_a_runner_is_as_ephemeral_as_its_own_settings_say(
    folder: Path, runner: dict[str, Any] | None, ephemeral: bool | None
) -> None:
    environ = job(folder, event={"repository": {"private": False}}, runner=runner)
    assert gathered(folder, environ).actions == Actions(True, True, ephemeral)


@pytest.mark.parametrize(
    ("environment", "self_hosted"), [("github-hosted", False), ("self-hosted", True), (None, True)]
)
def test_a_runner_that_does_not_say_whose_it_is_is_taken_for_a_machine_that_remembers(
    folder: Path, environment: str | None, self_hosted: bool
) -> None:
    environ = job(folder, event={}, runner=None)
    del environ["RUNNER_ENVIRONMENT"]
    actions = gathered(folder, environ | ({"RUNNER_ENVIRONMENT": environment} if environment else {})).actions
    assert actions is not None
    assert actions.self_hosted is self_hosted


def test_what_the_event_does_not_say_is_not_known(folder: Path) -> None:
    environ = job(folder, event={}, runner=None)
    assert gathered(folder, environ).actions == Actions(True, None, None)
    (folder / "event.json").write_text("torn {")
    assert gathered(folder, environ).actions == Actions(True, None, None)
    assert gathered(folder).actions is None


def test_times_that_github_wrote_are_compared_with_the_clock(folder: Path) -> None:
    event = {
        "head_commit": {"timestamp": "2031-01-01T00:00:00Z"},
        "pull_request": {"updated_at": "2030-01-01T00:00:00+00:00"},
    }
    facts = gathered(folder, job(folder, event=event, runner=None))
    last = max(facts.moments, key=lambda moment: moment.seconds)
    assert (last.what, last.seconds) == ("the push", 1_924_992_000.0)


def test_the_dates_of_configs_and_of_the_repository_are_times_that_have_passed(folder: Path) -> None:
    os.utime(folder / "tiny.yaml", (1_900_000_000, 1_900_000_000))
    event = {"repository": {"updated_at": "2031-01-01T00:00:00Z"}}
    moments = gathered(folder, job(folder, event=event, runner=None)).moments
    assert Moment("the file tiny.yaml", 1_900_000_000.0) in moments
    assert Moment("the repository's last change", 1_924_992_000.0) in moments


class Api(BaseHTTPRequestHandler):
    """GitHub's answer about one repository."""

    status: ClassVar[int] = 200
    scopes: ClassVar[str | None] = "repo, read:org"
    body: ClassVar[bytes] = b'{"private": false, "permissions": {"push": true}}'
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.path} {self.headers['Authorization']}")
        self.send_response(self.status)
        if self.scopes is not None:
            self.send_header("X-OAuth-Scopes", self.scopes)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def api() -> Iterator[tuple[type[Api], dict[str, str]]]:
    """GitHub's API on this machine, and the environment that names it."""
    handler = type("Handler", (Api,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield (
            handler,
            {
                "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}",
                "GITHUB_REPOSITORY": "o/r",
                "GITHUB_TOKEN": SECRET,
            },
        )
        server.shutdown()
        thread.join()


def test_github_is_asked_what_a_token_may_do_and_the_token_is_not_kept(folder: Path, api: Any) -> None:
    handler, environ = api
    facts = gathered(folder, environ)
    assert facts.token == Token("GITHUB_TOKEN", "a classic personal token", ("repo", "read:org"), True)
    assert handler.asked == [f"/repos/o/r Bearer {SECRET}"]
    assert SECRET not in repr(facts)


def test_a_token_of_a_job_has_no_scopes(folder: Path, api: Any) -> None:
    handler, environ = api
    handler.scopes, handler.body = None, b'{"permissions": {"push": false}}'
    token = gathered(folder, environ | {"GITHUB_TOKEN": "ghs_x"}).token
    assert token == Token("GITHUB_TOKEN", "a job's or an App's token", (), False)


def test_a_github_that_does_not_say_is_a_fact(folder: Path, api: Any) -> None:
    handler, environ = api
    handler.status = 401
    refused = gathered(folder, environ).token
    assert refused is not None
    assert refused.problem == "GitHub answered 401"
    handler.status, handler.body = 200, b"<html>"
    odd = gathered(folder, environ | {"GITHUB_TOKEN": "?"}).token
    assert odd is not None
    assert (odd.kind, odd.problem) == ("of an unknown kind", "JSONDecodeError")


@pytest.mark.parametrize("variable", ["GITHUB_TOKEN", "GH_TOKEN", "GITHUB_PAT", "GH_PAT"])
def test_a_token_is_seen_under_each_name_that_tools_read_it_from(folder: Path, variable: str) -> None:
    alone = gathered(folder, {variable: SECRET}).token
    assert alone is not None
    assert (alone.variable, alone.problem) == (variable, "GITHUB_REPOSITORY does not say where")


def test_the_hubs_token_is_a_yes_or_no(folder: Path) -> None:
    facts = gathered(folder, {"HF_TOKEN": "hf_xyzzy"})
    assert facts.hf_token
    assert "hf_xyzzy" not in repr(facts)


@pytest.mark.parametrize(
    ("arch", "environ", "choice"),
    [
        ("sm90", {"CUDA_VISIBLE_DEVICES": ""}, ("CUDA_VISIBLE_DEVICES", "", 0)),
        ("gfx950", {"HIP_VISIBLE_DEVICES": "0,1"}, ("HIP_VISIBLE_DEVICES", "0,1", 2)),
        ("gfx950", {}, None),
        ("cpu", {"CUDA_VISIBLE_DEVICES": "0"}, None),
    ],
)
def test_a_variable_that_hides_gpus_is_told_as_it_was_set(
    folder: Path, arch: str, environ: dict[str, str], choice: tuple[str, str, int] | None
) -> None:
    assert gathered(folder, environ, arch=arch).gpu_choice == choice
