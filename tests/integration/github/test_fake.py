"""The fake itself: what GitHub would refuse turns a test red, whoever asked for it."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.calls import HANDLERS
from tests.support.github_fake.description import github
from tests.support.waiting import PATIENCE

SHA = "0" * 40


@pytest.fixture
def loose(tmp_path: Path) -> Iterator[FakeGitHub]:
    """A fake whose violations the test looks at itself."""
    with FakeGitHub(tmp_path / "github") as running:
        running.repository("o/r").issues[1] = {"number": 1}
        yield running


def ask(fake: FakeGitHub, method: str, path: str, body: object = None) -> tuple[int, Any, Any]:
    """One request with a token that may everything: status, body, headers."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(fake.url + path, data=data, method=method)
    request.add_header("Authorization", f"token {fake.token()}")
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, json.loads(answer.read() or "null"), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read() or "null"), error.headers


def check(**changes: Any) -> dict[str, Any]:
    return {"name": "gate", "head_sha": SHA, "status": "in_progress"} | changes


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        ("/repos/o/r/issues/1/comments", {"bdy": "hello"}, "'bdy' was unexpected"),
        ("/repos/o/r/issues/1/comments", {"body": 7}, "7 is not of type 'string'"),
        ("/repos/o/r/issues/1/comments", {"body": "x", "pinned": True}, "'pinned' was unexpected"),
        ("/repos/o/r/check-runs", check(conclusion="failed"), "'failed' is not one of"),
        ("/repos/o/r/check-runs", check(output={"title": "t"}), "'summary' is a required property"),
        ("/repos/o/r/check-runs", check(output={"titel": "t", "title": "t", "summary": "s"}), "'titel'"),
        (
            "/repos/o/r/check-runs",
            check(
                output={
                    "title": "t",
                    "summary": "s",
                    "annotations": [
                        {
                            "path": "a",
                            "start_line": 1,
                            "end_line": 1,
                            "annotation_level": "notice",
                            "message": "m",
                        }
                    ]
                    * 51,
                }
            ),
            "is too long",
        ),
        ("/repos/o/r/issues?sate=open", None, "query parameter sate does not exist"),
        ("/repos/o/r/issues?state=opened", None, "'opened' is not one of"),
        ("/repos/o/r/issue/1", None, "no such operation at GitHub"),
        ("/repos/o/r/labels", None, "not in this fake: issues/list-labels-for-repo"),
    ],
)
def test_what_github_would_refuse_is_refused_and_remembered(
    loose: FakeGitHub, path: str, body: object, said: str
) -> None:
    status, answer, _ = ask(loose, "GET" if body is None else "POST", path, body)
    assert status in (404, 422)
    assert said in answer["message"]
    assert [said in violation for violation in loose.violations] == [True]


def test_an_answer_that_github_would_not_give_is_remembered_too(loose: FakeGitHub) -> None:
    repository = loose.world.repositories["o/r"]
    repository.comment(1, "somebody", "text")["body"] = 7
    ask(loose, "GET", "/repos/o/r/issues/1/comments")
    assert "7 is not of type 'string'" in loose.violations[0]


def test_lists_come_in_pages_of_thirty_with_links(loose: FakeGitHub) -> None:
    repository = loose.world.repositories["o/r"]
    for number in range(65):
        repository.comment(1, "somebody", f"comment {number}")
    _, first, headers = ask(loose, "GET", "/repos/o/r/issues/1/comments")
    _, last, end = ask(loose, "GET", "/repos/o/r/issues/1/comments?page=3")
    assert (len(first), len(last)) == (30, 5)
    assert '?page=2>; rel="next"' in headers["Link"]
    assert '?page=3>; rel="last"' in headers["Link"]
    assert 'rel="prev"' in end["Link"]
    assert "next" not in end["Link"]


def test_a_token_can_do_what_it_was_granted_and_no_more(loose: FakeGitHub) -> None:
    reader = loose.token(grants=frozenset({"issues:read"}))
    request = urllib.request.Request(f"{loose.url}/repos/o/r/issues/1/comments", data=b'{"body": "x"}')
    request.add_header("Authorization", f"Bearer {reader}")
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(request, timeout=PATIENCE)
    refused.value.close()
    request.add_header("Authorization", "Bearer somebody-elses")
    with pytest.raises(urllib.error.HTTPError, match="401") as refused:
        urllib.request.urlopen(request, timeout=PATIENCE)
    refused.value.close()
    assert loose.world.repositories["o/r"].comments == {}


def test_every_operation_of_the_fake_is_one_of_github() -> None:
    assert HANDLERS.keys() <= github().operations.keys()
