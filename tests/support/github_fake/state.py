"""What the fake remembers: repositories and all that belongs to one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.support.github_fake.git import Git

Fields = dict[str, Any]
EVERYTHING: Final = frozenset(
    f"{scope}:write" for scope in ("issues", "checks", "pull_requests", "contents", "actions", "workflows")
)
ACTIONS_BOT: Final = "github-actions[bot]"


@dataclass(frozen=True)
class Identity:
    """Whose token it is, and what it may do: `issues:read`, `checks:write`, ...

    `kind`: a person's token, or an app's installation token (the GITHUB_TOKEN of Actions is one), or the
    JWT with which an app asks for one.
    """

    login: str
    grants: frozenset[str] = EVERYTHING
    kind: str = "installation"
    app: str = "github-actions"
    starts_workflows: bool = False

    def may(self, need: str) -> bool:
        """Whether the token has this permission; writing includes reading."""
        return need in self.grants or need.replace(":read", ":write") in self.grants


@dataclass
class Pull:
    """A pull request; its head is wherever the head branch is now."""

    number: int
    author: str
    head_repo: Repository
    head_ref: str
    base_ref: str
    title: str = "a change"
    body: str = ""
    state: str = "open"
    labels: list[str] = field(default_factory=list)
    reviews: list[Fields] = field(default_factory=list)

    @property
    def head(self) -> str:
        """The commit that the head branch is at."""
        found = self.head_repo.git.find(f"refs/heads/{self.head_ref}")
        assert found is not None
        return found

    def push(self, text: str) -> str:
        """Let the author push a change; the new head."""
        return self.head_repo.git.commit_files(self.head_ref, {"kernel.py": text})


@dataclass
class Repository:
    """One repository. Ids of comments, checks, runs are counted over all of GitHub."""

    full_name: str
    git: Git
    ids: Iterator[int]
    id: int
    private: bool = False
    parent: Repository | None = None
    default_branch: str = "main"
    roles: dict[str, str] = field(default_factory=dict)
    protected: set[str] = field(default_factory=set)
    issues: dict[int, Fields] = field(default_factory=dict)
    pulls: dict[int, Pull] = field(default_factory=dict)
    comments: dict[int, Fields] = field(default_factory=dict)
    reactions: list[Fields] = field(default_factory=list)
    checks: dict[int, Fields] = field(default_factory=dict)
    runs: dict[int, Fields] = field(default_factory=dict)
    artifacts: dict[int, tuple[Fields, bytes]] = field(default_factory=dict)
    workflows: set[str] = field(default_factory=set)
    dispatches: list[Fields] = field(default_factory=list)
    reruns: list[int] = field(default_factory=list)

    @property
    def owner(self) -> str:
        """The first half of the name."""
        return self.full_name.partition("/")[0]

    @property
    def name(self) -> str:
        """The second half of the name."""
        return self.full_name.partition("/")[2]

    def next_number(self) -> int:
        """Issues and pull requests share their numbers."""
        return max([0, *self.issues, *self.pulls]) + 1

    def open_pull(
        self, head: Repository, ref: str, *, author: str = "contributor", base: str | None = None
    ) -> Pull:
        """Open a pull request from a branch of `head`, this repository or a fork."""
        pull = Pull(self.next_number(), author, head, ref, base or self.default_branch)
        self.pulls[pull.number] = pull
        self.sync(pull)
        return pull

    def sync(self, pull: Pull) -> str:
        """Where the head is; its commits are in the base repository too, as refs/pull/N/head."""
        self.git.fetch(pull.head_repo.git, f"refs/heads/{pull.head_ref}", f"refs/pull/{pull.number}/head")
        head = self.git.find(f"refs/pull/{pull.number}/head")
        assert head is not None
        return head

    def comment(self, number: int, login: str, body: str, **fields: Any) -> Fields:
        """Write a comment, as somebody who is not under test."""
        comment = {"id": next(self.ids), "issue": number, "login": login, "body": body, "app": None} | fields
        comment |= {"created_at": _TIME, "updated_at": _TIME}
        self.comments[comment["id"]] = comment
        return comment

    def comments_on(self, number: int) -> list[Fields]:
        """The comments of an issue or pull request, oldest first."""
        return [comment for comment in self.comments.values() if comment["issue"] == number]

    def add_run(self, sha: str, path: str, head: Repository, branch: str, **fields: Any) -> Fields:
        """A workflow run that happened."""
        run = {
            "id": next(self.ids),
            "head_sha": sha,
            "path": path,
            "head_repository": head.full_name,
            "head_branch": branch,
            "event": "pull_request",
            "status": "completed",
            "conclusion": "success",
            "run_attempt": 1,
            "display_title": "a change",
        }
        self.runs[run["id"]] = run | fields
        return self.runs[run["id"]]

    def add_artifact(self, run: Fields, name: str, content: bytes) -> Fields:
        """An artifact of a run; `content` is what the download gives."""
        artifact = {"id": next(self.ids), "name": name, "run": run["id"], "size_in_bytes": len(content)}
        self.artifacts[artifact["id"]] = (artifact, content)
        return artifact


_TIME: Final = "2026-11-24T09:00:00Z"


class World:
    """All repositories, and whose token is whose."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ids = itertools.count(1001)
        self.repositories: dict[str, Repository] = {}
        self.tokens: dict[str, Identity] = {}

    def repository(self, full_name: str, *, fork_of: Repository | None = None) -> Repository:
        """A new repository: with one commit, or those of the one it is a fork of."""
        git = Git(self._folder / f"{full_name}.git")
        repository = Repository(full_name, git, self._ids, next(self._ids), parent=fork_of)
        self.repositories[full_name.lower()] = repository
        if fork_of is None:
            git.commit_files("main", {"README.md": "a project\n"}, "first")
        else:
            git.fetch(fork_of.git, "refs/heads/main", "refs/heads/main")
        return repository

    def token(self, login: str = ACTIONS_BOT, **fields: Any) -> str:
        """A token; the one of Actions by default."""
        identity = Identity(login, **fields)
        token = f"{'ghp' if identity.kind == 'person' else 'ghs'}_fake{next(self._ids)}"
        self.tokens[token] = identity
        return token
