"""Issues, comments, reactions, permissions, users."""

from __future__ import annotations

from typing import Final

from tests.support.github_fake.calls import Call, Refused, Reply, operation, repository_name, user
from tests.support.github_fake.state import Fields

COMMENT_CHARACTERS: Final = 65_536
LATER: Final = "2026-11-24T09:30:00Z"
READ, WRITE = ("issues:read", "pull_requests:read"), ("issues:write", "pull_requests:write")
LEGACY: Final = {"maintain": "write", "triage": "read"}


def comment_json(call: Call, comment: Fields) -> Fields:
    number = comment["issue"]
    kind = "pull" if number in call.repo.pulls else "issues"
    page = f"https://github.com/{call.repo.full_name}/{kind}/{number}#issuecomment-{comment['id']}"
    return {
        "id": comment["id"],
        "url": f"{call.url}/issues/comments/{comment['id']}",
        "html_url": page,
        "issue_url": f"{call.url}/issues/{number}",
        "body": comment["body"],
        "user": user(comment["login"]),
        "created_at": comment["created_at"],
        "updated_at": comment["updated_at"],
    }


def checked(body: str) -> str:
    if len(body) > COMMENT_CHARACTERS:
        raise Refused(422, "Validation Failed: body is too long (maximum is 65536 characters)")
    if not body.strip():
        raise Refused(422, "Validation Failed: body cannot be blank")
    return body


@operation("issues/list-comments", *READ)
def list_comments(call: Call) -> Reply:
    number = call.issue(call.path["issue_number"])
    return call.page([comment_json(call, comment) for comment in call.repo.comments_on(number)])


@operation("issues/create-comment", *WRITE)
def create_comment(call: Call) -> Reply:
    number = call.issue(call.path["issue_number"])
    comment = call.repo.comment(number, call.who.login, checked(call.body["body"]))
    return Reply(201, comment_json(call, comment))


@operation("issues/get-comment", *READ)
def get_comment(call: Call) -> Reply:
    return Reply(200, comment_json(call, call.found(call.repo.comments, call.path["comment_id"])))


@operation("issues/update-comment", *WRITE)
def update_comment(call: Call) -> Reply:
    comment = call.found(call.repo.comments, call.path["comment_id"])
    comment |= {"body": checked(call.body["body"]), "updated_at": LATER}
    return Reply(200, comment_json(call, comment))


@operation("issues/delete-comment", *WRITE)
def delete_comment(call: Call) -> Reply:
    call.found(call.repo.comments, call.path["comment_id"])
    del call.repo.comments[int(call.path["comment_id"])]
    return Reply(204)


@operation("reactions/create-for-issue-comment", *WRITE)
def react(call: Call) -> Reply:
    comment = call.found(call.repo.comments, call.path["comment_id"])
    reaction = {"comment": comment["id"], "login": call.who.login, "content": call.body["content"]}
    status = 200 if reaction in call.repo.reactions else 201
    if status == 201:
        call.repo.reactions.append(reaction)
    return Reply(status, {"id": 1, "content": reaction["content"], "user": user(call.who.login)})


def issue_json(call: Call, issue: Fields) -> Fields:
    return {
        "number": issue["number"],
        "id": issue["number"],
        "title": issue["title"],
        "body": issue["body"],
        "state": issue["state"],
        "user": user(issue["login"]),
        "labels": [{"name": name} for name in issue["labels"]],
        "url": f"{call.url}/issues/{issue['number']}",
        "html_url": f"https://github.com/{call.repo.full_name}/issues/{issue['number']}",
        "repository_url": call.url,
    }


@operation("issues/list-for-repo", "issues:read")
def list_issues(call: Call) -> Reply:
    wanted = call.query.get("state", "open")
    labels = set(filter(None, call.query.get("labels", "").split(",")))
    found = [
        issue
        for issue in sorted(call.repo.issues.values(), key=lambda issue: -issue["number"])
        if wanted in ("all", issue["state"])
        and labels <= set(issue["labels"])
        and call.query.get("creator", issue["login"]) == issue["login"]
    ]
    return call.page([issue_json(call, issue) for issue in found])


@operation("issues/create", "issues:write")
def create_issue(call: Call) -> Reply:
    number = call.repo.next_number()
    issue = {
        "number": number,
        "login": call.who.login,
        "title": str(call.body["title"]),
        "body": checked(call.body.get("body") or " - "),
        "state": "open",
        "labels": list(call.body.get("labels", [])),
    }
    call.repo.issues[number] = issue
    return Reply(201, issue_json(call, issue))


@operation("issues/get", *READ)
def get_issue(call: Call) -> Reply:
    return Reply(200, issue_json(call, call.found(call.repo.issues, call.path["issue_number"])))


@operation("issues/update", "issues:write")
def update_issue(call: Call) -> Reply:
    issue = call.found(call.repo.issues, call.path["issue_number"])
    issue |= {key: call.body[key] for key in ("title", "body", "state", "state_reason") if key in call.body}
    return Reply(200, issue_json(call, issue))


@operation("repos/get", "contents:read", "metadata:read", "issues:read", "checks:read", "actions:read")
def get_repository(call: Call) -> Reply:
    return Reply(200, repository_name(call.repo) | {"url": call.url})


@operation("repos/get-collaborator-permission-level")
def permission(call: Call) -> Reply:
    login = call.path["username"]
    role = call.repo.roles.get(login, "none" if call.repo.private else "read")
    return Reply(
        200,
        {"permission": LEGACY.get(role, role), "role_name": role, "user": user(login)},
    )


@operation("users/get-authenticated")
def authenticated(call: Call) -> Reply:
    if call.who.kind != "person":
        raise Refused(403, "Resource not accessible by integration")
    return Reply(200, user(call.who.login))


@operation("apps/get-repo-installation")
def installation(call: Call) -> Reply:
    if call.who.kind != "jwt":
        raise Refused(401, "A JSON web token could not be decoded")
    return Reply(200, {"id": call.repo.id, "app_slug": call.who.app, "account": user(call.repo.owner)})


@operation("apps/create-installation-access-token")
def installation_token(call: Call) -> Reply:
    if call.who.kind != "jwt":
        raise Refused(401, "A JSON web token could not be decoded")
    token = call.world.token(f"{call.who.app}[bot]", app=call.who.app, starts_workflows=True)
    return Reply(201, {"token": token, "expires_at": "2099-01-01T00:00:00Z"})
