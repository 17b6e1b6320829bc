"""Check runs."""

from __future__ import annotations

from typing import Final

from tests.support.github_fake.calls import Call, Refused, Reply, operation
from tests.support.github_fake.state import Fields

SUMMARY_BYTES: Final = 65_535
WRITABLE: Final = ("name", "status", "conclusion", "details_url", "external_id", "started_at", "completed_at")


def check_json(call: Call, check: Fields) -> Fields:
    output = check["output"]
    return {
        "id": check["id"],
        "url": f"{call.url}/check-runs/{check['id']}",
        "html_url": f"https://github.com/{call.repo.full_name}/runs/{check['id']}",
        "head_sha": check["head_sha"],
        "name": check["name"],
        "status": check["status"],
        "conclusion": check.get("conclusion"),
        "details_url": check.get("details_url"),
        "external_id": check.get("external_id"),
        "started_at": check.get("started_at"),
        "completed_at": check.get("completed_at"),
        "output": {
            "title": output.get("title"),
            "summary": output.get("summary"),
            "text": output.get("text"),
            "annotations_count": len(check["annotations"]),
            "annotations_url": f"{call.url}/check-runs/{check['id']}/annotations",
        },
        "app": {"slug": check["app"], "name": check["app"], "id": sum(check["app"].encode())},
        "pull_requests": [],
        "check_suite": {"id": 1},
    }


def only_apps(call: Call) -> None:
    if call.who.kind != "installation":
        raise Refused(403, "You must authenticate via a GitHub App.")


def written(check: Fields, body: Fields) -> None:
    check |= {key: body[key] for key in WRITABLE if key in body}
    if "conclusion" in body:
        check["status"] = "completed"
    if check["status"] == "completed" and "conclusion" not in check:
        raise Refused(422, "Validation Failed: conclusion is missing")
    output = body.get("output", {})
    for key in ("summary", "text"):
        if len(output.get(key, "").encode()) > SUMMARY_BYTES:
            raise Refused(422, f"Validation Failed: {key} exceeds a maximum bytesize of 65535")
    check["output"] = check["output"] | {k: v for k, v in output.items() if k in ("title", "summary", "text")}
    check["annotations"] = check["annotations"] + output.get("annotations", [])


@operation("checks/create", "checks:write")
def create(call: Call) -> Reply:
    only_apps(call)
    if call.repo.git.find(call.body["head_sha"]) is None:
        raise Refused(422, f"No commit found for SHA: {call.body['head_sha']}")
    check: Fields = {
        "id": next(call.repo.ids),
        "head_sha": call.body["head_sha"],
        "status": "queued",
        "output": {},
        "annotations": [],
        "app": call.who.app,
    }
    written(check, call.body)
    call.repo.checks[check["id"]] = check
    return Reply(201, check_json(call, check))


@operation("checks/update", "checks:write")
def update(call: Call) -> Reply:
    only_apps(call)
    check = call.found(call.repo.checks, call.path["check_run_id"])
    if check["app"] != call.who.app:
        raise Refused(403, "Invalid app_id: the check run belongs to another app")
    written(check, call.body)
    return Reply(200, check_json(call, check))


@operation("checks/get", "checks:read")
def get(call: Call) -> Reply:
    return Reply(200, check_json(call, call.found(call.repo.checks, call.path["check_run_id"])))


@operation("checks/list-for-ref", "checks:read")
def list_for_ref(call: Call) -> Reply:
    sha = call.repo.git.find(call.path["ref"])
    if sha is None:
        raise Refused(422, f"No commit found for SHA: {call.path['ref']}")
    found = [
        check
        for check in sorted(call.repo.checks.values(), key=lambda check: -check["id"])
        if check["head_sha"] == sha
        and call.query.get("check_name", check["name"]) == check["name"]
        and call.query.get("status", check["status"]) == check["status"]
    ]
    if call.query.get("filter", "latest") == "latest":
        latest = {(check["app"], check["name"]): check for check in reversed(found)}
        found = [check for check in found if latest[check["app"], check["name"]] is check]
    return call.page([check_json(call, check) for check in found], "check_runs")
