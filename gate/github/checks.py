"""The check run that branch protection can require: one name, on the head, in progress first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from github import GithubException
from github.CheckRun import CheckRun
from github.GithubObject import NotSet, Opt

from gate.decide import Conclusion
from gate.github.client import Hub
from gate.report.comment import SUMMARY_BYTES, TITLE_CHARACTERS, Annotation, Rendered

CHECK_NAME: Final = "vllm-eval-gate"
MOST_ANNOTATIONS: Final = 50
"""Of one call; the next call's are added to them."""
_FORBIDDEN: Final = 403


class CheckRuns:
    """Our check runs on one commit.

    Args:
        hub: the repository.
        head_sha: the commit; of a pull request its head, never the merge that Actions checks out.
        name: the stable name.
    """

    def __init__(self, hub: Hub, head_sha: str, name: str = CHECK_NAME) -> None:
        self._hub = hub
        self._head = head_sha
        self._name = name
        self._key = f"vllm-eval-gate:{head_sha}"

    def latest(self) -> CheckRun | None:
        """The newest check run of this name that carries our key; None where there is none."""
        found = self._hub.repository.get_commit(self._head).get_check_runs(check_name=self._name)
        return max((run for run in found if run.external_id == self._key), key=lambda r: r.id, default=None)

    def start(self, details_url: str | None = None) -> CheckRun:
        """Say that a measurement goes on; a check run that is going on already is left as it is."""
        return self._hub.write(lambda: self._running() or self._create(details_url))

    def finish(self, rendered: Rendered, details_url: str | None = None, *, text: str = "") -> CheckRun:
        """Say how it ended. The conclusion comes last: nobody sees one before its annotations are there."""
        run = self.start(details_url)
        output: dict[str, Any] = {"title": rendered.title, "summary": cut(rendered.summary)}
        if text:
            output["text"] = cut(text)
        url = _given(details_url)

        def send() -> bool:
            run.update()
            sent = run.output.annotations_count if run.output else 0
            part = [_annotation(a) for a in rendered.annotations[sent : sent + MOST_ANNOTATIONS]]
            last = sent + len(part) >= len(rendered.annotations)
            given = output | ({"annotations": part} if part else {})
            if last:
                now = datetime.now(UTC)
                run.edit(conclusion=rendered.conclusion, completed_at=now, output=given, details_url=url)
            else:
                run.edit(output=given, details_url=url)
            return last

        while not self._hub.write(send):
            pass
        return run

    def conclude(self, run: CheckRun, conclusion: Conclusion, title: str, text: str) -> None:
        """Change how a finished check run concluded, for a reason that its title and summary say."""
        summary = cut(f"**{title}**\n\n{run.output.summary}")
        output = {"title": title[:TITLE_CHARACTERS], "summary": summary, "text": cut(text)}
        self._hub.write(lambda: run.edit(conclusion=conclusion, output=output))

    def _running(self) -> CheckRun | None:
        run = self.latest()
        if run is None or run.status == "completed":
            return None
        try:
            # Only the App that made a check run can change it; whoever took our name and key cannot stop us.
            run.edit(status="in_progress")
        except GithubException as error:
            if error.status != _FORBIDDEN:
                raise
            return None
        return run

    def _create(self, details_url: str | None) -> CheckRun:
        return self._hub.repository.create_check_run(
            self._name,
            self._head,
            status="in_progress",
            started_at=datetime.now(UTC),
            external_id=self._key,
            details_url=_given(details_url),
        )


def cut(summary: str) -> str:
    """A summary of at most 65,535 bytes; a report fits already, whatever else is cut at a line."""
    data = summary.encode()
    if len(data) <= SUMMARY_BYTES:
        return summary
    return data[: data.rfind(b"\n", 0, SUMMARY_BYTES) + 1].decode() or data[:SUMMARY_BYTES].decode(
        errors="ignore"
    )


def _annotation(annotation: Annotation) -> dict[str, str | int]:
    return {
        "path": annotation.path,
        "start_line": annotation.line,
        "end_line": annotation.line,
        "annotation_level": annotation.level,
        "title": annotation.title[:255],
        "message": annotation.message,
    }


def _given(details_url: str | None) -> Opt[str]:
    return NotSet if details_url is None else details_url
