"""What an image is, from a client that answers as Docker does (a script, started as a process)."""

import json
from pathlib import Path

import pytest

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
