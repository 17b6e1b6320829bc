"""One request to the fake, and the table of what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from tests.support.github_fake.state import Fields, Identity, Pull, Repository, World


class Reply(NamedTuple):
    """Status, body (what is not given is filled in), and headers."""

    status: int
    body: Any = None
    headers: Mapping[str, str] = MappingProxyType({})


class Refused(Exception):
    """GitHub says no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.reply = Reply(status, {"message": message, "documentation_url": "https://docs.github.com/rest"})


@dataclass
class Call:
    """A request that GitHub's description accepts."""

    world: World
    who: Identity
    base: str
    path: dict[str, str]
    query: dict[str, str]
    body: Any

    @property
    def repo(self) -> Repository:
        """The repository in the path."""
        name = f"{self.path['owner']}/{self.path['repo']}".lower()
        if name not in self.world.repositories:
            raise Refused(404, "Not Found")
        return self.world.repositories[name]

    @property
    def url(self) -> str:
        """The API's address of the repository in the path."""
        return f"{self.base}/repos/{self.repo.full_name}"

    def pull(self, number: str) -> Pull:
        """A pull request by its number in the path."""
        return self.found(self.repo.pulls, number)

    def issue(self, number: str) -> int:
        """The number of an issue or pull request that is there."""
        if int(number) not in self.repo.issues and int(number) not in self.repo.pulls:
            raise Refused(404, "Not Found")
        return int(number)

    @staticmethod
    def found(table: dict[int, Any], key: str) -> Any:
        """An entry by its id, or 404."""
        if int(key) not in table:
            raise Refused(404, "Not Found")
        return table[int(key)]

    def page(self, items: list[Any], key: str | None = None) -> Reply:
        """One page of a list, 30 unless told, with GitHub's Link header."""
        size = min(int(self.query.get("per_page", 30)), 100)
        number, last = int(self.query.get("page", 1)), max(1, -(-len(items) // size))
        part = items[(number - 1) * size : number * size]
        body = part if key is None else {"total_count": len(items), key: part}
        return Reply(200, body, {"Link": self._links(number, last)} if last > 1 else {})

    def _links(self, number: int, last: int) -> str:
        pages = {"prev": number - 1, "first": 1} if number > 1 else {}
        pages |= {"next": number + 1, "last": last} if number < last else {}
        query = "".join(f"&{name}={value}" for name, value in self.query.items() if name != "page")
        return ", ".join(
            f'<{self.base}{self.path["*"]}?page={page}{query}>; rel="{rel}"' for rel, page in pages.items()
        )


class Handler(NamedTuple):
    """What answers an operation, and the permissions of which a token needs one."""

    answer: Callable[[Call], Reply]
    needs: tuple[str, ...]


HANDLERS: Final[dict[str, Handler]] = {}


def operation(name: str, *needs: str) -> Callable[[Callable[[Call], Reply]], Callable[[Call], Reply]]:
    """Register the answer to an operation of GitHub's description."""

    def register(answer: Callable[[Call], Reply]) -> Callable[[Call], Reply]:
        HANDLERS[name] = Handler(answer, needs)
        return answer

    return register


def user(login: str) -> Fields:
    """A user as GitHub shows one."""
    kind = "Bot" if login.endswith("[bot]") else "User"
    return {"login": login, "id": sum(login.encode()), "type": kind}


def repository_name(repository: Repository) -> Fields:
    """What names a repository inside of other things."""
    return {
        "full_name": repository.full_name,
        "name": repository.name,
        "id": repository.id,
        "owner": user(repository.owner),
        "private": repository.private,
        "fork": repository.parent is not None,
        "default_branch": repository.default_branch,
    }
