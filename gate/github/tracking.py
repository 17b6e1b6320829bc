"""Without a pull request: one issue per config, open from the first regression to the next pass.

It says between which commits the drop came in and how to find the one. What it knows is in its hidden marker;
only issues under our own login count.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from github.Issue import Issue

from gate.github.checks import CHECK_NAME, CheckRuns
from gate.github.client import Hub, told
from gate.model.result import CellResult, GateReport, Verdict
from gate.report import escape, words

LABEL: Final = "vllm-eval-gate"
MOST_COMMITS: Final = 50
"""So far back the last good commit is looked for."""

_MARKER: Final = re.compile(r"<!-- vllm-eval-gate tracking=(\{[^{}<>]{1,2000}\}) -->")
_COMMIT: Final = re.compile(r"[0-9a-f]{40,64}")


class Tracked(NamedTuple):
    """What an issue knows: its config, and the commits it is about.

    `latest` is the newest commit that was reported into it: a report that comes late changes nothing.
    """

    config: str
    last_good: str | None
    first_bad: str
    latest: str

    def marker(self) -> str:
        """The hidden text of the issue."""
        return f"<!-- vllm-eval-gate tracking={json.dumps(self._asdict(), sort_keys=True)} -->"

    @classmethod
    def find(cls, body: str | None) -> Tracked | None:
        """What an issue's text says; None where it is not one of ours."""
        match = _MARKER.search(body or "")
        try:
            found = cls(**json.loads(match[1])) if match else None
        except (ValueError, TypeError):
            return None
        commits = [] if found is None else [found.first_bad, found.latest, found.last_good or found.latest]
        return found if all(isinstance(c, str) and _COMMIT.fullmatch(c) for c in commits) else None


class Change(NamedTuple):
    """What was done about a config."""

    config: str
    did: Literal["opened", "updated", "closed"]
    url: str


def track(
    hub: Hub,
    report: GateReport,
    head_sha: str,
    *,
    details_url: str | None = None,
    check_name: str = CHECK_NAME,
) -> tuple[Change, ...]:
    """Open, update or close the issue of each config in the report.

    A config that was not measured, or not decided, says nothing: its issue stays as it is.

    Raises:
        GitHubError: GitHub said no.
    """
    tracker = _Tracker(hub, head_sha, details_url, check_name)
    with told(hub.name):
        changes = []
        for config in dict.fromkeys(cell.cell.config for cell in report.cells):
            cells = [cell for cell in report.cells if cell.cell.config == config]
            change = tracker.change(config, cells)
            if change is not None:
                changes.append(change)
        return tuple(changes)


class _Tracker:
    def __init__(self, hub: Hub, head_sha: str, details_url: str | None, check_name: str) -> None:
        self._hub = hub
        self._head = head_sha
        self._url = details_url
        self._check = check_name

    def change(self, config: str, cells: Sequence[CellResult]) -> Change | None:
        bad = [cell for cell in cells if cell.verdict is Verdict.REGRESSION]
        if bad:
            return self._regressed(config, bad)
        if all(cell.verdict is Verdict.PASS for cell in cells):
            return self._passed(config)
        return None

    def _regressed(self, config: str, bad: Sequence[CellResult]) -> Change | None:
        title = f"Regression: {config}"

        def write() -> Change | None:
            issue, known = self._find(config)
            if issue is not None and known is not None:
                if not self._is_newer(known):
                    return None
                body = self._body(known._replace(latest=self._head), bad)
                if issue.body != body:
                    issue.edit(body=body)
                return Change(config, "updated", issue.html_url)
            tracked = Tracked(config, self._last_good(), self._head, self._head)
            made = self._hub.repository.create_issue(title, self._body(tracked, bad), labels=[LABEL])
            self._hub.wrote_as(made.user.login)
            return Change(config, "opened", made.html_url)

        change = self._hub.write(write)
        if change is not None and change.did == "opened":
            self._close_doubles(config)
        return change

    def _passed(self, config: str) -> Change | None:
        def close() -> Change | None:
            issue, known = self._find(config)
            if issue is None or known is None or not self._is_newer(known):
                return None
            issue.edit(state="closed", state_reason="completed")
            return Change(config, "closed", issue.html_url)

        change = self._hub.write(close)
        if change is not None:
            number = int(change.url.rpartition("/")[2])
            text = f"{escape.code(config)} passes again at {self._head}."
            self._hub.write(lambda: self._hub.repository.get_issue(number).create_comment(text))
        return change

    def _find(self, config: str) -> tuple[Issue | None, Tracked | None]:
        """The oldest open issue of the config."""
        found = self._open(config)
        return found[0] if found else (None, None)

    def _open(self, config: str) -> list[tuple[Issue, Tracked]]:
        issues = self._hub.repository.get_issues(state="open", labels=[LABEL])
        ours = [(i, Tracked.find(i.body)) for i in issues if i.user and i.user.login == self._hub.login]
        mine = [(issue, known) for issue, known in ours if known is not None and known.config == config]
        return sorted(mine, key=lambda pair: pair[0].number)

    def _close_doubles(self, config: str) -> None:
        """Two runs may have opened one each at the same moment: the older issue stays."""
        for issue, _ in self._open(config)[1:]:
            self._hub.write(lambda issue=issue: issue.edit(state="closed", state_reason="not_planned"))  # type: ignore[misc]

    def _is_newer(self, known: Tracked) -> bool:
        """Whether our commit comes after what was reported already; runs end in any order."""
        if known.latest == self._head:
            return True
        return self._hub.repository.compare(known.latest, self._head).status == "ahead"

    def _last_good(self) -> str | None:
        """The newest commit before ours whose check run succeeded."""
        commits = self._hub.repository.get_commits(sha=self._head)
        for commit in itertools.islice(commits, 1, MOST_COMMITS):
            run = CheckRuns(self._hub, commit.sha, self._check).latest()
            if run is not None and run.conclusion == "success":
                return commit.sha
        return None

    def _body(self, tracked: Tracked, bad: Sequence[CellResult]) -> str:
        good = tracked.last_good
        span = f"{good}..{tracked.first_bad}" if good else f"{tracked.first_bad} (no good one was found)"
        first = bad[0].cell
        lines = [
            f"A drop is proven in {words.count(len(bad))} of the cells of {escape.code(tracked.config)}.",
            "",
            *(f"- {escape.code(str(cell.cell))}: {escape.prose(words.reason(cell))}" for cell in bad[:50]),
            "",
            f"Last good..first bad: {span}. Seen last at {tracked.latest}.",
        ]
        if self._url is not None:
            lines.append(f"The run: {self._url}")
        if good is not None:
            run = f"gate run configs/{first.config}.yaml --backend {first.backend} --bisect"
            lines += [
                "",
                "```sh",
                f"git bisect start {tracked.first_bad} {good}",
                f"git bisect run {run}",
                "```",
            ]
        return "\n".join([*lines, "", "It is closed by the next pass.", "", tracked.marker()])
