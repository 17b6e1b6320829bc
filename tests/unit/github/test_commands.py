"""Slash commands: what is one, what it says, and what nobody should take for one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gate.github.commands import MOST_COMMANDS, Command, Mistake, matching, parse, unmatched
from gate.model.cell import Cell

SHA = "1a2b3c4d5e6f708192a3b4c5d6e7f80910203040"
CELLS = tuple(
    Cell(arch=arch, config=config, backend=backend)
    for arch in ("gfx942", "gfx950")
    for config in ("gpt-oss-20b", "gpt-oss-120b")
    for backend in ("aiter", "triton")
)


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("/gate status", Command("status")),
        ("/gate rerun", Command("rerun")),
        ("  /gate rerun aiter  triton", Command("rerun", ("aiter", "triton"))),
        (f"/gate rerun @{SHA}", Command("rerun", (), SHA)),
        ("/gate status @1A2B3C4", Command("status", (), "1a2b3c4")),
        (
            f'/gate refresh gfx950/*/aiter @{SHA} --reason "int4 is worth it"',
            Command("refresh", ("gfx950/*/aiter",), SHA, "int4 is worth it"),
        ),
        ("/gate refresh a --reason=because", Command("refresh", ("a",), None, "because")),
        ('/gate refresh a --reason="be  cause"', Command("refresh", ("a",), None, "be cause")),
        ("/gate refresh --reason 'it is' a", Command("refresh", ("a",), None, "it is")),
        ("/gate refresh a —reason “smart quotes”", Command("refresh", ("a",), None, "smart quotes")),
    ],
)
def test_a_command_says_what_it_means(line: str, command: Command) -> None:
    assert parse(line) == (command,)


def test_several_commands_in_one_comment_keep_their_order() -> None:
    body = "Looks fine.\n\n/gate status\nand then\n/gate rerun aiter\r\n/gate rerun triton"
    assert [c for c in parse(body) if isinstance(c, Command)] == [
        Command("status"),
        Command("rerun", ("aiter",)),
        Command("rerun", ("triton",)),
    ]


@pytest.mark.parametrize(
    "body",
    [
        "please /gate rerun",
        "> /gate rerun",
        " > quoted\n> /gate rerun",
        "    /gate rerun",
        "\t/gate rerun",
        "`/gate rerun`",
        "```\n/gate rerun\n```",
        "````sh\n```\n/gate rerun\n```\n````",
        "~~~\n/gate rerun\n```\n/gate rerun\n~~~",
        "```\n/gate rerun",
        "<!-- /gate rerun -->",
        "<!--\n/gate rerun\n-->",
        "- /gate rerun",
        "/gateway",
        "/gates rerun",
        "",
    ],
)
def test_quotes_code_and_prose_give_no_command(body: str) -> None:
    assert parse(body) == ()


def test_after_code_and_comments_commands_are_read_again() -> None:
    body = "```\n/gate rerun\n```\n<!-- x -->\n<!--\n/gate rerun\n-->\n/gate status"
    assert parse(body) == (Command("status"),)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/gate", "the commands are status, rerun and refresh"),
        ("/gate approve", "the commands are"),
        ("/gate refresh", "name the cells"),
        ("/gate refresh a", "say why"),
        ('/gate refresh a --reason " "', "say why"),
        ('/gate refresh a --reason "x', "a quote is not closed"),
        ("/gate rerun --force", "does not know one of its options"),
        ("/gate rerun $(id)", "neither a cell nor a commit"),
        (f"/gate rerun @{SHA} @{SHA}", "neither a cell nor a commit"),
        ("/gate status aiter", "leave the names out"),
        (f"/gate refresh a --reason {'x' * 501}", "at most 500 characters"),
    ],
)
def test_what_is_no_command_is_a_mistake_that_quotes_nothing(line: str, said: str) -> None:
    (mistake,) = parse(line)
    assert isinstance(mistake, Mistake)
    assert said in mistake.problem


def test_a_flood_of_commands_is_cut() -> None:
    found = parse("/gate status\n" * 1000)
    assert len(found) == MOST_COMMANDS + 1
    assert isinstance(found[-1], Mistake)


@given(st.text())
@example("/gate refresh \\")
@example("/gate status \x00")
def test_no_text_breaks_it_and_nothing_of_it_is_quoted_in_a_mistake(text: str) -> None:
    for found in parse(f"/gate {text}"):
        if isinstance(found, Mistake):
            assert "@" not in found.problem.replace("(@ and its digits)", "")
        else:
            assert all(cell.isascii() and " " not in cell for cell in found.cells)


@given(
    st.lists(st.sampled_from([str(cell) for cell in CELLS]), min_size=1, max_size=4),
    st.text(alphabet=st.characters(exclude_categories=("C", "Z"), exclude_characters="“”„—"), min_size=1),
)
def test_what_was_written_is_read_again(cells: list[str], reason: str) -> None:
    import shlex

    line = f"/gate refresh {' '.join(cells)} @{SHA} --reason={shlex.quote(reason)}"
    if len(reason) <= 500:
        assert parse(line) == (Command("refresh", tuple(cells), SHA, " ".join(reason.split())),)


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ((), 8),
        (("aiter",), 4),
        (("gpt-oss-20b",), 4),
        (("gfx950",), 4),
        (("*-20b*",), 4),
        (("gfx950/gpt-oss-20b/aiter",), 1),
        (("gfx950/*/aiter", "gfx942/*/triton"), 4),
        (("aiter", "gfx950/gpt-oss-20b/aiter"), 4),
        (("ait",), 0),
    ],
)
def test_globs_name_cells(patterns: tuple[str, ...], found: int) -> None:
    assert len(matching(patterns, CELLS)) == found


def test_a_pattern_that_names_no_cell_is_told() -> None:
    assert unmatched(("aiter", "atier", "gfx950/*/ck"), CELLS) == ("atier", "gfx950/*/ck")


def test_the_commands_of_the_page_are_commands_and_showing_them_gives_none() -> None:
    page = (Path(__file__).parents[3] / "docs/action.md").read_text(encoding="utf-8")
    section = page.partition("## Slash commands\n")[2].partition("\n## ")[0]
    lines = section.partition("```text\n")[2].partition("```")[0].splitlines()
    assert [parse(line) for line in lines] == [
        (Command("status"),),
        (Command("rerun", ("gfx950/*/aiter",), "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d"),),
        (Command("refresh", ("aiter", "triton"), None, "per-channel scales"),),
    ]
    assert parse(section) == ()
