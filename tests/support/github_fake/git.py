"""A repository's commits: a real bare git repository, so that trees and hashes are git's own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class NotFastForward(Exception):
    """The ref would lose commits."""


class Entry(NamedTuple):
    """One file of a tree to make; `sha` None takes it away."""

    path: str
    mode: str
    sha: str | None


class Git:
    """One bare repository below `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self._git("init", "--quiet", "--bare", "--initial-branch", "main")

    def commit_files(self, ref: str, files: Mapping[str, str | None], message: str = "change") -> str:
        """Put files (None: away) on top of a branch, which begins at main where it is new; the new commit."""
        parent = self.find(f"refs/heads/{ref}") or self.find("refs/heads/main")
        entries = [
            Entry(path, "100644", None if text is None else self.blob(text.encode()))
            for path, text in files.items()
        ]
        tree = self.tree(entries, base=parent)
        commit = self.commit(tree, [parent] if parent else [], message)
        self.set_ref(f"refs/heads/{ref}", commit, force=True)
        return commit

    def blob(self, content: bytes) -> str:
        """Store a file's content."""
        return self._git("hash-object", "-w", "--stdin", stdin=content)

    def tree(self, entries: Sequence[Entry], base: str | None = None) -> str:
        """A tree: the entries on top of `base`, a tree or commit."""
        index = {"GIT_INDEX_FILE": str(self.folder / "fake-index")}
        self._git("read-tree", *([base] if base else ["--empty"]), env=index)
        for entry in entries:
            if entry.sha is None:
                self._git("update-index", "--force-remove", entry.path, env=index)
            else:
                info = f"{entry.mode},{entry.sha},{entry.path}"
                self._git("update-index", "--add", "--cacheinfo", info, env=index)
        return self._git("write-tree", env=index)

    def commit(self, tree: str, parents: Sequence[str], message: str) -> str:
        """A commit; its date is fixed, so that the same content is the same hash."""
        who = {
            f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in _PERSON.items()
        }
        given = [word for parent in parents for word in ("-p", parent)]
        return self._git("commit-tree", tree, *given, "-m", message, env=who)

    def find(self, name: str) -> str | None:
        """The hash that a ref, branch or expression stands for."""
        done = self._run("rev-parse", "--quiet", "--verify", f"{name}^{{}}")
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def kind(self, sha: str) -> str | None:
        """commit, tree or blob."""
        done = self._run("cat-file", "-t", sha)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def set_ref(self, ref: str, sha: str, *, force: bool) -> None:
        """Point a ref at a commit; NotFastForward unless `force`."""
        before = self.find(ref)
        if before and not force and self._run("merge-base", "--is-ancestor", before, sha).returncode != 0:
            raise NotFastForward(ref)
        self._git("update-ref", ref, sha)

    def delete_ref(self, ref: str) -> None:
        """Take a ref away."""
        self._git("update-ref", "-d", ref)

    def refs(self, prefix: str) -> list[str]:
        """The refs below a prefix."""
        return self._git("for-each-ref", "--format=%(refname)", prefix).splitlines()

    def tree_of(self, commit: str) -> str:
        """The hash of a commit's tree."""
        return self._git("rev-parse", f"{commit}^{{tree}}")

    def parents_of(self, commit: str) -> list[str]:
        """The hashes of a commit's parents."""
        return self._git("rev-list", "--parents", "-n", "1", commit).split()[1:]

    def message_of(self, commit: str) -> str:
        """A commit's message."""
        return self._git("log", "-1", "--format=%B", commit)

    def log(self, commit: str) -> list[str]:
        """The commits from here back, newest first."""
        return self._git("rev-list", commit).split()

    def changed(self, base: str, head: str) -> list[str]:
        """The paths that differ between the merge base and `head`."""
        return self._git("diff", "--name-only", f"{base}...{head}").splitlines()

    def read(self, rev: str, path: str) -> bytes | None:
        """A file at a commit; None where there is none."""
        done = self._run("cat-file", "blob", f"{rev}:{path}")
        return done.stdout if done.returncode == 0 else None

    def fetch(self, other: Git, ref: str, to: str) -> None:
        """Take a ref of another repository over."""
        self._git("fetch", "--quiet", str(other.folder), f"+{ref}:{to}")

    def _git(self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
        done = self._run(*arguments, stdin=stdin, env=env)
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout.decode().strip()

    def _run(
        self, *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["git", "--git-dir", str(self.folder), *arguments],
            input=stdin,
            env=os.environ | (env or {}),
            capture_output=True,
            check=False,
        )


_PERSON = {"NAME": "t", "EMAIL": "t@example.org", "DATE": "2026-01-01T00:00:00Z"}
