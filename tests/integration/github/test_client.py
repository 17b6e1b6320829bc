"""The client against limits, broken gateways and lost connections; and where the token can be seen."""

from __future__ import annotations

import itertools
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from github import GithubException

from gate.errors import GitHubError, UsageError
from gate.github.client import ACTIONS_LOGIN, Credentials, Hub, Pace, told
from tests.support.github_fake import FakeGitHub
from tests.support.github_fake.calls import Reply
from tests.support.github_fake.state import Pull, Repository
from tests.support.hubs import AT_ONCE, Ticks, hub
from tests.support.waiting import PATIENCE

COMMENT = "issues/create-comment"
LIMITED = {"message": "You have exceeded a secondary rate limit"}


def comment(hub: Hub, number: int, text: str = "hello") -> None:
    hub.write(lambda: hub.repository.get_issue(number).create_comment(text))


@pytest.mark.parametrize(
    ("reply", "waited"),
    [
        (Reply(403, LIMITED, {"Retry-After": "37"}), 37.0),
        (Reply(429, LIMITED, {"Retry-After": "21"}), 21.0),
        (Reply(403, LIMITED), 60.0),
        (Reply(429, {"message": "slow down"}), 60.0),
        (Reply(502, {"message": "Bad Gateway"}), 1.0),
    ],
)
def test_a_write_waits_as_long_as_it_is_told(
    fake: FakeGitHub, pull: Pull, reply: Reply, waited: float
) -> None:
    clock = Ticks()
    fake.fail(COMMENT, reply=reply)
    said: list[str] = []
    comment(hub(fake, pace=Pace(between_writes=0), clock=clock, say=said.append), pull.number)
    assert clock.slept == [waited]
    assert fake.count(COMMENT) == 2
    assert [line.endswith(f"; tries again in {waited:.0f} s") for line in said] == [True]


def test_a_primary_limit_is_waited_for_until_its_reset(fake: FakeGitHub, pull: Pull) -> None:
    clock = Ticks()
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(clock.time()) + 120)}
    fake.fail(COMMENT, reply=Reply(403, {"message": "API rate limit exceeded"}, headers))
    comment(hub(fake, pace=Pace(between_writes=0), clock=clock), pull.number)
    assert clock.slept[0] == pytest.approx(121, abs=5)


def test_a_limit_that_lasts_too_long_ends_in_words(fake: FakeGitHub, pull: Pull) -> None:
    fake.fail(COMMENT, reply=Reply(403, LIMITED, {"Retry-After": "3600"}))
    with pytest.raises(GitHubError, match=r"did not get through \(tries: 1\)"):
        comment(hub(fake), pull.number)


def test_a_gateway_that_never_recovers_ends_in_words(fake: FakeGitHub, pull: Pull) -> None:
    fake.fail(COMMENT, reply=Reply(502, {"message": "Bad Gateway"}), times=99)
    with pytest.raises(GitHubError, match=r"\(tries: 6\): 502 Bad Gateway"):
        comment(hub(fake), pull.number)


def test_a_lost_connection_is_tried_again(fake: FakeGitHub, pull: Pull, repository: Repository) -> None:
    fake.fail(COMMENT, drop=True)
    comment(hub(fake), pull.number)
    assert [c["body"] for c in repository.comments_on(pull.number)] == ["hello"]


def test_an_answer_that_takes_too_long_is_not_waited_for(fake: FakeGitHub, pull: Pull) -> None:
    fake.fail(COMMENT, delay=4, reply=Reply(502, {"message": "too late"}))
    comment(hub(fake, pace=Pace(between_writes=0, timeout=3)), pull.number)
    assert fake.count(COMMENT) == 2


def test_what_github_refuses_for_good_is_not_tried_again(fake: FakeGitHub, pull: Pull) -> None:
    clock, reader = Ticks(), fake.token(grants=frozenset({"issues:read"}))
    with pytest.raises(GitHubError, match="403 Resource not accessible") as refused, told("org/engine"):
        comment(hub(fake, reader, clock=clock), pull.number)
    assert "lacks a permission (issues: write or pull-requests: write)" in str(refused.value)
    assert clock.slept == []


def test_a_wrong_token_says_which_variable_it_was_taken_from_first(fake: FakeGitHub, pull: Pull) -> None:
    with pytest.raises(GitHubError, match="401 Bad credentials") as refused, told("org/engine"):
        comment(hub(fake, "ghs_nobody"), pull.number)
    assert "of GATE_GITHUB_TOKEN, GITHUB_TOKEN, GH_TOKEN the first one set is taken" in str(refused.value)


def test_reads_are_repeated_by_pygithub(fake: FakeGitHub, pull: Pull) -> None:
    for reply in (
        Reply(502, {"message": "Bad Gateway"}),
        Reply(429, LIMITED, {"Retry-After": "0"}),
        Reply(403, LIMITED, {"Retry-After": "0"}),
    ):
        fake.fail("pulls/get", reply=reply)
    fake.fail("pulls/get", drop=True)
    said: list[str] = []
    assert hub(fake, say=said.append).repository.get_pull(pull.number).head.ref == "topic"
    assert fake.count("pulls/get") == 5
    assert [line.partition(" ")[2].partition(";")[0] for line in said] == [
        *("answers 502", "answers 429", "answers 403", "does not answer (ProtocolError)")
    ]


