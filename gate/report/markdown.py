"""The report as Markdown: the pull request's comment, the check run's text and the job summary.

Every value that a template prints passes through `escape.prose` unless it is marked as safe, so a forgotten
filter shows odd characters and never someone else's HTML. What does not fit is left out in tiers:
first the details of what is fine, then the rows of what is fine, then the last of the failures.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gate.model.cell import Cell
from gate.model.result import CellResult, GateReport, Verdict
from gate.report import commands, escape, words
from gate.report.context import Context

# A comment holds 65,536 characters, a check run's summary 65,535 bytes; the rest is for a hidden marker.
LIMIT: Final = 65_000
_MOST_IN_FULL: Final = 200
_MOST_ROWS: Final = 600
_MOST_STEPS: Final = 20
_NO_BREAK: Final = "\N{NO-BREAK SPACE}"
_URL: Final = re.compile(r"https://[A-Za-z0-9.-]+(?::\d+)?(?:/[A-Za-z0-9._~/?=&%#-]*)?")


class Frame(NamedTuple):
    """Which cells get a row, which are told in full, which are folded; the rest is counted."""

    rows: Sequence[CellResult]
    in_full: Sequence[CellResult]
    folded: Sequence[CellResult]


class Step(NamedTuple):
    """One thing to do, and the cells it is about."""

    word: str
    text: str
    cells: Sequence[CellResult]


def render_markdown(report: GateReport, *, context: Context | None = None, limit: int = LIMIT) -> str:
    """The report as GitHub Markdown of at most `limit` bytes, the worst first.

    Args:
        report: what to tell.
        context: what is known on GitHub; its `details_url` is linked where something is left out.
        limit: bytes of UTF-8.

    Raises:
        ValueError: `details_url` is no plain https address.
    """
    if context and context.details_url is not None and not _URL.fullmatch(context.details_url):
        raise ValueError(f"not an https address that can be linked: {context.details_url!r}")
    write = _writer(report, context)
    for frame in _tiers(report):
        text = write(frame)
        if _size(text) <= limit:
            return text
    failed = [cell for cell in report.cells if _is_told_in_full(cell, report)]
    most = bisect_right(
        range(min(len(failed), _MOST_IN_FULL)), limit, key=lambda n: _size(write(_first(failed, n + 1)))
    )
    return write(_first(failed, most))


def _tiers(report: GateReport) -> Iterator[Frame]:
    cells = report.cells
    failed = [cell for cell in cells if _is_told_in_full(cell, report)]
    others = [cell for cell in cells if not _is_told_in_full(cell, report)]
    if len(cells) <= _MOST_IN_FULL:
        yield Frame(cells, failed, others)
    if len(cells) <= _MOST_ROWS and len(failed) <= _MOST_IN_FULL:
        yield Frame(cells, failed, ())
    not_passed = [cell for cell in cells if cell.verdict is not Verdict.PASS]
    for rows in (not_passed, failed):
        if len(rows) <= _MOST_ROWS and len(failed) <= _MOST_IN_FULL:
            yield Frame(rows, failed, ())


def _first(failed: Sequence[CellResult], number: int) -> Frame:
    return Frame(failed[:number], failed[:number], ())


def _is_told_in_full(cell: CellResult, report: GateReport) -> bool:
    return cell.verdict in words.FAILURES or cell.verdict in report.fail_on


def _writer(report: GateReport, context: Context | None) -> Callable[[Frame], str]:
    environment = _environment()
    frame_template, cell_template = (environment.get_template(f"{n}.md.j2") for n in ("report", "cell"))
    with_arch = len({cell.cell.arch for cell in report.cells}) > 1

    def name(cell: CellResult) -> Markup:
        return _name(cell.cell, with_arch=with_arch)

    @cache
    def detail_of(index: int, level: str) -> Markup:
        cell = report.cells[index]
        text = cell_template.render(
            cell=cell,
            level=Markup(level),  # noqa: S704 - number signs of this module
            in_full=level == "###",
            name=name,
            command=Markup(words.reproduce(cell, context)),  # noqa: S704 - see words.reproduce
            accepted=context.accepted.get(cell.cell) if context else None,
        )
        return Markup(text.strip())  # noqa: S704 - the template escaped every value

    index_of = {id(cell): index for index, cell in enumerate(report.cells)}

    def detail(cell: CellResult, level: str) -> Markup:
        return detail_of(index_of[id(cell)], level)

    def write(frame: Frame) -> str:
        steps = _steps(report, frame, context.accepted if context else {})
        text = frame_template.render(
            report=report,
            frame=frame,
            with_arch=with_arch,
            icon=_icon(words.worst(report)),
            headline=words.headline(report, context),
            left_out=words.left_out(report.cells, frame.rows),
            cost=words.cost_of_run(report),
            folded_title=words.folded_title(frame.folded, among=len(report.cells)),
            context=context,
            accepted=context.accepted if context else {},
            details_url=Markup(context.details_url) if context and context.details_url else None,  # noqa: S704
            commands=commands.for_cells(report.cells, context) if context else (),
            nothing_to_do=words.nothing_to_do(report, context),
            steps=steps[:_MOST_STEPS],
            more_steps=len(steps) - _MOST_STEPS if len(steps) > _MOST_STEPS else 0,
            detail=detail,
            name=name,
        )
        return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"

    return write


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gate.report"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["code"] = escape.code
    environment.filters["listed"] = _listed
    environment.filters["icon"] = _icon
    environment.filters["tight"] = _tight
    environment.globals["words"] = words
    return environment


def _finalize(value: object) -> Markup:
    return value if isinstance(value, Markup) else escape.prose(str(value))


def _icon(verdict: Verdict) -> Markup:
    return Markup(words.face(verdict).icon)  # noqa: S704 - one of ours


def _tight(value: str) -> Markup:
    """A table cell that breaks only before a bracket or after a comma."""
    held = escape.prose(value).replace(" ", _NO_BREAK)
    return Markup(held.replace(f"{_NO_BREAK}(", " (").replace(f",{_NO_BREAK}", ", "))  # noqa: S704 - escaped


def _name(cell: Cell, *, with_arch: bool) -> Markup:
    parts = [cell.config, cell.backend] + ([cell.arch] if with_arch else [])
    return Markup(" / ").join(escape.code(part) for part in parts)


def _listed(cells: Sequence[Cell], most: int = 20) -> Markup:
    """The first cells by name, and how many more there are."""
    named = Markup(", ").join(escape.code(str(cell)) for cell in cells[:most])
    return named + f" and {len(cells) - most:,} more" if len(cells) > most else named


def _steps(report: GateReport, frame: Frame, accepted: Collection[Cell]) -> list[Step]:
    """One step for each distinct advice, for what the report lists, or for all when it lists nothing."""
    listed = frame.rows or report.cells
    steps: dict[tuple[Verdict, str], list[CellResult]] = {}
    for cell in listed:
        if cell.cell not in accepted and (cell.verdict is not Verdict.PASS or cell.next_step):
            steps.setdefault((cell.verdict, words.next_step(cell)), []).append(cell)
    return [Step(words.face(verdict).word, text, cells) for (verdict, text), cells in steps.items()]


def _size(text: str) -> int:
    return len(text.encode())
