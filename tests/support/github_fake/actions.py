"""Workflow runs, artifacts, dispatches."""

from __future__ import annotations

from tests.support.github_fake.calls import Call, Refused, Reply, operation, repository_name
from tests.support.github_fake.state import Fields

READ, WRITE = "actions:read", "actions:write"


def run_json(call: Call, run: Fields) -> Fields:
    head = call.world.repositories[run["head_repository"].lower()]
    kept = ("id", "head_sha", "path", "head_branch", "event", "status", "conclusion", "run_attempt")
    kept += ("display_title",)
    return {key: run[key] for key in kept} | {
        "url": f"{call.url}/actions/runs/{run['id']}",
        "html_url": f"https://github.com/{call.repo.full_name}/actions/runs/{run['id']}",
        "artifacts_url": f"{call.url}/actions/runs/{run['id']}/artifacts",
        "head_repository": repository_name(head),
        "repository": repository_name(call.repo),
        "pull_requests": [],  # empty for forks, always
    }


def artifact_json(call: Call, artifact: Fields) -> Fields:
    url = f"{call.url}/actions/artifacts/{artifact['id']}"
    return {
        "id": artifact["id"],
        "name": artifact["name"],
        "size_in_bytes": artifact["size_in_bytes"],
        "expired": False,
        "url": url,
        "archive_download_url": f"{url}/zip",
    }


@operation("actions/get-workflow-run", READ)
def get_run(call: Call) -> Reply:
    return Reply(200, run_json(call, call.found(call.repo.runs, call.path["run_id"])))


@operation("actions/list-workflow-runs-for-repo", READ)
def list_runs(call: Call) -> Reply:
    found = [
        run
        for run in sorted(call.repo.runs.values(), key=lambda run: -run["id"])
        if call.query.get("head_sha", run["head_sha"]) == run["head_sha"]
        and call.query.get("event", run["event"]) == run["event"]
    ]
    return call.page([run_json(call, run) for run in found], "workflow_runs")


@operation("actions/list-workflow-run-artifacts", READ)
def list_artifacts(call: Call) -> Reply:
    run = call.found(call.repo.runs, call.path["run_id"])
    found = [artifact for artifact, _ in call.repo.artifacts.values() if artifact["run"] == run["id"]]
    return call.page([artifact_json(call, artifact) for artifact in found], "artifacts")


@operation("actions/download-artifact", READ)
def download(call: Call) -> Reply:
    artifact, _ = call.found(call.repo.artifacts, call.path["artifact_id"])
    # As GitHub does, to a storage that wants no token; see FakeGitHub for what is there.
    return Reply(302, None, {"Location": f"{call.base}/_storage/{artifact['id']}"})


@operation("actions/re-run-workflow-failed-jobs", WRITE)
def rerun_failed(call: Call) -> Reply:
    run = call.found(call.repo.runs, call.path["run_id"])
    call.repo.reruns.append(run["id"])
    return Reply(201, {})


@operation("actions/create-workflow-dispatch", WRITE)
def dispatch(call: Call) -> Reply:
    workflow = call.path["workflow_id"]
    if workflow not in call.repo.workflows:
        raise Refused(404, "Not Found")
    if call.repo.git.find(f"refs/heads/{call.body['ref']}") is None:
        raise Refused(422, f"No ref found for: {call.body['ref']}")
    inputs = call.body.get("inputs", {})
    if sum(len(str(value)) for value in inputs.values()) > 65_535:
        raise Refused(422, "inputs are too large.")
    call.repo.dispatches.append({"workflow": workflow, "ref": call.body["ref"], "inputs": inputs})
    return Reply(204)