def test_an_address_that_swallows_everything_is_given_up_after_three_timeouts_and_says_so() -> None:
    said: list[str] = []
    with swallowing() as address:
        credentials = Credentials(f"http://{address}", "t")
        api = Hub(credentials, "org/engine", pace=Pace(timeout=1, backoff=0.01), say=said.append)
        with pytest.raises(GitHubError, match="cannot be reached: ConnectTimeout"), told("org/engine"):
            list(api.repository.get_pulls())
    assert said == [f"{address} does not answer (ConnectTimeoutError); tries again in 0 s"] * 2


@contextmanager
def swallowing() -> Iterator[str]:
    """An address at which connections are neither taken nor refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as held:
        host, port = full.getsockname()
        for _ in range(3):  # the queue takes one or two
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        yield f"{host}:{port}"


def test_two_writes_are_apart_by_the_pause_that_github_asks_for(fake: FakeGitHub, pull: Pull) -> None:
    clock = Ticks()
    paced = hub(fake, pace=Pace(between_writes=0.2), clock=clock)
    for _ in range(3):
        comment(paced, pull.number)
    # PyGithub waits by the real clock, for writes that go past Hub.write as well.
    gaps = [b.at - a.at for a, b in itertools.pairwise(fake.writes())]
    assert min(gaps) > 0.15
    assert [pytest.approx(0.2, abs=0.15)] * 2 == clock.slept
    assert Pace().between_writes == 2.0


def test_an_actions_token_is_taken_for_what_it_is(fake: FakeGitHub, repository: Repository) -> None:
    assert hub(fake).login == ACTIONS_LOGIN


def test_a_persons_token_says_who_it_is(fake: FakeGitHub, repository: Repository) -> None:
    assert hub(fake, fake.token("mia", kind="person")).login == "mia"


def test_an_app_gets_a_token_of_its_own_for_the_repository(
    fake: FakeGitHub, pull: Pull, repository: Repository, tmp_path: Path
) -> None:
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    public = subprocess.run(
        ["openssl", "rsa", "-in", key, "-pubout"], check=True, capture_output=True, text=True
    )
    fake.app_keys["gate-app"] = public.stdout
    environ = {"GITHUB_API_URL": fake.url, "GATE_APP_ID": "7", "GATE_APP_KEY_FILE": str(key)}
    app = Hub(Credentials.from_environ(environ), "org/engine", pace=AT_ONCE)
    comment(app, pull.number)
    assert repository.comments_on(pull.number)[0]["login"] == "gate-app[bot]"


def test_an_enterprise_server_has_its_api_below_a_path(tmp_path: Path) -> None:
    with FakeGitHub(tmp_path / "github", enterprise=True) as fake:
        made = fake.repository("org/engine")
        for number in range(130):
            made.comment(1, "somebody", str(number))
        made.issues[1] = {"number": 1}
        assert fake.url.endswith("/api/v3")
        found = hub(fake).repository.get_issue(1).get_comments()
        assert len(list(found)) == 130  # the links to the next page are below it too
        assert fake.violations == []


def test_there_must_be_a_token() -> None:
    with pytest.raises(UsageError, match="no token for GitHub"):
        Credentials.from_environ({"GATE_APP_ID": "7"})


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="private key"):
        Credentials.from_environ({"GATE_APP_ID": "7", "GATE_APP_KEY_FILE": str(tmp_path / "none")})


def test_a_repository_that_is_not_there_says_what_to_check(fake: FakeGitHub) -> None:
    with pytest.raises(GitHubError, match="404") as missing, told("org/engine"):
        list(hub(fake).repository.get_pulls())
    assert "that the token may read them" in str(missing.value)


def test_nobody_there_is_a_sentence(fake: FakeGitHub, repository: Repository) -> None:
    gone = Credentials("http://127.0.0.1:9", "t")
    with pytest.raises(GitHubError, match="cannot be reached"), told("org/engine"):
        list(Hub(gone, "org/engine", pace=Pace(tries=0)).repository.get_pulls())


CANARY = "ghs_canary0123456789"


def test_the_token_is_in_no_repr_log_or_error(
    fake: FakeGitHub, pull: Pull, caplog: pytest.LogCaptureFixture
) -> None:
    fake.world.tokens[CANARY] = fake.world.tokens[fake.token()]
    caplog.set_level(logging.DEBUG)
    credentials = Credentials(fake.url, CANARY, app_key="KEY-CANARY")
    client = Hub(credentials, "org/engine", pace=AT_ONCE)
    fake.fail(COMMENT, reply=Reply(502, {"message": "Bad Gateway"}))
    comment(client, pull.number)
    seen: list[Any] = [credentials, client, client.api, client.repository, vars(client)]
    with pytest.raises(GithubException) as refused:
        client.write(lambda: client.repository.get_issue(99).create_comment("x"))
    text = "".join(map(repr, [*seen, refused.value, refused.value.headers])) + caplog.text
    assert CANARY not in text
    assert "KEY-CANARY" not in text
    assert "/repos/org/engine" in caplog.text  # the log did see the requests


def test_a_proxy_is_used_where_the_environment_names_one(fake: FakeGitHub, pull: Pull) -> None:
    code = (
        "import os\n"
        "from gate.github.client import Credentials, Hub\n"
        "hub = Hub(Credentials.from_environ(os.environ), 'org/engine')\n"
        f"print(hub.repository.get_pull({pull.number}).head.ref)\n"
    )
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(Path(__file__).resolve().parents[3]),
        "GITHUB_API_URL": "http://github.invalid",
        "GITHUB_TOKEN": fake.token(),
        "HTTP_PROXY": fake.url,
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout == "topic\n", done.stderr
    assert fake.asked[-1].headers["Host"] == "github.invalid:80"
