"""The pull request's comment and the text of its check run, from a report and what GitHub adds to it. Pure.

The comment ends in a hidden marker by which it is found again. The marker says which commit it is about and
what became of the pull request's earlier ones, so that nothing else has to be stored anywhere.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from gate.decide import Conclusion, conclude_run
from gate.model.result import GateReport, Verdict
from gate.report import escape, words
from gate.report.context import Accepted, Context, Earlier, Place
from gate.report.markdown import LIMIT, render_markdown
from gate.report.note import NOTE_CHARACTERS

__all__ = ["Accepted", "Annotation", "Context", "Earlier", "Marker", "Place", "Rendered", "render"]

COMMENT_CHARACTERS: Final = 65_536
SUMMARY_BYTES: Final = 65_535
TITLE_CHARACTERS: Final = 255
MOST_EARLIER: Final = 20

_MARKER: Final = re.compile(
    r"<!-- vllm-eval-gate head=(?P<head>[0-9a-f]{40,64}) verdict=(?P<verdict>[a-z_]+)"
    r"(?: earlier=(?P<earlier>[0-9a-f]{40,64}:[a-z_]+(?:,[0-9a-f]{40,64}:[a-z_]+)*))? -->"
)

MARKER_START: Final = "<!-- vllm-eval-gate head="
"""What a comment of ours holds, whatever commit it is about: pages of comments are searched for it."""


class Annotation(NamedTuple):
    """A message beside a line of the pull request: `path` from the repository's root, `line` from 1."""

    path: str
    line: int
    level: Literal["notice", "warning", "failure"]
    title: str
    message: str


class Rendered(NamedTuple):
    """All that is posted: the comment (with its marker), and the check run's title, summary and conclusion.

    `annotations` may be more than the 50 that one call takes.
    """

    comment: str
    title: str
    summary: str
    conclusion: Conclusion
    annotations: tuple[Annotation, ...]


class Marker(NamedTuple):
    """What a comment's hidden marker says: its commit, that commit's verdict, and those before it."""

    head_sha: str
    verdict: Verdict
    earlier: tuple[Earlier, ...] = ()

    def __str__(self) -> str:
        listed = ",".join(f"{sha}:{verdict.value}" for sha, verdict in self.earlier[-MOST_EARLIER:])
        tail = f" earlier={listed}" if listed else ""
        return f"{MARKER_START}{self.head_sha} verdict={self.verdict.value}{tail} -->"

    @classmethod
    def find(cls, body: str) -> Marker | None:
        """The last marker in a comment; None where there is none that can be read."""
        found = None
        for match in _MARKER.finditer(body):
            try:
                earlier = [item.split(":") for item in (match["earlier"] or "").split(",") if item]
                pairs = tuple(Earlier(sha, Verdict(verdict)) for sha, verdict in earlier)
                found = cls(match["head"], Verdict(match["verdict"]), pairs)
            except ValueError:  # a verdict of another version's
                continue
        return found

    def followed_by(self, head_sha: str) -> tuple[Earlier, ...]:
        """The verdicts of the heads before `head_sha`, this comment's own among them."""
        own = () if head_sha == self.head_sha else (Earlier(self.head_sha, self.verdict),)
        return tuple(e for e in (*self.earlier, *own) if e.head_sha != head_sha)[-MOST_EARLIER:]


def render(report: GateReport, context: Context) -> Rendered:
    """The comment, and the check run's title, summary, conclusion and annotations."""
    verdict = words.worst(report)
    marker = str(Marker(context.head_sha, verdict, context.earlier))
    limit = min(LIMIT, COMMENT_CHARACTERS - len(marker) - 2 - NOTE_CHARACTERS, SUMMARY_BYTES)
    body = render_markdown(report, context=context, limit=limit)
    return Rendered(
        comment=f"{body}\n{marker}\n",
        title=_title(report, context),
        summary=body,
        conclusion=_conclusion(report, context),
        annotations=_annotations(report, context),
    )


def _conclusion(report: GateReport, context: Context) -> Conclusion:
    """Neutral where the base branch wants nothing measured: a required check must not wait for ever."""
    if words.nothing_selected(report, context):
        return "neutral"
    return conclude_run(
        report.cells, report.fail_on, accepted=context.accepted.keys(), trusted=context.trusted
    )


def _title(report: GateReport, context: Context) -> str:
    """One line of plain text for the check run."""
    title = words.headline(report, context)
    if count := sum(cell.cell in context.accepted for cell in report.cells):
        title += f" ({count} accepted)"
    if not context.trusted:
        title = f"Not attested. {title}"
    return title[:TITLE_CHARACTERS]


def _annotations(report: GateReport, context: Context) -> tuple[Annotation, ...]:
    """One for each cell that fails the run, on its config."""
    return tuple(
        Annotation(
            path=place.path,
            line=place.line,
            level="failure",
            title=f"{words.face(cell.verdict).word}: {cell.cell}",
            message=escape.printable(words.reason(cell), 1000),
        )
        for cell in report.cells
        if cell.verdict in report.fail_on and cell.cell not in context.accepted
        if (place := context.places.get(cell.cell)) is not None
    )
