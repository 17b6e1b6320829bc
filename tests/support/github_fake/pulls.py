"""Pull requests."""

from __future__ import annotations

from tests.support.github_fake.calls import Call, Refused, Reply, operation, repository_name, user
from tests.support.github_fake.state import Fields, Pull, Repository

READ, WRITE = "pull_requests:read", "pull_requests:write"


def pull_json(call: Call, pull: Pull) -> Fields:
    def side(repository: Repository, ref: str, sha: str) -> Fields:
        repo = repository_name(repository) | {"url": f"{call.base}/repos/{repository.full_name}"}
        return {
            "ref": ref,
            "sha": sha,
            "label": f"{repository.owner}:{ref}",
            "user": user(repository.owner),
            "repo": repo,
        }

    base = call.repo.git.find(f"refs/heads/{pull.base_ref}")
    assert base is not None
    return {
        "number": pull.number,
        "id": pull.number,
        "url": f"{call.url}/pulls/{pull.number}",
        "html_url": f"https://github.com/{call.repo.full_name}/pull/{pull.number}",
        "issue_url": f"{call.url}/issues/{pull.number}",
        "title": pull.title,
        "body": pull.body,
        "state": pull.state,
        "user": user(pull.author),
        "labels": [{"name": name} for name in pull.labels],
        "head": side(pull.head_repo, pull.head_ref, call.repo.sync(pull)),
        "base": side(call.repo, pull.base_ref, base),
    }


@operation("pulls/get", READ)
def get(call: Call) -> Reply:
    return Reply(200, pull_json(call, call.pull(call.path["pull_number"])))


@operation("pulls/list", READ)
def list_pulls(call: Call) -> Reply:
    state, head = call.query.get("state", "open"), call.query.get("head")
    found = [
        pull
        for pull in sorted(call.repo.pulls.values(), key=lambda pull: -pull.number)
        if state in ("all", pull.state)
        and head in (None, f"{pull.head_repo.owner}:{pull.head_ref}")
        and call.query.get("base", pull.base_ref) == pull.base_ref
    ]
    return call.page([pull_json(call, pull) for pull in found])


@operation("pulls/list-files", READ)
def list_files(call: Call) -> Reply:
    pull = call.pull(call.path["pull_number"])
    names = call.repo.git.changed(f"refs/heads/{pull.base_ref}", call.repo.sync(pull))
    return call.page([{"filename": name, "status": "modified"} for name in names])


@operation("pulls/list-reviews", READ)
def list_reviews(call: Call) -> Reply:
    reviews = call.pull(call.path["pull_number"]).reviews
    return call.page(
        [
            {
                "id": at,
                "user": user(review["login"]),
                "state": review["state"],
                "commit_id": review["sha"],
                "body": "",
            }
            for at, review in enumerate(reviews, start=1)
        ]
    )


@operation("pulls/create", WRITE)
def create(call: Call) -> Reply:
    branch = call.body["head"].rpartition(":")[2]
    head, base = (
        call.repo.git.find(f"refs/heads/{branch}"),
        call.repo.git.find(f"refs/heads/{call.body['base']}"),
    )
    if head is None or base is None:
        raise Refused(422, "Validation Failed: head or base is invalid")
    if head == base:
        raise Refused(422, f"Validation Failed: No commits between {call.body['base']} and {branch}")
    if any(
        p.head_ref == branch and p.head_repo is call.repo and p.state == "open"
        for p in call.repo.pulls.values()
    ):
        raise Refused(
            422, f"Validation Failed: A pull request already exists for {call.repo.owner}:{branch}."
        )
    pull = call.repo.open_pull(call.repo, branch, author=call.who.login, base=call.body["base"])
    pull.title, pull.body = call.body["title"], call.body.get("body", "")
    return Reply(201, pull_json(call, pull))


@operation("pulls/update", WRITE)
def update(call: Call) -> Reply:
    pull = call.pull(call.path["pull_number"])
    for key in ("title", "body", "state"):
        if key in call.body:
            setattr(pull, key, call.body[key])
    return Reply(200, pull_json(call, pull))
