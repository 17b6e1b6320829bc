"""Whose runs may enter the store, in real repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from gate.baseline.pool import NOT_POOLED
from gate.baseline.source import STRICT, Policy, default_branch, marked
from gate.errors import UsageError
from gate.fingerprint import Git, git_in
from tests.support.checkout import commit, repository, run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    repository(tmp_path / "r", "code.py")
    return tmp_path / "r"


def told(git: Git, **changes: str) -> dict[str, str]:
    head = {"commit": str(git(["rev-parse", "HEAD"])), "tree": str(git(["rev-parse", "HEAD^{tree}"]))}
    return head | {"dirty": "false"} | changes


def refusal(folder: Path, policy: Policy = STRICT, **changes: str) -> str:
    with pytest.raises(UsageError) as caught:
        marked(told(git_in(folder), **changes), git_in(folder), policy, where="a/b/c")
    return str(caught.value)


def test_a_clean_checkout_of_the_default_branch_is_welcome(folder: Path) -> None:
    git = git_in(folder)
    assert marked(told(git), git, STRICT, where="x") == told(git)


def test_so_is_an_older_commit_of_it(folder: Path) -> None:
    git = git_in(folder)
    older = told(git)
    commit(folder)
    assert marked(older, git, STRICT, where="x") == older


def test_changes_that_no_commit_holds_are_refused_with_the_way_out(folder: Path) -> None:
    said = refusal(folder, dirty="true")
    assert said.startswith("a/b/c: baselines come from reviewed code only: the checkout has changes")
    assert "--allow-dirty" in said


@pytest.mark.parametrize(
    "changes", [{"dirty": "unknown"}, {"commit": "unknown"}, {"commit": "--upload-pack=x"}]
)
def test_a_checkout_that_nobody_knows_is_refused(folder: Path, changes: dict[str, str]) -> None:
    assert "git does not say which commit" in refusal(folder, **changes)


def test_a_commit_of_another_branch_is_refused(folder: Path) -> None:
    run(folder, "checkout", "--quiet", "-b", "feature")
    (folder / "code.py").write_text("faster")
    head = commit(folder)
    assert f"the commit {head[:12]} is not on heads/main" in refusal(folder)


def test_a_squashed_commit_is_known_by_its_content(folder: Path) -> None:
    run(folder, "checkout", "--quiet", "-b", "feature")
    (folder / "code.py").write_text("faster")
    commit(folder)
    provenance = told(git_in(folder))
    run(folder, "checkout", "--quiet", "main")
    run(folder, "merge", "--quiet", "--squash", "feature")
    commit(folder, "squashed")
    run(folder, "branch", "--quiet", "-D", "feature")
    assert NOT_POOLED not in marked(provenance, git_in(folder), STRICT, where="x")


def test_an_accepted_head_is_welcome_and_says_so(folder: Path) -> None:
    run(folder, "checkout", "--quiet", "-b", "feature")
    head = commit(folder)
    git = git_in(folder)
    assert marked(told(git), git, Policy(accepted_head=head), where="x")["for_head"] == head


def test_an_accepted_head_excuses_no_changed_file(folder: Path) -> None:
    head = commit(folder)
    assert "the checkout has changes" in refusal(folder, Policy(accepted_head=head), dirty="true")


def test_an_accepted_head_excuses_no_edited_engine(folder: Path) -> None:
    head = commit(folder)
    said = refusal(folder, Policy(accepted_head=head), engine_edits="1a2b3c4d5e6f")
    assert "the engine's checkout has changes that no commit holds (1a2b3c4d5e6f)" in said


def test_an_accepted_head_is_a_whole_commit(folder: Path) -> None:
    assert "--accepted-head '1a2b3c4' is not a commit id" in refusal(folder, Policy(accepted_head="1a2b3c4"))


def test_a_doubtful_run_that_is_let_in_says_why_it_never_counts(folder: Path) -> None:
    git = git_in(folder)
    found = marked(told(git, dirty="true"), git, Policy(allow_dirty=True), where="x")
    assert found[NOT_POOLED] == "the checkout has changes that no commit holds"


def test_a_run_that_was_let_in_elsewhere_stays_doubtful(folder: Path) -> None:
    assert "never trust me" in refusal(folder, **{NOT_POOLED: "never trust me"})


def test_the_remote_s_default_branch_comes_before_a_local_one(folder: Path, tmp_path: Path) -> None:
    run(folder, "branch", "--quiet", "--move", "trunk")
    run(tmp_path, "clone", "--quiet", str(folder), str(tmp_path / "clone"))
    assert default_branch(git_in(tmp_path / "clone")) == "refs/remotes/origin/HEAD"


def test_a_repository_without_a_default_branch_asks_for_its_name(folder: Path) -> None:
    run(folder, "branch", "--quiet", "--move", "trunk")
    assert "--default-branch" in refusal(folder)
    assert "(release)" in refusal(folder, Policy(default_branch="release"))
    git = git_in(folder)
    assert marked(told(git), git, Policy(default_branch="trunk"), where="x") == told(git)


@pytest.mark.parametrize("digits", [40, 9])
def test_an_engine_of_another_branch_is_refused_although_the_checkout_is_of_the_default_one(
    folder: Path, digits: int
) -> None:
    run(folder, "checkout", "--quiet", "-b", "feature")
    (folder / "code.py").write_text("faster")
    built = commit(folder)
    run(folder, "checkout", "--quiet", "main")
    said = refusal(folder, engine_commit=built[:digits])
    assert f"the engine's commit {built[:digits][:12]} is not on heads/main" in said


@pytest.mark.parametrize("engine", ["9a1c0c4b7", "unknown", "--all", "main"])
def test_an_engine_of_another_repository_or_of_a_merged_commit_is_welcome(folder: Path, engine: str) -> None:
    git = git_in(folder)
    commit(folder)
    for known in (engine, run(folder, "rev-parse", "HEAD~1")):
        provenance = told(git, engine_commit=known)
        assert marked(provenance, git, STRICT, where="x") == provenance
