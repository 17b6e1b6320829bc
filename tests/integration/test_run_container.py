"""`gate run --engine-image` from the command line, against a client that answers as Docker does.

It starts what the image would hold as processes of this machine, and writes down how it was called.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.project import LOG, STORED, STUB, Finished, Project, environment, finished_with

DIGEST = "sha256:" + "a" * 64
CLIENT = """#!{python}
import json, os, sys
from pathlib import Path

words = sys.argv[1:]
with open({record!r}, "a") as record:
    record.write(json.dumps(words) + "\\n")
if words[:2] == ["image", "inspect"]:
    print(json.dumps([{{"Id": "sha256:" + "b" * 64, "RepoDigests": ["vllm@{digest}"]}}]))
elif words[0] == "run" and "--entrypoint" in words:
    program = words[words.index("--entrypoint") + 1]
    rest = words[words.index("vllm@{digest}") + 1 :]
    if program == "python3":
        os.environ["PYTHONPATH"] = {inside!r}
        os.execv(sys.executable, [sys.executable, *rest]) if {answers} else sys.exit("no python3 in it")
    folder = next(w for w in words if w.endswith(",target=/gate")).split("source=")[1].split(",")[0]
    rest = [os.path.join(folder, "s") if word == "/gate/s" else word for word in rest]
    os.execv(sys.executable, [sys.executable, {stub!r}, "--log", {log!r}, "--accuracy", "0.6", *rest])
"""
OPTIONS = ("--container-user", "1000:1000", "--container-group", "render", "--container-group", "110")


def client(project: Project, *, answers: bool = True) -> Path:
    """The client; the Python inside its image has a vLLM, an AITER and a torch of known versions."""
    inside = project.folder / "site-packages"
    for name, version in (("vllm", "0.33.1"), ("amd-aiter", "0.1.9"), ("torch", "2.13.0+rocm")):
        info = inside / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    path = project.folder / "docker"
    path.write_text(
        CLIENT.format(
            python=sys.executable,
            record=str(project.folder / "calls"),
            digest=DIGEST,
            inside=str(inside),
            answers=answers,
            stub=str(STUB),
            log=str(LOG),
        )
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project with a baseline."""
    made = Project(tmp_path)
    done = made.collect(*STORED, repeats=64)
    assert done.code == 0, done.err
    return made


def run(project: Project, docker: Path, *more: str) -> Finished:
    words = project.arguments("run", engine="unused")
    words += ["--engine-image", f"vllm@{DIGEST}", "--container-cli", str(docker), *OPTIONS, *more]
    return finished_with(words, project.folder, environment())


def calls(project: Project) -> list[list[str]]:
    return [json.loads(line) for line in (project.folder / "calls").read_text().splitlines()]


def test_the_engine_inside_the_image_is_asked_shut_in_as_it_will_serve(project: Project):
    done = run(project, client(project))
    assert done.code == 0, done.out + done.err
    record = json.loads((project.folder / "out/records/cpu__stub__default.json").read_text())
    told = [record["provenance"][name] for name in ("engine_version", "aiter", "torch", "image_digest")]
    assert told == ["0.33.1", "0.1.9", "2.13.0+rocm", f"vllm@{DIGEST}"]
    asked, served = (call for call in calls(project) if call[0] == "run")
    name = asked.index("--name") + 1
    until = asked.index("--shm-size")
    assert asked[:name] == served[:name]
    assert asked[name + 1 : until] == served[name + 1 : until]
    assert asked[name] != served[name]
    assert asked[name + 1 : name + 7] == ["--network", "none", "--user", "1000:1000", "--cap-drop", "ALL"]
    assert not [word for word in asked if "--mount" in word]


def test_an_image_whose_python_says_nothing_is_told_before_anything_starts(project: Project):
    done = run(project, client(project, answers=False))
    assert (done.code, "no python3 in it" in done.err) == (4, True)
    assert [call[0] for call in calls(project)] == ["image", "run", "rm"]
    assert calls(project)[1][calls(project)[1].index("--name") + 1] == calls(project)[2][-1]


def test_a_group_that_is_none_is_refused(project: Project):
    done = run(project, client(project), "--container-group", "video,wheel")
    assert (done.code, "'video,wheel' is no group" in done.err) == (2, True)
