"""Commits, trees, refs, files."""

from __future__ import annotations

import base64

from tests.support.github_fake.calls import Call, Refused, Reply, operation
from tests.support.github_fake.git import Entry, NotFastForward
from tests.support.github_fake.state import Fields

READ, WRITE = "contents:read", "contents:write"


def ref_json(call: Call, ref: str) -> Fields:
    sha = call.repo.git.find(ref)
    if sha is None:
        raise Refused(404, "Not Found")
    return {
        "ref": ref,
        "url": f"{call.url}/git/{ref}",
        "object": {"type": "commit", "sha": sha, "url": f"{call.url}/git/commits/{sha}"},
    }


def git_commit_json(call: Call, sha: str) -> Fields:
    git = call.repo.git
    person = {"name": "t", "email": "t@example.org", "date": "2026-01-01T00:00:00Z"}
    return {
        "sha": sha,
        "url": f"{call.url}/git/commits/{sha}",
        "message": git.message_of(sha),
        "tree": {"sha": git.tree_of(sha), "url": f"{call.url}/git/trees/{git.tree_of(sha)}"},
        "parents": [{"sha": parent} for parent in git.parents_of(sha)],
        "author": person,
        "committer": person,
    }


def commit_json(call: Call, sha: str) -> Fields:
    inner = git_commit_json(call, sha)
    kept = {key: inner[key] for key in ("message", "tree", "author", "committer", "url")}
    return {
        "sha": sha,
        "url": f"{call.url}/commits/{sha}",
        "commit": kept | {"comment_count": 0},
        "parents": inner["parents"],
        "author": None,
        "committer": None,
    }


def commit_of(call: Call, name: str) -> str:
    sha = call.repo.git.find(name)
    if sha is None or call.repo.git.kind(sha) != "commit":
        raise Refused(404, "Not Found")
    return sha


def moved(call: Call, ref: str, sha: str, *, force: bool) -> None:
    branch = ref.removeprefix("refs/heads/")
    if branch in call.repo.protected:
        raise Refused(422, "Changes must be made through a pull request. (protected branch)")
    if call.repo.git.find(sha) is None:
        raise Refused(422, "Object does not exist")
    try:
        call.repo.git.set_ref(ref, sha, force=force)
    except NotFastForward as problem:
        raise Refused(422, "Update is not a fast forward") from problem


@operation("git/get-ref", READ)
def get_ref(call: Call) -> Reply:
    return Reply(200, ref_json(call, f"refs/{call.path['ref']}"))


@operation("git/list-matching-refs", READ)
def matching_refs(call: Call) -> Reply:
    names = [ref for ref in call.repo.git.refs("refs") if ref.startswith(f"refs/{call.path['ref']}")]
    return call.page([ref_json(call, ref) for ref in names])


@operation("git/create-ref", WRITE)
def create_ref(call: Call) -> Reply:
    if call.repo.git.find(call.body["ref"]):
        raise Refused(422, "Reference already exists")
    moved(call, call.body["ref"], call.body["sha"], force=True)
    return Reply(201, ref_json(call, call.body["ref"]))


@operation("git/update-ref", WRITE)
def update_ref(call: Call) -> Reply:
    ref = f"refs/{call.path['ref']}"
    if call.repo.git.find(ref) is None:
        raise Refused(422, "Reference does not exist")
    moved(call, ref, call.body["sha"], force=call.body.get("force", False))
    return Reply(200, ref_json(call, ref))


@operation("git/delete-ref", WRITE)
def delete_ref(call: Call) -> Reply:
    ref_json(call, f"refs/{call.path['ref']}")
    call.repo.git.delete_ref(f"refs/{call.path['ref']}")
    return Reply(204)


@operation("git/create-blob", WRITE)
def create_blob(call: Call) -> Reply:
    content = call.body["content"]
    data = base64.b64decode(content) if call.body.get("encoding") == "base64" else content.encode()
    sha = call.repo.git.blob(data)
    return Reply(201, {"sha": sha, "url": f"{call.url}/git/blobs/{sha}"})


@operation("git/create-tree", WRITE)
def create_tree(call: Call) -> Reply:
    git, entries = call.repo.git, []
    for item in call.body["tree"]:
        if item["path"].startswith(".github/workflows/") and not call.who.may("workflows:write"):
            raise Refused(403, "Resource not accessible by integration")
        sha = git.blob(item["content"].encode()) if "content" in item else item["sha"]
        entries.append(Entry(item["path"], item["mode"], sha))
    tree = git.tree(entries, call.body.get("base_tree"))
    return Reply(201, {"sha": tree, "url": f"{call.url}/git/trees/{tree}", "truncated": False, "tree": []})


@operation("git/create-commit", WRITE)
def create_commit(call: Call) -> Reply:
    git = call.repo.git
    if git.kind(call.body["tree"]) != "tree":
        raise Refused(422, "Tree SHA does not exist")
    sha = git.commit(call.body["tree"], call.body.get("parents", []), call.body["message"])
    return Reply(201, git_commit_json(call, sha))


@operation("git/get-commit", READ)
def get_git_commit(call: Call) -> Reply:
    return Reply(200, git_commit_json(call, commit_of(call, call.path["commit_sha"])))


@operation("repos/get-commit", READ)
def get_commit(call: Call) -> Reply:
    return Reply(200, commit_json(call, commit_of(call, call.path["ref"])))


@operation("repos/list-commits", READ)
def list_commits(call: Call) -> Reply:
    start = commit_of(call, call.query.get("sha", call.repo.default_branch))
    log = call.repo.git.log(start)
    size = min(int(call.query.get("per_page", 30)), 100)
    first = (int(call.query.get("page", 1)) - 1) * size
    wanted = [commit_json(call, sha) if first <= at < first + size else {} for at, sha in enumerate(log)]
    return call.page(wanted)


@operation("repos/get-content", READ)
def get_content(call: Call) -> Reply:
    rev, path = call.query.get("ref", call.repo.default_branch), call.path["path"]
    data = call.repo.git.read(rev, path)
    if data is None:
        raise Refused(404, "Not Found")
    return Reply(
        200,
        {
            "type": "file",
            "encoding": "base64",
            "size": len(data),
            "name": path.rpartition("/")[2],
            "path": path,
            "content": base64.b64encode(data).decode(),
            "sha": call.repo.git.blob(data),
            "url": f"{call.url}/contents/{path}",
        },
    )


@operation("repos/compare-commits-with-basehead", READ)
def compare(call: Call) -> Reply:
    base, _, head = call.path["basehead"].partition("...")
    ours, theirs = commit_of(call, base), commit_of(call, head)
    before, after = call.repo.git.log(ours), call.repo.git.log(theirs)
    ahead, behind = len(set(after) - set(before)), len(set(before) - set(after))
    status = {(True, True): "diverged", (True, False): "ahead", (False, True): "behind"}
    return Reply(
        200,
        {
            "status": status.get((ahead > 0, behind > 0), "identical"),
            "ahead_by": ahead,
            "behind_by": behind,
            "total_commits": ahead,
            "base_commit": commit_json(call, ours),
            "merge_base_commit": commit_json(call, ours),
            "commits": [],
            "url": f"{call.url}/compare/{call.path['basehead']}",
        },
    )
