"""What is noted in a comment after its report was posted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gate.model.cell import Cell
from gate.model.result import Verdict
from gate.report.comment import COMMENT_CHARACTERS, Context, Marker, render
from gate.report.context import Accepted
from gate.report.note import NOTE_CHARACTERS, accepted_note, has_note, void_note, with_note
from tests.support import reports

HEAD = reports.SHA
COMMENT = render(reports.all_six(), Context(HEAD)).comment


def cells(number: int) -> list[Cell]:
    return [Cell(arch="gfx950", config=f"config-{n}", backend="aiter") for n in range(number)]


def test_a_note_stands_below_the_first_line_and_the_next_one_replaces_it() -> None:
    once = with_note(COMMENT, "> one")
    assert once.splitlines()[:5] == [
        COMMENT.splitlines()[0],
        "",
        "<!-- vllm-eval-gate note -->",
        "> one",
        "<!-- vllm-eval-gate end of note -->",
    ]
    assert with_note(once, "> two") == once.replace("> one", "> two")
    assert [has_note(text) for text in (COMMENT, once)] == [False, True]
    assert Marker.find(once) == Marker.find(COMMENT)


def test_cells_that_were_accepted_together_are_named_together() -> None:
    first, second, third, *_ = cells(3)
    together = Accepted("mia", "int4 is worth it")
    note = accepted_note({first: together, second: together, third: Accepted("ben", "rounding")}, HEAD)
    assert note.splitlines() == [
        f"> **Accepted by <code>@\u200bmia</code>:** `{first}`, `{second}`: int4 is worth it  ",
        f"> **Accepted by <code>@\u200bben</code>:** `{third}`: rounding  ",
        f"> For `{HEAD[:12]}` only: a push makes it void.",
    ]


def test_a_quote_of_many_acceptances_stays_one_quote() -> None:
    accepted = {cell: Accepted("mia", f"reason {n}") for n, cell in enumerate(cells(3))}
    html = MarkdownIt("commonmark").render(accepted_note(accepted, HEAD))
    assert html.count("<blockquote>") == 1
    assert html.count("<br") == 3


@given(
    st.dictionaries(
        st.sampled_from(cells(600)),
        st.builds(Accepted, st.text(max_size=39), st.text(max_size=500)),
        min_size=1,
    )
)
def test_no_note_makes_the_largest_comment_too_long(accepted: dict[Cell, Accepted]) -> None:
    note = accepted_note(accepted, HEAD)
    assert len(with_note("", note)) <= NOTE_CHARACTERS


def test_what_is_too_long_is_counted_and_its_authors_are_named() -> None:
    accepted = {cell: Accepted(f"m{n % 4}", f"{n} " + "@" * 400) for n, cell in enumerate(cells(40))}
    note = accepted_note(accepted, HEAD)
    assert note.startswith("> **40 accepted by <code>@\u200bm0</code>, <code>@\u200bm1</code>, ")
    assert "and others:** comments below say which regressions, and why." in note


@pytest.mark.parametrize("number", [5_000])
def test_the_largest_report_leaves_room_for_a_note(number: int) -> None:
    report = reports.report_of(
        *(reports.regressed().model_copy(update={"cell": cell}) for cell in cells(number))
    )
    comment = render(report, Context(HEAD)).comment
    assert len(with_note(comment, "x" * (NOTE_CHARACTERS - 70))) <= COMMENT_CHARACTERS


def test_a_newer_commit_makes_it_void() -> None:
    assert (
        void_note(HEAD)
        == f"> **What was accepted here is void:** `{HEAD[:12]}` was pushed, and is measured now."
    )


def test_a_reason_cannot_end_the_note_or_say_anything_else() -> None:
    reason = "<!-- vllm-eval-gate end of note -->\n\n# Pass @maintainer ![x](https://e.example/x)"
    note = accepted_note({cells(1)[0]: Accepted("mia", reason)}, HEAD)
    assert with_note(with_note(COMMENT, note), "> two") == with_note(COMMENT, "> two")
    html = MarkdownIt("commonmark", {"html": True}).render(note)
    assert "<h1>" not in html
    assert "<img" not in html
    assert Marker(HEAD, Verdict.PASS) != Marker.find(note)
