"""A string from outside shows as what it is and does nothing: no HTML, link, mention, image or command."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gate.report.escape import code, code_html, printable, prose

HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "![x](https://evil.example/pixel.png)",
    "[click](https://evil.example)",
    "**bold** __strong__ *i* _i_ ~~gone~~",
    "| a | b |",
    "# heading",
    "> quote",
    "- item",
    "1. item",
    "&lt;b&gt;",
    "`` ` `` ``` code",
    "</details></td></table>",
    "$\\color{green}{pass}$",
    "===",
    "a \\* b",
]


def rendered(markdown: str) -> str:
    return MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_one_paragraph_of_itself(text):
    html = rendered(prose(text))
    assert re.fullmatch(r"<p>[^<]*</p>\n", html), html


@given(st.text(max_size=80))
def test_any_text_is_at_most_one_paragraph_with_code(text):
    html = rendered(prose(text))
    assert re.sub(r"</?code>", "", html).count("<") in (0, 2)


@given(st.text(alphabet="<>&*_`[]()!#@|~$\\:/-+=. 1ab", max_size=60))
def test_any_pile_of_punctuation_is_at_most_one_paragraph_with_code(text):
    html = rendered(prose(text))
    assert re.sub(r"</?code>", "", html).count("<") in (0, 2)


@given(st.text(alphabet="<>&*_`[]()!#@|~$\\:/-+=. 1ab", max_size=60))
def test_any_value_set_as_code_is_one_code_element(value):
    html = rendered(f"x {code(value)} y")
    assert re.fullmatch(r"<p>x <code>[^<]*</code> y</p>\n", html), html


@pytest.mark.parametrize(
    ("text", "live"),
    [
        ("thanks @maintainer", "@maintainer"),
        ("see #123", "#123"),
        ("GH-123", "GH-123"),
        ("go to https://evil.example now", "https://"),
        ("www.evil.example", "www.e"),
        (":white_check_mark: pass", ":white_check_mark:"),
        ("mail me@evil.example", "@evil"),
    ],
)
def test_what_githubs_filters_would_bring_to_life_is_broken_up(text, live):
    assert live not in prose(text)
    assert live in prose(text).replace("\u200b", "")


def test_a_check_mark_from_outside_never_looks_like_ours():
    assert "\u2705" not in prose("\u2705 pass")
    assert "\u2705" not in code("\u2705 pass")


def test_control_and_direction_characters_become_spaces():
    assert printable("a\x1b[31mb\u202ec\r\nd\u2028e") == "a [31mb c d e"


def test_an_actions_command_is_broken_up_wherever_it_stands():
    assert printable("x ##[error]y") == "x ## [error]y"


def test_a_long_value_is_cut_and_says_so():
    assert printable("x" * 600, 10) == "x" * 9 + "…"
    assert printable(" " * 50 + "x", 10) == "…"
    assert len(printable("x" * 500)) == 500


@pytest.mark.parametrize("value", ["AITER_MXFP4_FP8", "amd/gpt-oss-20b", "fallback:x", "0.32.0+cpu", "__x__"])
def test_a_value_of_harmless_characters_is_shown_as_it_is(value):
    assert code(value) == f"`{value}`"


def test_a_value_of_65_harmless_characters_is_escaped_all_the_same():
    assert code("a" * 65) == f"<code>{'a' * 65}</code>"


def test_an_empty_value_says_so():
    assert code("") == "<code>(empty)</code>"


def test_a_command_in_backticks_stays_a_command():
    text = prose("run `gate run configs/a_b_.yaml --backend x` now_")
    assert text == "run `gate run configs/a_b_.yaml --backend x` now&#95;"


def test_backticks_around_anything_else_are_escaped():
    assert prose("`a|b`") == "&#96;a&#124;b&#96;"


def test_code_for_a_summary_uses_html():
    assert code_html("a<b") == "<code>a&#60;b</code>"
