"""Where baselines may come from: a clean checkout of a commit that was reviewed (design.md section 6)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from gate.baseline.pool import NOT_POOLED
from gate.errors import UsageError
from gate.fingerprint import Git
from gate.model_cache import COMMIT

DEFAULT_BRANCHES: Final = (
    "refs/remotes/origin/HEAD",
    "refs/remotes/origin/main",
    "refs/remotes/origin/master",
    "refs/heads/main",
    "refs/heads/master",
)
ENGINE_COMMIT: Final = re.compile(r"[0-9a-f]{7,40}")


class Policy(NamedTuple):
    """What the caller says about the origin of runs.

    Args:
        default_branch: its ref; None takes the first of `DEFAULT_BRANCHES` that exists.
        accepted_head: a commit that somebody with write access accepted although it is not merged.
        allow_dirty: store runs of doubtful origin all the same; they never count.
    """

    default_branch: str | None = None
    accepted_head: str | None = None
    allow_dirty: bool = False


STRICT: Final = Policy()


def marked(provenance: Mapping[str, str], git: Git, policy: Policy, *, where: str) -> dict[str, str]:
    """The provenance of a run that may enter the store, with what the policy adds to it.

    A run of an accepted head says `for_head`; a doubtful one that is let in says why under `not_pooled`.

    Raises:
        UsageError: its origin is doubtful and the policy does not let it in.
    """
    if policy.accepted_head is not None and not COMMIT.fullmatch(policy.accepted_head):
        raise UsageError(
            f"--accepted-head {policy.accepted_head!r} is not a commit id of 40 hex digits",
            hint="write it out: git rev-parse HEAD",
        )
    doubt = _doubt(provenance, git, policy)
    if doubt is None:
        head = {"for_head": provenance["commit"]} if provenance["commit"] == policy.accepted_head else {}
        return dict(provenance) | head
    if not policy.allow_dirty:
        raise UsageError(
            f"baselines come from reviewed code only: {doubt}",
            where=where,
            hint="commit, merge and collect there; --allow-dirty stores the run, but it will never count",
        )
    return dict(provenance) | {NOT_POOLED: doubt}


class Merged:
    """What is on a branch; the trees of its commits are asked for once.

    Args:
        git: runs git in the checkout.
        branch: its ref.
    """

    def __init__(self, git: Git, branch: str) -> None:
        self.branch = branch
        self._git = git
        self._trees: frozenset[str] | None = None

    def holds(self, commit: str, tree: str | None) -> bool:
        """Whether a commit is on the branch, or one with the same content: a squash makes another commit."""
        if self._git(["merge-base", "--is-ancestor", commit, self.branch]) is not None:
            return True
        if self._trees is None:
            self._trees = frozenset((self._git(["log", "--format=%T", self.branch]) or "").split())
        return tree in self._trees


def whole_default_branch(git: Git) -> str | None:
    """The default branch, where this clone has all of its commits; None where it is shallow."""
    whole = git(["rev-parse", "--is-shallow-repository"]) == "false"
    return default_branch(git) if whole else None


def default_branch(git: Git, named: str | None = None) -> str | None:
    """The ref of the default branch as this clone knows it; None where it knows none."""
    refs = DEFAULT_BRANCHES if named is None else (named,)
    return next((ref for ref in refs if git(["rev-parse", "--verify", "--quiet", ref]) is not None), None)


def _doubt(provenance: Mapping[str, str], git: Git, policy: Policy) -> str | None:
    if NOT_POOLED in provenance:
        return provenance[NOT_POOLED]
    commit, dirty = provenance.get("commit", ""), provenance.get("dirty")
    if dirty == "true":
        return "the checkout has changes that no commit holds"
    if edits := provenance.get("engine_edits"):
        return f"the engine's checkout has changes that no commit holds ({edits})"
    if dirty != "false" or not COMMIT.fullmatch(commit):
        return "git does not say which commit this is (no checkout, or none it trusts: safe.directory)"
    if commit == policy.accepted_head:
        return None
    return _unmerged(commit, provenance.get("tree"), git, policy) or _unmerged_engine(
        provenance.get("engine_commit", ""), git, policy
    )


def _unmerged_engine(commit: str, git: Git, policy: Policy) -> str | None:
    """Doubt in what the engine was built from, where this clone knows that commit: it is this code then."""
    if not ENGINE_COMMIT.fullmatch(commit):
        return None
    tree = git(["rev-parse", "--verify", "--quiet", f"{commit}^{{tree}}"])
    return None if tree is None else _unmerged(commit, tree, git, policy, whose="the engine's commit")


def _unmerged(
    commit: str, tree: str | None, git: Git, policy: Policy, *, whose: str = "the commit"
) -> str | None:
    branch = default_branch(git, policy.default_branch)
    if branch is None:
        return f"no default branch is known ({policy.default_branch or 'name it with --default-branch'})"
    if Merged(git, branch).holds(commit, tree):
        return None
    return f"{whose} {commit[:12]} is not on {branch.removeprefix('refs/')}, as far as this clone knows"
