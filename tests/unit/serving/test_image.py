"""What an image is, from a client that answers as Docker does (a script, started as a process)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gate.engine import EngineChoice, find_out
from gate.errors import EngineError, UsageError
from gate.serving.image import Image, image_of

DIGEST = "rocm/vllm@sha256:" + "a" * 64


def client(folder: Path, *, here: bool, pulls: bool, answer: str) -> dict[str, str]:
    """A `docker` on PATH: whether it has the image, whether it can pull it, and what it says of it."""
    (folder / "answer").write_text(answer)
    if here:
        (folder / "here").touch()
    script = f"""#!/bin/sh
echo "$@" >> {folder}/record
case "$1" in
  image) [ -e {folder}/here ] && exec /bin/cat {folder}/answer; echo "No such image: $4" >&2; exit 1;;
  pull) {": >" + str(folder / "here") if pulls else 'echo "denied: access forbidden" >&2; exit 1'};;
esac
"""
    (folder / "docker").write_text(script)
    (folder / "docker").chmod(0o755)
    return {"PATH": str(folder)}


ANSWER = json.dumps([{"Id": "sha256:" + "b" * 64, "RepoDigests": [DIGEST], "Architecture": "amd64"}])


@pytest.mark.parametrize(("here", "asked"), [(True, 1), (False, 3)])
def test_an_image_is_pulled_only_where_it_is_missing_and_known_by_id_and_digest(tmp_path, here, asked):
    image = image_of("rocm/vllm:1", ["docker"], client(tmp_path, here=here, pulls=True, answer=ANSWER))
    assert image == Image("rocm/vllm:1", "sha256:" + "b" * 64, (DIGEST,))
    assert image.provenance()["image_digest"] == DIGEST
    assert len((tmp_path / "record").read_text().splitlines()) == asked


def test_an_image_that_was_built_here_has_no_digest(tmp_path):
    answer = json.dumps([{"Id": "sha256:c", "RepoDigests": None}])
    image = image_of("mine", ["docker"], client(tmp_path, here=True, pulls=False, answer=answer))
    assert image.provenance() == {"image": "mine", "image_id": "sha256:c", "image_digest": "none"}


def test_an_image_that_nobody_has_is_told_with_the_clients_words(tmp_path):
    with pytest.raises(UsageError, match="cannot be pulled") as caught:
        image_of("no/such", ["docker"], client(tmp_path, here=False, pulls=False, answer=""))
    assert caught.value.hint == "denied: access forbidden"


@pytest.mark.parametrize("answer", ["", "[]", "{}", "[{}]", "[1]", "null"])
def test_an_answer_that_describes_no_image_is_an_error(tmp_path, answer):
    with pytest.raises(EngineError, match="answers no image"):
        image_of("x", ["docker"], client(tmp_path, here=True, pulls=False, answer=answer))


def test_a_missing_client_is_told(tmp_path):
    with pytest.raises(UsageError, match="docker not found"):
        image_of("x", ["docker"], {"PATH": str(tmp_path)})


def test_a_client_that_cannot_be_executed_is_told(tmp_path):
    (tmp_path / "docker").write_text("#!/nowhere/sh\n")
    (tmp_path / "docker").chmod(0o755)
    with pytest.raises(EngineError, match="FileNotFoundError"):
        image_of("x", ["docker"], {"PATH": str(tmp_path)})


def script(folder: Path, text: str) -> str:
    """A client at a path of its own, which writes down what it was asked and of which container."""
    (folder / "podman").write_text(f'#!/bin/sh\necho "$1 $3 $7" >> {folder}/record\n{text}\n')
    (folder / "podman").chmod(0o755)
    return str(folder / "podman")


def test_an_image_is_pulled_through_the_proxy_and_the_engine_is_not_told_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    asked = f"""
echo "$1 ${{HTTPS_PROXY-none}}" >> {tmp_path}/proxies
case "$1" in
  image) [ -e {tmp_path}/here ] && echo '[{{"Id": "b"}}]' || exit 1;;
  pull) : > {tmp_path}/here;;
  run) echo 'gate-facts:{{}}';;
esac"""
    find_out(EngineChoice(image="x", container_cli=script(tmp_path, asked), container_user="1000:1000"))
    assert (tmp_path / "proxies").read_text().splitlines() == [
        *("image http://proxy:3128", "pull http://proxy:3128", "image http://proxy:3128", "run none"),
    ]


INTERRUPTED = """
import signal, sys
from gate.serving.confinement import Confinement
from gate.serving.image import Image, ask_image

signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    ask_image(Image("x", "b", ()), Confinement([sys.argv[1]], user="1000:1000"), {}, visible={})
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_image_that_is_being_asked_when_ctrl_c_comes_leaves_no_container(tmp_path):
    client = script(tmp_path, 'if [ "$1" = run ]; then kill -INT $PPID; exec /bin/sleep 600; fi')
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, client], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n")
    (ran, _, name), (removed, gone) = (
        line.split() for line in (tmp_path / "record").read_text().splitlines()
    )
    assert (ran, removed, gone) == ("run", "rm", name)
