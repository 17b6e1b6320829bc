"""One sticky comment, whatever else happens on the pull request at the same time."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from gate.errors import GitHubError, HeadMovedError
from gate.github.client import ACTIONS_LOGIN
from gate.github.comment import StickyComment
from gate.github.pulls import require_head
from gate.model.result import Verdict
from gate.report.comment import Marker
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.calls import Reply
from tests.support.github_fake.state import Fields, Pull, Repository
from tests.support.hubs import hub

CREATE, EDIT, LIST = "issues/create-comment", "issues/update-comment", "issues/list-comments"
BAD_GATEWAY = Reply(502, {"message": "Bad Gateway"})


def text(head: str, said: str = "said", earlier: Marker | None = None) -> str:
    """A comment about a head."""
    return f"{said}\n{Marker(head, Verdict.PASS, earlier.followed_by(head) if earlier else ())}\n"


def sticky(fake: FakeGitHub, pull: Pull, head: str, token: str | None = None, **given: Any) -> StickyComment:
    github = hub(fake, token, **given)
    api = github.repository.get_pull(pull.number)
    return StickyComment(github, api, head, lambda: require_head(api, head))


def ours(repository: Repository, pull: Pull) -> list[Fields]:
    return [c for c in repository.comments_on(pull.number) if Marker.find(c["body"])]


def test_there_is_one_comment_and_it_is_changed_later(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    first = pull.head
    sticky(fake, pull, first).write(lambda marker: text(first, "one", marker))
    second = pull.push("slower = True\n")
    sticky(fake, pull, second).write(lambda marker: text(second, "two", marker))
    (comment,) = ours(repository, pull)
    assert comment["body"].startswith("two")
    found = Marker.find(comment["body"])
    assert found is not None
    assert [e.head_sha for e in found.earlier] == [first]


def test_the_same_text_is_not_written_twice(fake: FakeGitHub, repository: Repository, pull: Pull) -> None:
    for _ in range(2):
        sticky(fake, pull, pull.head).write(lambda _: text(pull.head))
    assert len(fake.writes()) == 1


@pytest.mark.parametrize("position", [0, 137, 249])
def test_it_is_found_among_250_comments(
    fake: FakeGitHub, repository: Repository, pull: Pull, position: int
) -> None:
    for number in range(250):
        mine = number == position
        repository.comment(
            pull.number,
            ACTIONS_LOGIN if mine else "somebody",
            text("a" * 40, "old") if mine else f"remark {number}",
        )
    sticky(fake, pull, pull.head).write(lambda _: text(pull.head, "new"))
    assert [c["body"] for c in ours(repository, pull)] == [text(pull.head, "new")]
    assert len(repository.comments_on(pull.number)) == 250


def test_a_marker_that_somebody_else_typed_is_not_ours(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    forged = repository.comment(pull.number, "contributor", text(pull.head, "all is well"))
    sticky(fake, pull, pull.head).write(lambda marker: text(pull.head, "a drop", marker))
    assert forged["body"] == text(pull.head, "all is well")
    assert [c["body"] for c in ours(repository, pull)] == [forged["body"], text(pull.head, "a drop")]


def test_a_comment_deleted_between_find_and_edit_is_written_again(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    old = repository.comment(pull.number, ACTIONS_LOGIN, text("a" * 40, "old"))
    fake.fail(EDIT, meanwhile=lambda: repository.comments.pop(old["id"]))
    sticky(fake, pull, pull.head).write(lambda _: text(pull.head, "new"))
    assert [c["body"] for c in ours(repository, pull)] == [text(pull.head, "new")]


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize("lost", [{"reply": BAD_GATEWAY}, {"drop": True}])
def test_a_comment_that_was_or_was_not_made_before_the_gateway_gave_up_is_there_once(
    fake: FakeGitHub, repository: Repository, pull: Pull, lost: dict[str, Any], done: bool
) -> None:
    fake.fail(CREATE, after=done, **lost)
    sticky(fake, pull, pull.head).write(lambda _: text(pull.head))
    assert [c["body"] for c in ours(repository, pull)] == [text(pull.head)]


def test_two_reporters_at_once_end_in_one_comment_with_the_later_text(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    # The second reporter writes and tidies up after the first looked and before it writes.
    other = sticky(fake, pull, pull.head)
    fake.fail(CREATE, meanwhile=lambda: other.write(lambda _: text(pull.head, "other")))
    sticky(fake, pull, pull.head).write(lambda _: text(pull.head, "mine"))
    assert [c["body"] for c in ours(repository, pull)] == [text(pull.head, "mine")]


def test_many_reporters_at_once_end_in_one_comment(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    reporters = 6
    together, failed = threading.Barrier(reporters), list[BaseException]()
    for _ in range(reporters):
        fake.fail(CREATE, meanwhile=together.wait)

    def report(number: int) -> None:
        try:
            sticky(fake, pull, pull.head).write(lambda _: text(pull.head, f"report {number}"))
        except BaseException as error:  # noqa: BLE001 - shown below
            failed.append(error)

    threads = [threading.Thread(target=report, args=(n,)) for n in range(reporters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    (comment,) = ours(repository, pull)
    assert comment["body"].startswith("report ")


def test_an_older_report_does_not_replace_a_newer_heads(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    old = pull.head
    new = pull.push("new\n")
    sticky(fake, pull, new).write(lambda _: text(new, "new"))
    with pytest.raises(HeadMovedError, match=f"its head is {new[:12]} by now, and this is about {old[:12]}"):
        sticky(fake, pull, old).write(lambda _: text(old, "old"))
    assert [c["body"] for c in ours(repository, pull)] == [text(new, "new")]


def test_a_push_while_an_older_report_waits_for_a_limit_stops_it(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    old = pull.head
    limited = Reply(403, {"message": "secondary rate limit"}, {"Retry-After": "60"})
    fake.fail(CREATE, reply=limited, meanwhile=lambda: pull.push("new\n"))
    with pytest.raises(HeadMovedError):
        sticky(fake, pull, old).write(lambda _: text(old, "old"))
    assert ours(repository, pull) == []


def test_an_older_report_that_was_already_on_its_way_is_written_over(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    old = pull.head
    sticky(fake, pull, old).write(lambda _: text(old, "first"))
    newer: list[StickyComment] = []

    def push_and_report() -> None:
        new = pull.push("new\n")
        newer.append(sticky(fake, pull, new))
        newer[0].write(lambda _: text(new, "new"))

    # The older reporter has looked, and its edit arrives after all that the newer one does.
    fake.fail(EDIT, meanwhile=push_and_report)
    with pytest.raises(HeadMovedError):
        sticky(fake, pull, old).write(lambda _: text(old, "late"))
    assert [c["body"] for c in ours(repository, pull)] == [text(old, "late")]
    assert newer[0].settle() is None
    newer[0].write(lambda _: text(pull.head, "new"))
    assert [c["body"] for c in ours(repository, pull)] == [text(pull.head, "new")]


def test_somebody_who_never_stops_writing_over_it_is_reported(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    stubborn = sticky(fake, pull, pull.head)
    stubborn.write(lambda _: text(pull.head))
    comment = ours(repository, pull)[0]

    def overwrite() -> None:
        comment["body"] = text("b" * 40, "theirs")

    overwrite()
    # Every second list is the one that looks whether the text is still there.
    for _ in range(5):
        fake.fail(LIST, times=1)
        fake.fail(LIST, meanwhile=overwrite)
    with pytest.raises(GitHubError, match="5 times in a row"):
        stubborn.write(lambda _: text(pull.head))


def test_an_app_finds_its_earlier_comment_although_it_cannot_ask_who_it_is(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    token = fake.token("gate-app[bot]", app="gate-app")
    first = pull.head
    sticky(fake, pull, first, token).write(lambda _: text(first, "one"))
    second = pull.push("two\n")
    sticky(fake, pull, second, token).write(lambda marker: text(second, "two", marker))
    (comment,) = ours(repository, pull)
    assert comment["login"] == "gate-app[bot]"
    found = Marker.find(comment["body"])
    assert found is not None
    assert [e.head_sha for e in found.earlier] == [first]


def test_an_app_that_is_told_its_login_needs_no_second_comment(
    fake: FakeGitHub, repository: Repository, pull: Pull
) -> None:
    token = fake.token("gate-app[bot]", app="gate-app")
    for said in ("one", "two"):
        sticky(fake, pull, pull.head, token, login="gate-app[bot]").write(
            lambda _, s=said: text(pull.head, s)
        )
    assert fake.count(CREATE) == 1
    assert [c["body"] for c in ours(repository, pull)] == [text(pull.head, "two")]
